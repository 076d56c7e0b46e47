"""Stores that older versions wrote, packed in `tests/stores`: unpacked anywhere, and looked up.

    old = unpack("0.1.0", tmp_path)      # an sqlite store, its artifacts, models and texts
    old.uri, old.runs["map"], old.texts
    with serve_hub(old) as hub:          # the Hub models that it scored, at the same commits
        hub.use(monkeypatch, tmp_path / "cache")

`tests/stores/make_store.py` packs them.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import sqlite3
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from tests.hub_server import HubServer, Repository

STORES = Path(__file__).parent / "stores"
INDEX, DUMP, DATABASE = "index.json", "store.sql", "mlflow.db"
ROOT, ROOT_URI = "@ROOT@", "@ROOT_URI@"
"""What stands in the packed files for the folder, as a path and as a ``file:`` address."""


class OldStore(NamedTuple):
    """A store that an older version wrote, unpacked.

    Attributes
    ----------
    uri
        For `mlflow.set_tracking_uri`.
    folder
        Where everything lies.
    runs, experiments
        Ids by a name that says what they are.
    texts, weighted_texts
        Files of the text sets.
    index
        All that the packed index says.
    """

    uri: str
    folder: Path
    runs: dict[str, str]
    experiments: dict[str, str]
    texts: Path
    weighted_texts: Path
    index: dict[str, Any]


def archive(version: str) -> Path:
    """Where the store of a version is packed."""
    return STORES / f"v{version.replace('.', '_')}.zip"


def unpack(version: str, folder: str | Path) -> OldStore:
    """Unpack the store of a version into a folder; its paths become those of the folder."""
    folder = Path(folder).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(archive(version)) as packed:
        packed.extractall(folder)
    index = json.loads((folder / INDEX).read_text(encoding="utf-8"))
    for name, first in index["same_as"].items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes((folder / first).read_bytes())
    for name in index["with_root"]:
        path = folder / name
        path.write_bytes(filled_in(path.read_bytes(), folder))
    statements = (folder / DUMP).read_text(encoding="utf-8")
    # In a statement of SQL a quote is written twice.
    statements = statements.replace(ROOT_URI, folder.as_uri().replace("'", "''"))
    statements = statements.replace(ROOT, str(folder).replace("'", "''"))
    with contextlib.closing(sqlite3.connect(folder / DATABASE)) as database:
        database.executescript(statements)
    return OldStore(
        uri=f"sqlite:///{folder / DATABASE}",
        folder=folder,
        runs=index["runs"],
        experiments=index["experiments"],
        texts=folder / "texts.jsonl",
        weighted_texts=folder / "weighted.jsonl",
        index=index,
    )


def filled_in(content: bytes, folder: Path) -> bytes:
    """A packed file with the folder's own path in it."""
    content = content.replace(ROOT_URI.encode(), folder.as_uri().encode())
    return content.replace(ROOT.encode(), str(folder).encode())


@contextlib.contextmanager
def serve_hub(old: OldStore) -> Iterator[HubServer]:
    """A loopback Hub with the models that the store's runs name, each at the commit it had."""
    with HubServer() as hub:
        for name, kept in old.index["hub"].items():
            commits: dict[str, dict[str, bytes]] = {}
            for commit in set(kept["revisions"].values()):
                root = old.folder / "hub" / name / commit
                commits[commit] = {path.name: path.read_bytes() for path in root.iterdir()}
                for data in commits[commit].values():
                    hub.blobs[hashlib.sha256(data).hexdigest()] = data
            hub.repositories[name] = Repository(commits, kept["revisions"], facts=kept["facts"])
        yield hub
