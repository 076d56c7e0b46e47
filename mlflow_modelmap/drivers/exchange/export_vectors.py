"""Driver: `modelmap export` - the vectors of selected runs as one file that `import` reads back."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from mlflow_modelmap.drivers.exchange.file_checks import is_tag_name
from mlflow_modelmap.drivers.exchange.in_file import (
    COLUMNS,
    NUMBERS,
    OF_OUR_TABLES,
    VALUES,
    WHOLE,
    VectorsInFile,
    compact,
)
from mlflow_modelmap.drivers.exchange.npz import KEYS, OF_SET, OF_TEXTS, write_npz
from mlflow_modelmap.drivers.exchange.read_file import CSV, NPZ, PARQUET
from mlflow_modelmap.drivers.exchange.tables import (
    beside,
    can_be_tag,
    write_csv_file,
    write_parquet_file,
)
from mlflow_modelmap.drivers.study.selection import select
from mlflow_modelmap.errors import InputError
from mlflow_modelmap.tracking.runs.point import Point
from mlflow_modelmap.tracking.runs.vectors_points import PARAMS, TAGS
from mlflow_modelmap.tracking.schema import PARAM_BOS_APPLIED
from mlflow_modelmap.words.listed import listed
from mlflow_modelmap.words.shortened import shortened

_WRITERS: dict[str, Callable[[Path, VectorsInFile], None]] = {
    NPZ: write_npz,
    PARQUET: write_parquet_file,
    CSV: write_csv_file,
}
_LABELS = {"point", VALUES, *COLUMNS, *WHOLE, *NUMBERS, *OF_OUR_TABLES}
_ARRAYS = {*KEYS, *OF_TEXTS, *OF_SET}


@dataclass(frozen=True)
class Exported:
    """What was written.

    Attributes
    ----------
    file
        Where.
    beside
        Where a CSV file's texts are described, else None.
    points, texts
        How many there are.
    text_set
        Digest of the text set.
    notices
        What was left out, a sentence each.
    """

    file: str
    beside: str | None
    points: int
    texts: int
    text_set: str
    notices: tuple[str, ...] = ()


def check_output(out: str | os.PathLike[str]) -> Path:
    """The path to write to.

    Raises
    ------
    InputError
        If its ending names no format, or nothing can be written there.
    """
    written = os.fspath(out)
    path = Path(written).expanduser()
    if path.suffix.lower() not in _WRITERS or os.path.isdir(path):
        raise InputError(
            f"Vectors are written as {', '.join(_WRITERS)}, not as {shortened(written)!r}; give a "
            "file name that ends so."
        )
    return path


def export_vectors(
    out: str | os.PathLike[str],
    experiments: Iterable[str] = (),
    filter: str | None = None,
    run_ids: Iterable[str] = (),
    *,
    layers: bool = False,
) -> Exported:
    """Write the vectors of the selected score runs into one file; `import_vectors` reads it.

    The numbers, the texts' bytes, weights and documents, and the labels come back as they were.

    Parameters
    ----------
    out
        ``.npz``, ``.parquet`` or ``.csv``; it appears whole or not at all. What is written beside a
        CSV file says for which content of it, and `import_vectors` refuses another.
    experiments, filter, run_ids
        Which score runs, as for a map.
    layers
        Whether runs with layers give a point a layer.

    Raises
    ------
    InputError
        If nothing is selected, or the file cannot be written.
    TrackingError
        If the store does not answer, or what a run holds is damaged.
    """
    path = check_output(out)
    selected = select(experiments, filter, run_ids)
    matrix, points = selected.matrix(layers=layers)
    own = sorted({name for p in points for name in p.tags if _is_own(name) and p.tags[name]})
    tags = [name for name in own if _can_be_read(name, path.suffix.lower())]
    held = VectorsInFile(
        values=compact(matrix.values),
        points=_table(matrix.points, points, tags),
        bytes=matrix.text_bytes,
        weights=matrix.weights,
        documents=matrix.documents,
        text_set=points[0].text_set,
        text_set_name=points[0].text_set_name,
    )
    _write_whole(path, held)
    return Exported(
        file=str(path),
        beside=str(beside(path)) if path.suffix.lower() == CSV else None,
        points=len(points),
        texts=len(matrix.text_bytes),
        text_set=points[0].text_set,
        notices=(
            *(notice for notice in selected.notices if notice != selected.lengths),
            *_left_out([name for name in own if name not in tags], path.suffix.lower()),
        ),
    )


def _write_whole(path: Path, held: VectorsInFile) -> None:
    partial = path.with_name(f".{path.stem[:100]}.{os.getpid()}{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _WRITERS[path.suffix.lower()](partial, held)
        if path.suffix.lower() == CSV:
            os.replace(beside(partial), beside(path))
        os.replace(partial, path)
    except (OSError, ValueError) as error:  # a name with a NUL is a ValueError
        why = getattr(error, "strerror", None) or error
        raise InputError(
            f"{shortened(str(path))!r} cannot be written ({why}); give a file in a folder that you "
            "may write to."
        ) from None
    finally:
        for left in (partial, beside(partial)):
            with contextlib.suppress(OSError, ValueError):
                left.unlink()


def _table(names: Sequence[str], points: Sequence[Point], own: Sequence[str]) -> pd.DataFrame:
    """A row a point: what its run says of it, and these tags of the user's own."""
    columns: dict[str, Any] = {"point": list(names)}
    for name in COLUMNS:
        columns[name] = pd.array([getattr(p, name) for p in points], dtype="string")
    for name in WHOLE:
        columns[name] = pd.array([getattr(p, name) for p in points], dtype="Int64")
    for name in NUMBERS:
        values = [getattr(p, name) for p in points]
        columns[name] = pd.array([float("nan") if v is None else v for v in values], dtype=float)
    for name in (*TAGS, *own):
        columns[name] = pd.array([p.tags.get(name) for p in points], dtype="string")
    for name in PARAMS:
        columns[name] = pd.array([_param(p, name) for p in points], dtype="string")
    frame = pd.DataFrame(columns)
    return frame[[name for name in frame if name == "point" or frame[name].notna().any()]]


def _is_own(tag: str) -> bool:
    """Whether a tag is the user's."""
    return not tag.startswith(("mlflow.", "modelmap."))


def _can_be_read(tag: str, ending: str) -> bool:
    """Whether `import` would read a column or array of that name as this tag."""
    if tag in _LABELS or not is_tag_name(tag):
        return False
    return tag not in _ARRAYS if ending == NPZ else can_be_tag(tag, ending == PARQUET)


def _left_out(tags: Sequence[str], ending: str) -> tuple[str, ...]:
    if not tags:
        return ()
    return (
        f"Tags of these names are left out, as import would not read them as tags from a {ending} "
        f"file: {listed(tags, 8)}; rename them, or write another format.",
    )


def _param(point: Point, name: str) -> str | None:
    if name == PARAM_BOS_APPLIED:
        return None if point.bos_applied is None else str(point.bos_applied).lower()
    return point.read_as.get(name) or point.prompted.get(name) or None
