# Sourced by each script of this folder.
#
# show PACKAGE==VERSION...   runs the Python program on standard input in a virtual environment of its own, inside a
# temporary folder that is removed afterwards, and ends with the program's exit status. With LATEST=1 in the
# environment, the newest releases are installed instead of the pinned ones.

show() {
    local folder packages=("$@")
    [ -z "${LATEST:-}" ] || packages=("${packages[@]%%==*}")
    folder=$(mktemp -d)
    trap 'rm -rf "'"$folder"'"' EXIT
    cat >"$folder/program.py"
    "${PYTHON:-python3}" -m venv --without-pip "$folder/venv"
    "${PYTHON:-python3}" -m pip --python "$folder/venv" install --quiet --no-compile "${packages[@]}"
    (cd "$folder" && PYTHONUTF8=1 TRANSFORMERS_VERBOSITY=error venv/bin/python program.py)
    echo "$(basename "$0"): as described"
}
