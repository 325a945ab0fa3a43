import pytest

from llm_chatbot.machine import install

EXTRAS = ("convert", "notebook", "dev")  # as `make test` installs them


def test_what_make_installed_is_not_installed_again(monkeypatch: pytest.MonkeyPatch):
    assert install.is_installed(EXTRAS)


def test_the_pinned_version_counts_in_any_build(monkeypatch: pytest.MonkeyPatch):
    real = install.version
    monkeypatch.setattr(install, "version", lambda name: real(name).partition("+")[0] + "+cpu")
    assert install.is_installed(EXTRAS)


def test_another_version_of_one_package_is_installed_anew(monkeypatch: pytest.MonkeyPatch):
    real = install.version
    monkeypatch.setattr(install, "version", lambda name: "0.0.1" if name == "tqdm" else real(name))
    assert not install.is_installed(EXTRAS)


def test_a_package_of_an_extra_is_missed_only_where_the_extra_is_wanted(monkeypatch: pytest.MonkeyPatch):
    real = install.version

    def version(name: str) -> str:
        if name == "nncf":
            raise install.PackageNotFoundError(name)
        return real(name)

    monkeypatch.setattr(install, "version", version)
    assert install.is_installed(())
    assert not install.is_installed(("convert",))
