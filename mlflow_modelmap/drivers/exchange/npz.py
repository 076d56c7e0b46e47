"""Driver: vectors in numpy's own files - `.npz` with names and labels, `.npy` beside a list."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mlflow_modelmap.drivers.exchange.in_file import (
    COLUMNS,
    LARGEST,
    NUMBERS,
    OF_OUR_TABLES,
    VALUES,
    WHOLE,
    VectorsInFile,
    check_count,
    reading,
    whole,
)
from mlflow_modelmap.tracking.runs.array_file import array_header
from mlflow_modelmap.tracking.runs.largest_sizes import NotRead, megabytes
from mlflow_modelmap.words.listed import listed
from mlflow_modelmap.words.shortened import shortened

KEYS = {
    "names": "point",
    "models": "model",
    "revisions": "revision",
    "commits": "commit",
    "trajectories": "trajectory",
    "steps": "step",
    "layers": "layer",
    "model_types": "model_type",
    "base_models": "base_model",
    "precisions": "precision",
    "noise_kl": "noise_kl",
}
"""The arrays of an ``.npz`` that say something of each point, and their columns."""
OF_TEXTS = ("bytes", "scored_tokens", "weights", "documents")
OF_SET = ("text_set", "text_set_name")


def read_npz(path: Path) -> VectorsInFile:
    """The arrays of an ``.npz`` file; see `KEYS`. Other arrays of K texts or numbers are tags.

    Raises
    ------
    InputError
        If it is no such file, lacks an array, or holds what does not fit.
    """
    with reading(path, "numpy archive"), zipfile.ZipFile(path) as archive:
        _check_size(archive)
        held: dict[str, np.ndarray] = {}
        for info in archive.infolist():
            name = info.filename.removesuffix(".npy")
            if name in held:
                raise NotRead(f"has the array {shortened(name, 60)!r} twice")
            if name != info.filename:
                held[name] = _array(archive, info)
        missing = [name for name in (VALUES, "names") if name not in held]
        if missing:
            raise NotRead(f"lacks the array {listed(missing)}; it has {listed(sorted(held)) or 0}")
        values = held.pop(VALUES)
        if values.dtype.kind not in "fiu":
            raise NotRead(f"holds {values.dtype} as {VALUES}, and log-likelihoods are numbers")
        count = len(values) if values.ndim else 0
        check_count(count, len(held))
        texts: dict[str, Any] = {
            name: _numbers(name, held.pop(name)) for name in OF_TEXTS if name in held
        }
        texts |= {name: _one_text(name, held.pop(name)) for name in OF_SET if name in held}
        points = pd.DataFrame({"point": _words("names", held.pop("names"), count)})
        for name, array in held.items():
            column = KEYS.get(name, name)
            if column in OF_OUR_TABLES:
                continue
            if array.shape != (count,):
                raise NotRead(
                    f"has the array {name!r} of shape {array.shape}, but {count} vectors; give one "
                    "value a point"
                )
            if column in points:
                raise NotRead(f"says the {column} of its points in two arrays")
            points[column] = _column(name, column, array)
    return VectorsInFile(as_float(values), points, **texts)


def read_npy(path: Path, names: Sequence[str]) -> VectorsInFile:
    """The array of an ``.npy`` file, a row a name.

    Raises
    ------
    InputError
        If it is no array of numbers.
    """
    with reading(path, "numpy array"), path.open("rb") as file:
        shape, by_columns, kind = array_header(file, path.stat().st_size, "fiu")
        values = _shaped(np.fromfile(file, dtype=kind), shape, by_columns)
    return VectorsInFile(as_float(values), pd.DataFrame({"point": list(names)}), named=False)


def write_npz(path: Path, held: VectorsInFile) -> None:
    """Write an ``.npz`` that `read_npz` reads back as it was."""
    points = held.points
    arrays: dict[str, np.ndarray] = {VALUES: held.values}
    keys = {column: key for key, column in KEYS.items()}
    for name in points.columns:
        column = points[name]
        if name in WHOLE:
            arrays[keys[name]] = _whole_numbers(column)
        elif name in NUMBERS:
            arrays[keys[name]] = column.to_numpy(dtype=np.float64, na_value=np.nan)
        else:
            arrays[keys.get(name, name)] = np.array(column.fillna("").tolist(), dtype=np.str_)
    for name in OF_TEXTS:
        if getattr(held, name) is not None:
            arrays[name] = getattr(held, name)
    for name in OF_SET:
        if getattr(held, name):
            arrays[name] = np.array(getattr(held, name), dtype=np.str_)
    with zipfile.ZipFile(path, "w") as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                np.lib.format.write_array(file, array, allow_pickle=False)


def _whole_numbers(column: pd.Series) -> np.ndarray:
    """Int64, -1 for none; where -1 is one of the numbers texts, the empty one for none."""
    if not (column == -1).any():
        return column.fillna(-1).to_numpy(dtype=np.int64)
    return np.array(["" if pd.isna(cell) else str(cell) for cell in column], dtype=np.str_)


def as_float(values: np.ndarray) -> np.ndarray:
    """Numbers as float32, if they are that or less precise, else as float64."""
    small = values.dtype.kind == "f" and values.dtype.itemsize <= 4
    return values.astype(np.float32 if small else np.float64, copy=False)


def _check_size(archive: zipfile.ZipFile) -> None:
    """By what the archive says; no more than that is unpacked, whatever it holds."""
    size = sum(info.file_size for info in archive.infolist())
    if size > LARGEST.size:
        raise NotRead(
            f"unpacks to {megabytes(size)}, and {LARGEST.reader} reads at most "
            f"{megabytes(LARGEST.size)}"
        )


def _array(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> np.ndarray:
    data = archive.read(info)
    file = io.BytesIO(data)
    try:
        shape, by_columns, kind = array_header(file, len(data), "fiubU")
    except NotRead as error:
        raise NotRead(f"has the array {info.filename!r}, which {error}") from None
    return _shaped(np.frombuffer(data, kind, offset=file.tell()), shape, by_columns)


def _shaped(flat: np.ndarray, shape: tuple[int, ...], by_columns: bool) -> np.ndarray:
    return flat.reshape(shape[::-1]).T if by_columns else flat.reshape(shape)


def _words(name: str, array: np.ndarray, count: int) -> list[str]:
    if array.shape != (count,) or array.dtype.kind != "U":
        raise NotRead(
            f"has {array.dtype} of shape {array.shape} as {name}; give one text for each of its "
            f"{count} vectors"
        )
    return [str(value) for value in array]


def _numbers(name: str, array: np.ndarray) -> np.ndarray:
    if array.dtype.kind not in "fiu":
        raise NotRead(f"holds {array.dtype} as {name}, which are numbers")
    return array.astype(np.float64) if name == "weights" else whole(array, name)


def _one_text(name: str, array: np.ndarray) -> str | None:
    if array.dtype.kind != "U" or array.size != 1:
        raise NotRead(f"has {array.dtype} of shape {array.shape} as {name}, which is one text")
    return str(array.item()) or None


def _column(name: str, column: str, array: np.ndarray) -> Any:
    """The values of an array as a column of points; -1, NaN and the empty text are none."""
    if column in WHOLE and array.dtype.kind == "U":
        return pd.Series([str(v) or None for v in array], dtype=object)
    if column in (*WHOLE, *NUMBERS):
        if array.dtype.kind not in "fiu":
            raise NotRead(f"holds {array.dtype} as {name}, which are numbers")
        if column in NUMBERS:
            return array.astype(np.float64)
        return pd.Series([None if v == -1 else v for v in array.tolist()], dtype=object)
    if array.dtype.kind != "U" and column in COLUMNS:
        raise NotRead(f"holds {array.dtype} as {name}, which are texts")
    none = np.isnan(array) if array.dtype.kind == "f" else array == ""
    if array.dtype.kind in "iub":
        none = np.zeros(len(array), dtype=bool)
    cells = zip(array, none, strict=True)
    return pd.array([None if said_nothing else str(v) for v, said_nothing in cells], dtype="string")
