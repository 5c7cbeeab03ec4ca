"""A local stand-in for the Hugging Face Hub, which serves folders to huggingface_hub, transformers and datasets.

    with LocalHub(root) as hub:
        subprocess.run(command, env=os.environ | hub.environment(home))

`root` holds `models/<owner>/<name>/...` and `datasets/<owner>/<name>/...`. The clients are the real ones: they find the
server by `HF_ENDPOINT`. What they ask for and get is as on the Hub: revisions resolve to commits, large files are
redirected to another origin (the content network), folders are listed in pages, and errors carry the Hub's headers.
"""

import hashlib
import json
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, unquote, urlsplit

from helpers.local_server import LocalServer

DATE = "2024-01-01T00:00:00.000Z"
KINDS = {"models": "model", "datasets": "dataset"}
LARGE = (".safetensors", ".parquet", ".bin", ".model", ".pt")
"""Suffixes of files that the Hub keeps in its large-file storage."""
CHUNK = 1 << 16


@dataclass
class Served:
    """One request, from when its answer begins.

    Attributes:
        method: such as `GET`.
        path: of the file or the API, with its query.
        repository: the id; empty if the request is about none.
        status: of the answer.
        size: bytes of the answer's body that were sent so far.
    """

    method: str
    path: str
    repository: str
    status: int
    size: int = 0


@dataclass
class Gate:
    """Who may read a gated repository.

    Attributes:
        tokens: these may.
        refused: these are known, but their owner has not accepted the terms.
    """

    tokens: frozenset[str]
    refused: frozenset[str] = frozenset()


@dataclass
class Repository:
    """A folder that is served as a repository with one commit, which branch `main` points to."""

    kind: str
    id: str
    folder: Path
    _digests: dict[Path, tuple[tuple[int, int], str, str]] = field(default_factory=dict)

    def files(self) -> dict[str, Path]:
        """By path in the repository, the files."""
        return {
            path.relative_to(self.folder).as_posix(): path
            for path in sorted(self.folder.rglob("*"))
            if path.is_file() and ".cache" not in path.relative_to(self.folder).parts
        }

    @property
    def commit(self) -> str:
        """A digest of all files, in the form of a commit."""
        names = "\n".join(f"{name} {self.sha256(path)}" for name, path in self.files().items())
        return hashlib.sha1(names.encode()).hexdigest()

    def sha256(self, path: Path) -> str:
        """The digest of a file's content."""
        return self._digest(path)[0]

    def blob(self, path: Path) -> str:
        """Git's id of a file."""
        return self._digest(path)[1]

    def info_of(self, name: str, path: Path, *, expand: bool) -> dict[str, Any]:
        """What the API says about a file."""
        size = path.stat().st_size
        info: dict[str, Any] = {"type": "file", "oid": self.blob(path), "size": size, "path": name}
        if name.endswith(LARGE):
            info["lfs"] = {"oid": self.sha256(path), "size": size, "pointerSize": 134}
        return info | (self._last_commit() if expand else {})

    def entries(self, below: str, *, recursive: bool, expand: bool) -> list[dict[str, Any]] | None:
        """What the API lists in a folder; None if there is no such folder."""
        prefix = f"{below}/" if below else ""
        entries: dict[str, dict[str, Any]] = {}
        for name, path in self.files().items():
            if not name.startswith(prefix):
                continue
            parts = name.removeprefix(prefix).split("/")
            depth = len(parts) if recursive else min(len(parts), 2)
            for level in range(1, depth):
                folder = prefix + "/".join(parts[:level])
                oid = hashlib.sha1(folder.encode()).hexdigest()
                entries[folder] = {"type": "directory", "oid": oid, "size": 0, "path": folder} | (
                    self._last_commit() if expand else {}
                )
            if recursive or len(parts) == 1:
                entries[name] = self.info_of(name, path, expand=expand)
        return sorted(entries.values(), key=lambda entry: entry["path"]) if entries or not below else None

    def _last_commit(self) -> dict[str, Any]:
        return {"lastCommit": {"id": self.commit, "title": "Upload files", "date": DATE}}

    def _digest(self, path: Path) -> tuple[str, str]:
        stat = path.stat()
        state = stat.st_size, stat.st_mtime_ns
        if path not in self._digests or self._digests[path][0] != state:
            content = path.read_bytes()
            blob = hashlib.sha1(f"blob {len(content)}\0".encode() + content).hexdigest()
            self._digests[path] = state, hashlib.sha256(content).hexdigest(), blob
        return self._digests[path][1:]


class LocalHub(LocalServer):
    """The server; it runs in a thread between `__enter__` and `__exit__`.

    Args:
        root: the folder with `models/` and `datasets/`. Files may be added or changed while it runs.
        page: how many entries a page of a listing has at most.

    Attributes:
        served: the requests, in the order of their answers.
    """

    def __init__(self, root: Path, *, page: int = 1000) -> None:
        self.root, self.page = Path(root), page
        self.served: list[Served] = []
        self._gates: dict[str, Gate] = {}
        self._repositories: dict[tuple[str, str], Repository] = {}
        self._lock = threading.Lock()
        self._breaks: list[tuple[re.Pattern[str], int]] = []
        super().__init__(_Handler)

    # ---- how clients find it

    @property
    def content_endpoint(self) -> str:
        """The address of the large files. Its host has another name, so that clients send no token there."""
        return f"http://localhost:{self._server.server_port}"

    def environment(self, home: Path, *, token: str | None = None) -> dict[str, str]:
        """The variables that make a process use this Hub, with its caches below `home`."""
        hosts = "127.0.0.1,localhost"
        variables = {
            "HF_ENDPOINT": self.endpoint,
            "HF_HOME": str(home),
            "HF_HUB_CACHE": str(Path(home) / "hub"),
            "HF_DATASETS_CACHE": str(Path(home) / "datasets"),
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_OFFLINE": "0",
            "HF_DATASETS_OFFLINE": "0",
            "NO_PROXY": hosts,
            "no_proxy": hosts,
        }
        return variables | ({"HF_TOKEN": token} if token else {})

    # ---- what it can play

    def gate(self, repository: str, *tokens: str, refused: tuple[str, ...] = ()) -> None:
        """Let only these tokens read a repository; `refused` are those of users who have not accepted its terms."""
        self._gates[repository] = Gate(frozenset(tokens), frozenset(refused))

    def break_connection(self, path: str, after: int, times: int = 1) -> None:
        """Close the connection after so many bytes of a file whose path matches the expression, so many times."""
        self._breaks += [(re.compile(path), after)] * times

    # ---- what it has seen

    def bytes_of(self, repository: str) -> int:
        """How many bytes of a repository's files and listings were sent."""
        return sum(request.size for request in self.served if request.repository == repository)

    def files_of(self, repository: str) -> list[str]:
        """The paths of the files of which something was sent, in order and without repetition."""
        found = (re.search(r"/resolve/[^/]+/(.*)$", request.path) for request in self.requests_of(repository))
        return list(dict.fromkeys(unquote(match[1]) for match in found if match))

    def requests_of(self, repository: str) -> list[Served]:
        """The answered requests for files of a repository that were not only asked for their size."""
        return [request for request in self.served if request.repository == repository and request.method != "HEAD"]

    # ---- for the handler

    def repository(self, kind: str, identifier: str) -> Repository | None:
        """The repository; None if there is none."""
        folder = self.root / kind / identifier
        if identifier.count("/") != 1 or ".." in identifier or not folder.is_dir():
            return None
        with self._lock:
            return self._repositories.setdefault((kind, identifier), Repository(KINDS[kind], identifier, folder))

    def gate_of(self, identifier: str) -> Gate | None:
        """The repository's gate; None if everybody may read it."""
        return self._gates.get(identifier)

    def break_of(self, path: str) -> int | None:
        """After how many bytes the connection is to be closed; None if it is not."""
        with self._lock:
            for index, (pattern, after) in enumerate(self._breaks):
                if pattern.search(path):
                    del self._breaks[index]
                    return after
        return None

    def known(self, token: str) -> bool:
        """Whether a token is anybody's."""
        return any(token in gate.tokens | gate.refused for gate in self._gates.values())

    def record(self, request: Served) -> None:
        """Remember a request."""
        with self._lock:
            self.served.append(request)


class _Refusal(Exception):
    """An answer that is an error, with the Hub's headers."""

    def __init__(self, status: int, code: str, message: str, **headers: str) -> None:
        super().__init__(message)
        self.status = status
        self.headers = {"X-Error-Code": code, "X-Error-Message": message, **headers}


class _Handler(BaseHTTPRequestHandler):
    """Answers one connection's requests."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def __init__(self, hub: LocalHub, *arguments: Any) -> None:
        self.hub = hub
        super().__init__(*arguments)

    def log_message(self, format: str, *arguments: object) -> None:
        """Nothing: `LocalHub.served` has the requests."""

    def do_GET(self) -> None:
        self._answer()

    def do_HEAD(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def _answer(self) -> None:
        self._repository, self._body = "", self.rfile.read(int(self.headers.get("Content-Length") or 0))
        parts = urlsplit(self.path)
        self._query = parse_qs(parts.query)
        # A revision or a path may hold an escaped slash, so the parts are unquoted one by one.
        steps = [unquote(step) for step in parts.path.strip("/").split("/")]
        try:
            if steps[0] == "content":
                self._content(steps[1:])
            elif steps[:2] == ["api", "whoami-v2"]:
                self._whoami()
            elif steps[0] == "api" and len(steps) >= 4 and steps[1] in KINDS:
                self._api(steps[1], "/".join(steps[2:4]), steps[4:])
            elif steps[0] == "datasets" and len(steps) > 5 and steps[3] == "resolve":
                self._resolve("datasets", "/".join(steps[1:3]), steps[4], "/".join(steps[5:]))
            elif len(steps) > 4 and steps[2] == "resolve":
                self._resolve("models", "/".join(steps[:2]), steps[3], "/".join(steps[4:]))
            else:
                raise _Refusal(404, "NotFound", "Sorry, we can't find the page you are looking for.")
        except _Refusal as refusal:
            self._send_json({"error": str(refusal)}, refusal.status, refusal.headers)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    # ---- repositories and access

    def _find(self, kind: str, identifier: str) -> Repository:
        self._repository = identifier
        repository = self.hub.repository(kind, identifier)
        if repository is None:
            if self._token is not None:
                raise _Refusal(404, "RepoNotFound", "Repository not found")
            # Whether a repository is absent or private is not told to strangers.
            raise _Refusal(401, "RepoNotFound", "Invalid username or password.")
        return repository

    @property
    def _token(self) -> str | None:
        scheme, _, token = (self.headers.get("Authorization") or "").partition(" ")
        return token if scheme == "Bearer" else None

    def _check_access(self, repository: Repository) -> None:
        gate = self.hub.gate_of(repository.id)
        if gate is None or self._token in gate.tokens:
            return
        page = f"{self.hub.endpoint}/{'datasets/' if repository.kind == 'dataset' else ''}{repository.id}"
        if self._token in gate.refused:
            message = f"Access to {repository.kind} {repository.id} is restricted and you are not in the authorized "
            message += f"list. Visit {page} to ask for access."
            raise _Refusal(403, "GatedRepo", message)
        message = f"Access to {repository.kind} {repository.id} is restricted. You must have access to it and be "
        message += "authenticated to access it. Please log in."
        raise _Refusal(401, "GatedRepo", message)

    def _check_revision(self, repository: Repository, revision: str) -> None:
        if revision not in ("main", repository.commit):
            raise _Refusal(404, "RevisionNotFound", f"Invalid rev id: {revision}")

    # ---- the API

    def _whoami(self) -> None:
        if self._token is None or not self.hub.known(self._token):
            raise _Refusal(401, "Unauthorized", "Invalid username or password.")
        self._send_json({"type": "user", "name": "tester", "auth": {"type": "access_token"}, "orgs": []})

    def _api(self, kind: str, identifier: str, rest: list[str]) -> None:
        repository = self._find(kind, identifier)
        match rest:
            case []:
                self._send_json(self._info(repository))
            case ["revision", revision]:
                self._check_revision(repository, revision)
                self._send_json(self._info(repository))
            case ["auth-check"]:
                self._check_access(repository)
                self._send_json({})
            case ["tree", revision, *path]:
                self._check_revision(repository, revision)
                self._tree(repository, "/".join(path))
            case ["paths-info", revision]:
                self._check_revision(repository, revision)
                self._paths_info(repository)
            case ["refs"]:
                branch = {"name": "main", "ref": "refs/heads/main", "targetCommit": repository.commit}
                self._send_json({"branches": [branch], "converts": [], "tags": []})
            case ["commits", revision]:
                self._check_revision(repository, revision)
                commit = {"id": repository.commit, "title": "Upload files", "message": "", "date": DATE, "authors": []}
                self._send_json([commit])
            case _:
                raise _Refusal(404, "NotFound", "Sorry, we can't find the page you are looking for.")

    def _info(self, repository: Repository) -> dict[str, Any]:
        return {
            "_id": hashlib.sha1(repository.id.encode()).hexdigest()[:24],
            "id": repository.id,
            "author": repository.id.split("/")[0],
            "sha": repository.commit,
            "lastModified": DATE,
            "createdAt": DATE,
            "private": False,
            "gated": "auto" if self.hub.gate_of(repository.id) else False,
            "disabled": False,
            "downloads": 1,
            "likes": 0,
            "tags": [],
            "siblings": [{"rfilename": name} for name in repository.files()],
        }

    def _tree(self, repository: Repository, path: str) -> None:
        recursive, expand = (
            self._query.get(name, [""])[0].lower() in ("true", "1") for name in ("recursive", "expand")
        )
        entries = repository.entries(path, recursive=recursive, expand=expand)
        if entries is None:
            raise _Refusal(404, "EntryNotFound", f'{path} does not exist on "main"')
        start = int(self._query.get("cursor", ["0"])[0])
        stop = start + self.hub.page
        headers = {}
        if stop < len(entries):
            query = f"recursive={recursive}&expand={expand}&cursor={stop}"
            headers["Link"] = f'<{self.hub.endpoint}{urlsplit(self.path).path}?{query}>; rel="next"'
        self._send_json(entries[start:stop], headers=headers)

    def _paths_info(self, repository: Repository) -> None:
        if "json" in self.headers.get("Content-Type", ""):
            asked = json.loads(self._body)
            paths, expand = asked["paths"], bool(asked.get("expand"))
        else:
            form = parse_qs(self._body.decode())
            paths, expand = form.get("paths", []), form.get("expand", [""])[0].lower() in ("true", "1")
        files = repository.files()
        answer = [repository.info_of(path, files[path], expand=expand) for path in paths if path in files]
        folders = {entry["path"]: entry for entry in repository.entries("", recursive=True, expand=expand) or ()}
        answer += [folders[path] for path in paths if path not in files and path in folders]
        self._send_json(answer)

    # ---- files

    def _resolve(self, kind: str, identifier: str, revision: str, name: str) -> None:
        repository = self._find(kind, identifier)
        self._check_access(repository)
        self._check_revision(repository, revision)
        commit = repository.commit
        path = repository.files().get(name)
        if path is None:
            raise _Refusal(404, "EntryNotFound", "Entry not found", **{"X-Repo-Commit": commit})
        if name.endswith(LARGE):
            sha256 = repository.sha256(path)
            headers = {
                "X-Repo-Commit": commit,
                "X-Linked-Size": str(path.stat().st_size),
                "X-Linked-Etag": f'"{sha256}"',
                "Location": f"{self.hub.content_endpoint}/content/{kind}/{identifier}/{sha256}/resolve/{commit}/"
                + quote(name),
            }
            self._send(b"", 302, headers)
        else:
            self._send_file(path, {"X-Repo-Commit": commit, "ETag": f'"{repository.blob(path)}"'})

    def _content(self, steps: list[str]) -> None:
        kind, owner, short, sha256, _, _, *name = steps
        repository = self._find(kind, f"{owner}/{short}")
        if self._token is not None:
            raise _Refusal(400, "InvalidArgument", "A token was sent to the content network.")
        path = repository.files().get("/".join(name))
        if path is None or repository.sha256(path) != sha256:
            raise _Refusal(403, "AccessDenied", "The signature of this address is not valid.")
        self._send_file(path, {"ETag": f'"{sha256}"'})

    def _send_file(self, path: Path, headers: dict[str, str]) -> None:
        size = path.stat().st_size
        start, stop, status = 0, size, 200
        asked = re.fullmatch(r"bytes=(\d*)-(\d*)", self.headers.get("Range") or "")
        if asked:
            first, last = asked.groups()
            start = int(first) if first else max(0, size - int(last))
            stop = min(size, int(last) + 1) if first and last else size
            if start >= size:
                self._send(b"", 416, {"Content-Range": f"bytes */{size}"})
                return
            status, headers = 206, {**headers, "Content-Range": f"bytes {start}-{stop - 1}/{size}"}
        headers = {"Accept-Ranges": "bytes", "Content-Type": "application/octet-stream", **headers}
        request = self._start(status, headers, stop - start)
        if self.command == "HEAD":
            return
        limit = self.hub.break_of(urlsplit(self.path).path)
        for chunk in _chunks(path, start, stop if limit is None else min(stop, start + limit)):
            request.size += len(chunk)
            self.wfile.write(chunk)
        if limit is not None:
            self.close_connection = True

    # ---- answers

    def _send_json(self, data: object, status: int = 200, headers: dict[str, str] | None = None) -> None:
        body = json.dumps(data).encode()
        self._send(body, status, {"Content-Type": "application/json; charset=utf-8", **(headers or {})})

    def _send(self, body: bytes, status: int, headers: dict[str, str]) -> None:
        request = self._start(status, headers, len(body))
        if self.command != "HEAD":
            request.size = len(body)
            self.wfile.write(body)

    def _start(self, status: int, headers: dict[str, str], size: int) -> Served:
        # Recorded before the first byte goes out: a client that has its answer finds the request in `served`.
        request = Served(self.command, self.path, self._repository, status)
        self.hub.record(request)
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(size))
        self.end_headers()
        return request


def _chunks(path: Path, start: int, stop: int) -> Iterator[bytes]:
    with path.open("rb") as file:
        file.seek(start)
        while start < stop and (chunk := file.read(min(CHUNK, stop - start))):
            start += len(chunk)
            yield chunk
