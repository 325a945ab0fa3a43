"""A model hub on this machine: as much of the Hugging Face Hub's HTTP interface as the real client asks for."""

import hashlib
import json
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class Hub:
    """The files of the server, and how it misbehaves.

    Attributes:
        root: a folder `organisation/name` for each repository.
        gated: repositories that want a token.
        token: the one that opens them.
        damaged: paths that are sent with other bytes than their checksum says.
        cut_after: paths whose connection breaks after so many bytes, once for each time they are named.
        held: paths whose bytes never come.
        described: what its interface says of a repository beside its files, like "cardData".
        broken: whether every request is answered with 503.
        sent: the files that were asked for, each with the byte at which the client wanted to begin.
    """

    root: Path = Path("no such folder")
    gated: set[str] = field(default_factory=set)
    token: str = "hf_test"
    damaged: set[str] = field(default_factory=set)
    cut_after: dict[str, int] = field(default_factory=dict)
    held: set[str] = field(default_factory=set)
    described: dict[str, dict] = field(default_factory=dict)
    broken: bool = False
    sent: list[tuple[str, int]] = field(default_factory=list)

    def reset(self, root: Path) -> None:
        """Serves another folder, and behaves again."""
        self.__init__(root)  # type: ignore[misc]


def start(hub: Hub) -> str:
    """Starts the server, which ends with the process, and returns its address."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_HEAD(self) -> None:
            self._answer(with_body=False)

        def do_GET(self) -> None:
            self._answer(with_body=True)

        def log_message(self, *_: object) -> None:
            pass

        def _answer(self, with_body: bool) -> None:
            parts = unquote(urlsplit(self.path).path).strip("/").split("/")
            api = parts[:2] == ["api", "models"]
            organisation, name, what, *rest = [*(parts[2:] if api else parts), "", "", ""][:6]
            repo_id = f"{organisation}/{name}"
            repository = hub.root / organisation / name
            if hub.broken:
                self._refuse(503, "", "the hub is down")
            elif not repository.is_dir():
                self._refuse(401, "RepoNotFound", "Repository not found")
            elif not api and repo_id in hub.gated and self.headers["Authorization"] != f"Bearer {hub.token}":
                self._refuse(403, "GatedRepo", f"Access to model {repo_id} is restricted")
            elif what in ("revision", "tree", "resolve") and rest[0] not in ("main", COMMIT):
                self._refuse(404, "RevisionNotFound", f"Invalid rev id: {rest[0]}")
            elif what == "resolve":
                self._file(repository.joinpath(*parts[4:]), with_body)
            elif what == "tree":
                self._json([entry(path, repository) for path in files(repository)])
            else:
                siblings = [
                    {"rfilename": path.relative_to(repository).as_posix(), "size": path.stat().st_size}
                    for path in files(repository)
                ]
                self._json({"id": repo_id, "sha": COMMIT, "siblings": siblings, **hub.described.get(repo_id, {})})

        def _json(self, value: object) -> None:
            body = json.dumps(value).encode()
            self._head(200, {"Content-Type": "application/json", "Content-Length": len(body)})
            self.wfile.write(body)

        def _file(self, path: Path, with_body: bool) -> None:
            if not path.is_file():
                self._refuse(404, "EntryNotFound", "Entry not found")
                return
            body = path.read_bytes()
            etag = sha256(body)
            if path.name in hub.damaged:
                body = bytes([body[0] ^ 255]) + body[1:]
            start = int((self.headers["Range"] or "bytes=0-").removeprefix("bytes=").split("-")[0])
            headers = {"ETag": f'"{etag}"', "X-Repo-Commit": COMMIT, "Accept-Ranges": "bytes"}
            if start:
                headers["Content-Range"] = f"bytes {start}-{len(body) - 1}/{len(body)}"
            self._head(206 if start else 200, {**headers, "Content-Length": len(body) - start})
            if not with_body:
                return
            hub.sent.append((path.name, start))
            if path.name in hub.held:
                self.rfile.read(1)  # until the client has gone
                self.close_connection = True
                return
            cut = hub.cut_after.pop(path.name, None)
            self.wfile.write(body[start:cut])
            self.close_connection = cut is not None

        def _refuse(self, status: int, code: str, message: str) -> None:
            self._head(status, {"X-Error-Code": code, "X-Error-Message": message, "Content-Length": 0})

        def _head(self, status: int, headers: dict) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, str(value))
            self.end_headers()

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_port}"


def files(repository: Path) -> list[Path]:
    return sorted(path for path in repository.rglob("*") if path.is_file())


def entry(path: Path, repository: Path) -> dict:
    """A file as the Hub lists it: git's own checksum for small ones, SHA-256 for those kept outside of git."""
    body = path.read_bytes()
    described = {
        "type": "file",
        "path": path.relative_to(repository).as_posix(),
        "size": len(body),
        "oid": git_sha1(body),
    }
    if path.suffix in (".safetensors", ".bin", ".model", ".gguf"):
        described["lfs"] = {"oid": sha256(body), "size": len(body), "pointerSize": 134}
    return described


def sha256(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


def git_sha1(body: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(body) + body).hexdigest()
