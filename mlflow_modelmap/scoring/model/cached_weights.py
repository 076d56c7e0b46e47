"""Scoring (no torch here): weights in the Hub's local cache - which lie there, how they go."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mlflow_modelmap.errors import InputError
from mlflow_modelmap.scoring.model.hub import cached_snapshot
from mlflow_modelmap.scoring.model.reference import HUB, LOCAL, ModelReference
from mlflow_modelmap.scoring.model.weight_files import ADAPTER, weight_files

_WEIGHTS = (".safetensors", ".bin", ".safetensors.index.json", ".bin.index.json")
_INCOMPLETE = "*.incomplete"
"""So huggingface_hub calls what it has fetched a part of."""


@dataclass(frozen=True)
class CachedWeights:
    """What of a model's weights lies in the Hub's local cache.

    Attributes
    ----------
    place
        The snapshot, or of a GGUF file the file itself; None where neither is there.
    repository
        The folder of all revisions.
    files
        Weights of the snapshot, and what was fetched in part, with their bytes.
    """

    place: Path | None
    repository: Path
    files: Mapping[Path, int]


def cache_folder() -> Path:
    """Where models of the Hub lie, and are fetched to, on this machine."""
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE)


def cached_weights(reference: ModelReference) -> CachedWeights:
    """What of a Hub model's weights lies in the local cache; asks no network.

    Raises
    ------
    InputError
        If that is no name on the Hub.
    """
    from huggingface_hub.file_download import repo_folder_name

    name, file = reference.gguf or (reference.name, None)
    if file is None:
        snapshot = cached_snapshot(reference)
        place = None if snapshot is None else Path(snapshot)
        found = [] if place is None else weights_in(place)
    else:
        snapshot = cached_snapshot(ModelReference(HUB, name, reference.revision), (file,))
        place = None if snapshot is None else Path(snapshot) / os.path.basename(file)
        found = [] if place is None else [place]
    repository = cache_folder() / repo_folder_name(repo_id=name, repo_type="model")
    sizes = {}
    for path in (*found, *(repository / "blobs").glob(_INCOMPLETE)):
        with contextlib.suppress(OSError):  # gone meanwhile
            sizes[path] = path.stat().st_size
    return CachedWeights(place, repository, sizes)


def lacks_weights(reference: ModelReference) -> bool:
    """Whether weights of a model, or of the base of an adapter, may have to be fetched."""
    if reference.kind == LOCAL:
        return os.path.lexists(os.path.join(reference.name, ADAPTER))
    if reference.kind != HUB:
        return False
    try:
        cached = cached_weights(reference)
    except InputError:
        return False  # it is no name, as whoever asks for the files is told
    whole = [path.name for path in cached.files if lock_of_part(path) is None]
    if not whole or any(name.startswith("adapter") for name in whole):
        return True
    if reference.gguf or cached.place is None:
        return False
    try:
        weight_files(str(cached.place), whole, "")
    except InputError:  # one of several files may be missing
        return True
    return False


def is_snapshot(path: Path) -> bool:
    """Whether a folder is a snapshot of the Hub's local cache."""
    return path.parent.name == "snapshots"


def lock_of(place: Path) -> Path:
    """The file by which processes tell each other that they need a place or a repository."""
    parts = place.parts
    at = next(n for n in reversed(range(len(parts))) if parts[n].startswith("models--"))
    own = "--".join(part for part in parts[at + 1 :] if part != "snapshots")
    return Path(*parts[:at]) / ".locks" / parts[at] / f"modelmap{own and '-'}{own}.lock"


def lock_of_part(path: Path) -> Path | None:
    """What huggingface_hub locks while it fetches the rest of a part; None of a whole file."""
    if not path.match(_INCOMPLETE):
        return None
    repository, etag = path.parents[1], path.name.partition(".")[0]
    return repository.parent / ".locks" / repository.name / f"{etag}.lock"


def remove(path: Path) -> None:
    """Remove a file of a snapshot, and what it is a link to unless another snapshot has it too."""
    with contextlib.suppress(OSError):
        target = path.resolve()
        path.unlink()
        snapshots = next((p for p in path.parents if p.name == "snapshots"), None)
        others = () if snapshots is None else snapshots.rglob("*")
        if target != path.absolute() and not any(other.resolve() == target for other in others):
            target.unlink()


def weights_in(folder: Path) -> list[Path]:
    """The weights of a snapshot."""
    try:
        return [path for path in folder.iterdir() if path.name.endswith(_WEIGHTS)]
    except OSError:
        return []
