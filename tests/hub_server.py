"""A loopback Hugging Face Hub: the real client fetches models from it, and meets its failures.

    with HubServer() as hub:
        hub.add("org/model", "/a/folder/with/a/model", revision="main")
        hub.use(monkeypatch, cache=tmp_path)   # this process's huggingface_hub
        subprocess.run(..., env=os.environ | hub.environment(tmp_path))   # or another's

Models can carry what the real Hub says of them (`base_models`, `cardData`, `tags`, ...).
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import socket
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, unquote, urlsplit

import pytest

LARGE = (".safetensors", ".bin")


@dataclass
class Repository:
    """A model repository: its commits, what branches and tags point to, what is said of it."""

    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    revisions: dict[str, str] = field(default_factory=dict)
    gated: bool = False
    facts: dict[str, Any] = field(default_factory=dict)


class HubServer:
    """Serves model_info, tree, refs and resolve as https://huggingface.co does.

    Attributes
    ----------
    requests
        Every request so far, as ``GET /api/models/...``.
    status
        If set, every request is answered with this status (503: the Hub is down).
    silent
        If set, nothing is answered at all until the server is closed.
    stalls
        If set, what is in large files does not come until the server is closed.
    """

    def __init__(self) -> None:
        self.repositories: dict[str, Repository] = {}
        self.blobs: dict[str, bytes] = {}
        self.requests: list[str] = []
        self.status: int | None = None
        self.silent = self.stalls = False
        self.closing = threading.Event()
        self.connections: list[socket.socket] = []
        hub = self

        class Handler(_Handler):
            server_hub = hub

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.server.block_on_close = False
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        # Large files lie on another host; the client treats redirects within one differently.
        self.cdn = f"http://localhost:{self.server.server_port}/cdn"

    def __enter__(self) -> HubServer:
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        if not self.closing.is_set():
            self.closing.set()
            self.server.shutdown()
            self.server.server_close()
            for connection in self.connections:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """From now on, connections are refused: the network is down."""
        self.__exit__()

    def add(
        self,
        name: str,
        files: Mapping[str, bytes] | str | Path,
        *,
        revision: str = "main",
        gated: bool = False,
        base_models: list[str] | None = None,
        relation: str = "finetune",
        **facts: Any,
    ) -> str:
        """Add a commit to a model and let `revision` point to it; returns the commit's hash.

        Parameters
        ----------
        files
            Names and contents, or a directory.
        base_models, relation
            What the model was made from, and how (finetune, quantized, adapter, merge).
        facts
            Anything else in the answer of model_info, such as ``cardData={...}``, ``tags=[...]``.
        """
        if not isinstance(files, Mapping):
            folder = Path(files)
            files = {
                path.relative_to(folder).as_posix(): path.read_bytes()
                for path in sorted(folder.rglob("*"))
                if path.is_file()
            }
        content = {path: hashlib.sha1(data).hexdigest() for path, data in files.items()}
        commit = hashlib.sha1(json.dumps([name, content], sort_keys=True).encode()).hexdigest()
        repository = self.repositories.setdefault(name, Repository())
        repository.commits[commit] = dict(files)
        repository.revisions[revision] = commit
        repository.revisions.setdefault("main", commit)
        repository.gated = repository.gated or gated
        repository.facts.update(facts)
        if base_models is not None:
            repository.facts["baseModels"] = {
                "relation": relation,
                "models": [{"_id": f"{n:024x}", "id": m} for n, m in enumerate(base_models)],
            }
            card = repository.facts.setdefault("cardData", {})
            card.setdefault("base_model", base_models[0] if len(base_models) == 1 else base_models)
            tags = repository.facts.setdefault("tags", [])
            for base in base_models:
                tags += [f"base_model:{base}", f"base_model:{relation}:{base}"]
        for data in files.values():
            self.blobs[hashlib.sha256(data).hexdigest()] = data
        return commit

    def fetched(self) -> list[str]:
        """Names of the files whose content was asked for, in order."""
        content = r"GET (?:/.+/resolve/[^/]+|/cdn/[0-9a-f]+)/([^?]+)"
        found = [re.match(content, line) for line in self.requests]
        return [match[1] for match in found if match]

    def environment(self, cache: Path) -> dict[str, str]:
        """Variables with which another process takes this server for the Hub."""
        return {
            "HF_ENDPOINT": self.url,
            "HF_HOME": str(cache),
            "HF_HUB_CACHE": str(cache / "hub"),
            "HF_HUB_DISABLE_XET": "1",
            "HF_TOKEN": "",
            "no_proxy": "127.0.0.1,localhost",
        }

    def use(self, monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
        """Let this process's huggingface_hub take this server for the Hub.

        It reads its environment once, when imported, so its constants are set as well.
        """
        from huggingface_hub import constants, file_download

        for name, value in self.environment(cache).items():
            monkeypatch.setenv(name, value)
        template = self.url + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "ENDPOINT", self.url)
        for module in (constants, file_download):  # the latter until version 1
            monkeypatch.setattr(module, "HUGGINGFACE_CO_URL_TEMPLATE", template, raising=False)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache / "hub"))
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)


class _Handler(BaseHTTPRequestHandler):
    server_hub: HubServer
    protocol_version = "HTTP/1.1"

    def setup(self) -> None:
        super().setup()
        self.server_hub.connections.append(self.connection)

    def log_message(self, *_: Any) -> None:
        pass

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def _answer(self) -> None:
        hub = self.server_hub
        hub.requests.append(f"{self.command} {self.path}")
        if hub.silent:
            hub.closing.wait()
            return
        if hub.status is not None:
            self._send(hub.status, b"Service unavailable")
            return
        address = urlsplit(self.path)
        path, query = unquote(address.path), parse_qs(address.query)
        if hub.stalls and path.startswith("/cdn/") and self.command == "GET":
            hub.closing.wait()
        elif match := re.fullmatch(r"/cdn/([0-9a-f]{64})/.+", path):
            self._send(200, hub.blobs[match[1]], {"ETag": f'"{match[1]}"'})
        elif match := re.fullmatch(r"/api/models/([^/]+(?:/[^/]+)?)/tree/(.+?)/?", path):
            self._with(match[1], match[2], self._tree)
        elif match := re.fullmatch(r"/api/models/([^/]+(?:/[^/]+)?)/revision/(.+)", path):
            self._with(match[1], match[2], lambda *a: self._info(*a, query))
        elif match := re.fullmatch(r"/api/models/([^/]+(?:/[^/]+)?)/refs", path):
            self._with(match[1], "main", self._refs)
        elif match := re.fullmatch(r"/api/models/([^/]+(?:/[^/]+)?)", path):
            self._with(match[1], "main", lambda *a: self._info(*a, query))
        elif match := re.fullmatch(r"/([^/]+(?:/[^/]+)?)/resolve/([^/]+)/(.+)", path):
            self._with(match[1], match[2], lambda *a: self._resolve(*a, match[3]))
        else:
            self._error(404, None, "Not found")

    def _with(self, name: str, revision: str, answer: Any) -> None:
        repository = self.server_hub.repositories.get(name)
        if repository is None:
            # As the real one does for anybody who is not logged in; over https the client would
            # know it without the code, too.
            self._error(401, "RepoNotFound", "Repository not found")
            return
        revision = revision.replace("%2F", "/")
        commit = repository.revisions.get(revision, revision)
        if commit not in repository.commits:
            self._error(404, "RevisionNotFound", f"Invalid rev id: {revision}")
            return
        answer(name, repository, commit)

    def _info(
        self, name: str, repository: Repository, commit: str, query: Mapping[str, list[str]]
    ) -> None:
        facts: dict[str, Any] = {
            "sha": commit,
            "gated": "manual" if repository.gated else False,
            "private": False,
            "disabled": False,
            "downloads": 0,
            "likes": 0,
            "tags": [],
            "siblings": [{"rfilename": path} for path in sorted(repository.commits[commit])],
            **repository.facts,
        }
        if "expand" in query or "expand[]" in query:
            asked = [*query.get("expand", ()), *query.get("expand[]", ())]
            facts = {key: facts[key] for key in asked if key in facts}
        else:
            facts.pop("baseModels", None)
        self._json({"_id": "0" * 24, "id": name, "modelId": name, **facts})

    def _tree(self, name: str, repository: Repository, commit: str) -> None:
        entries = []
        for path, data in sorted(repository.commits[commit].items()):
            entry: dict[str, Any] = {
                "type": "file",
                "path": path,
                "size": len(data),
                "oid": hashlib.sha1(data).hexdigest(),
            }
            if path.endswith(LARGE):
                oid = hashlib.sha256(data).hexdigest()
                entry["lfs"] = {"oid": oid, "size": len(data), "pointerSize": 134}
            entries.append(entry)
        self._json(entries)

    def _refs(self, name: str, repository: Repository, commit: str) -> None:
        self._json(
            {
                "branches": [
                    {"name": ref, "ref": f"refs/heads/{ref}", "targetCommit": target}
                    for ref, target in repository.revisions.items()
                ],
                "tags": [],
                "converts": [],
            }
        )

    def _resolve(self, name: str, repository: Repository, commit: str, path: str) -> None:
        if repository.gated:
            self._error(403, "GatedRepo", f"Access to model {name} is restricted.", commit=commit)
            return
        data = repository.commits[commit].get(path)
        if data is None:
            self._error(404, "EntryNotFound", "Entry not found", commit=commit)
            return
        if not path.endswith(LARGE):
            etag = hashlib.sha1(data).hexdigest()
            self._send(200, data, {"ETag": f'"{etag}"', "X-Repo-Commit": commit})
            return
        oid = hashlib.sha256(data).hexdigest()
        headers = {
            "Location": f"{self.server_hub.cdn}/{oid}/{quote(path)}",
            "X-Repo-Commit": commit,
            "X-Linked-ETag": f'"{oid}"',
            "X-Linked-Size": str(len(data)),
        }
        self._send(302, b"", headers)

    def _json(self, value: Any) -> None:
        self._send(200, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def _error(
        self, status: int, code: str | None, message: str, commit: str | None = None
    ) -> None:
        headers = {"X-Error-Message": message}
        if code:
            headers["X-Error-Code"] = code
        if commit:
            headers["X-Repo-Commit"] = commit
        self._send(status, json.dumps({"error": message}).encode(), headers)

    def _send(self, status: int, data: bytes, headers: Mapping[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)
