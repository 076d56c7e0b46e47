"""Driver: vectors and weight distances in the shapes of the authors' release (kl-scale/data).

Facts about those files, as released in 2026: ``pretraining_logp.pkl`` is {size: {step: vector or
None}}, ``8bit_quantization_logp.pkl`` and ``4bit_...`` are {model: vector or None},
``layer_logp.pkl`` is {model: {layer from 0: vector} or None}, ``oyama2025_logp.pkl`` an array in
the order of ``model_list.json``, ``weight_distance.pkl`` {size: (154, 154) array}.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mlflow_modelmap.drivers.exchange.in_file import LARGEST, VectorsInFile
from mlflow_modelmap.drivers.exchange.labels import trajectory_names
from mlflow_modelmap.drivers.exchange.npz import as_float
from mlflow_modelmap.drivers.exchange.pickles import read_pickle
from mlflow_modelmap.errors import InputError
from mlflow_modelmap.tracking.runs.largest_sizes import megabytes
from mlflow_modelmap.words.shortened import shortened

STEP, LAYER = "step", "layer"
KEYS = (STEP, LAYER)
"""What the inner keys of a dictionary of dictionaries may be."""
PYTHIA_STEPS = (0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, *range(1_000, 143_001, 1_000))
"""The steps of Pythia's 154 checkpoints."""
_PICKLES = {"log_likelihoods": "pretraining_logp.pkl", "weights": "weight_distance.pkl"}


def read_vectors_pickle(
    path: Path, names: Sequence[str] | None = None, keys: str | None = None
) -> VectorsInFile:
    """The vectors of a pickle: in a dictionary, in one of dictionaries, or in the rows of an array.

    Parameters
    ----------
    names
        Of the rows of an array.
    keys
        What the inner keys of a dictionary of dictionaries are: `STEP` or `LAYER`.

    Raises
    ------
    InputError
        If it is no such file, something is missing that the file does not say, or the vectors are
        not of as many texts.
    """
    held = read_pickle(path)
    where = f"the file {shortened(str(path))!r}"
    if isinstance(held, np.ndarray):
        return _of_array(held, names, where)
    if not isinstance(held, dict) or not held:
        raise InputError(
            f"There is neither an array nor a dictionary of names and vectors in {where}; give "
            f"such a file, as {_PICKLES['log_likelihoods']} is."
        )
    if names is not None:
        raise InputError(f"The vectors in {where} have names of their own; leave out --names.")
    nested = any(isinstance(value, dict) for value in held.values())
    if nested and keys not in KEYS:
        raise InputError(
            f"The vectors in {where} are numbered within each name; say with --keys step or --keys "
            "layer what the numbers are."
        )
    if not nested and keys:
        raise InputError(
            f"The vectors in {where} are not numbered within each name; leave out --keys."
        )
    missing: list[str] = []
    found = list(_in_dictionary(held, keys, where, missing))
    if not found:
        raise InputError(f"Every vector in {where} is missing (None); get another file.")
    values = _stacked([vector for _, _, vector in found], [_called(*f[:2], keys) for f in found])
    points = pd.DataFrame({"point": [_called(*f[:2], keys) for f in found]})
    points["model"] = [name for name, _, _ in found]
    if keys:
        points[keys] = pd.array([number for _, number, _ in found], dtype="Int64")
    notices: tuple[str, ...] = ()
    if missing:
        shown = ", ".join(missing[:5]) + (" ..." if len(missing) > 5 else "")
        are = "vector is" if len(missing) == 1 else "vectors are"
        notices = (f"{len(missing)} {are} missing from the file and left out: {shown}.",)
    return VectorsInFile(values, points, notices=notices, named=False)


def _of_array(held: np.ndarray, names: Sequence[str] | None, where: str) -> VectorsInFile:
    if names is None:
        raise InputError(
            f"The array in {where} says no names; give them with --names, a JSON list or one a "
            "line, in the order of its rows."
        )
    if held.ndim != 2 or held.dtype.kind not in "fiu":
        raise InputError(
            f"The array in {where} is {held.dtype} of shape {held.shape}; give numbers, a row a "
            "point."
        )
    _check_size(held.size * as_float(held[:0]).itemsize)
    return VectorsInFile(as_float(held), pd.DataFrame({"point": list(names)}), named=False)


def _called(name: str, number: int | None, keys: str | None) -> str:
    return name if number is None else f"{name} {keys} {number}"


def _in_dictionary(
    held: dict[Any, Any], keys: str | None, where: str, missing: list[str]
) -> Iterator[tuple[str, int | None, Any]]:
    """Name, number and vector of each; `missing` receives those that are None."""
    for name, value in held.items():
        if value is None:
            missing.append(repr(name))
        elif isinstance(value, dict):
            numbered = [(_number(key, name, keys, where), vector) for key, vector in value.items()]
            for number, vector in sorted(numbered, key=lambda pair: pair[0]):
                if vector is None:
                    missing.append(repr(_called(name, number, keys)))
                else:
                    yield name, number, vector
        elif keys:
            raise InputError(
                f"{shortened(name, 60)!r} in {where} holds no dictionary by {keys}, and others do; "
                "give a file in which all do."
            )
        else:
            yield name, None, value


def _number(key: str, name: str, keys: str | None, where: str) -> int:
    try:
        number = int(key)
    except ValueError:
        number = None
    if number is None or str(number) != key:
        raise InputError(
            f"{shortened(name, 60)!r} in {where} has the {keys} {shortened(repr(key), 60)}, which "
            "is no whole number."
        )
    return number


def _stacked(vectors: Sequence[np.ndarray], names: Sequence[str]) -> np.ndarray:
    """Vectors below each other; looked at one by one before they are copied."""
    texts = vectors[0].shape[0] if vectors[0].ndim else 0
    if vectors[0].ndim == 2:
        raise InputError(
            f"{shortened(names[0], 100)!r} holds a table of shape {vectors[0].shape}, not a number "
            "for each text; give vectors, or distances of weights with --weights."
        )
    for array, name in zip(vectors, names, strict=True):
        if array.dtype.kind not in "fiu" or array.shape != (texts,):
            raise InputError(
                f"{shortened(name, 100)!r} has log-likelihoods of type {array.dtype} and shape "
                f"{array.shape}, where {names[0]!r} has {texts} numbers; give every point a number "
                "for each text."
            )
    kind = np.float32 if all(as_float(a[:0]).dtype == np.float32 for a in vectors) else np.float64
    _check_size(len(vectors) * texts * np.dtype(kind).itemsize)
    values = np.empty((len(vectors), texts), dtype=kind)
    for row, array in zip(values, vectors, strict=True):
        row[:] = array
    return values


def _check_size(size: int) -> None:
    """Before anything of that many bytes is made: an array may be in a file many times."""
    if size > LARGEST.size:
        raise InputError(
            f"The numbers take {megabytes(size)}, and {LARGEST.reader} reads at most "
            f"{megabytes(LARGEST.size)}; split the file."
        )


def weight_table(held: Any, steps: Sequence[int], name: str = "{}") -> pd.DataFrame:
    """Squared distances of the released upper triangles, in which 0 means "not computed".

    Parameters
    ----------
    held
        {name: (T, T) array}, T the number of `steps`.
    steps
        Training steps of the rows.
    name
        What models are called, ``{}`` for their names in the file.

    Returns
    -------
    DataFrame
        Columns ``trajectory``, ``step_from``, ``step``, ``squared_distance``.

    Raises
    ------
    InputError
        If it is something else.
    """
    if not isinstance(held, dict) or not held:
        raise InputError(
            f"The pickle holds no dictionary of names and arrays; give {_PICKLES['weights']}."
        )
    at = np.array(steps)
    _check_size(len(held) * len(at) ** 2 * 32)  # four columns of half of it, twice at the end
    called = trajectory_names(name.replace("{}", str(size)) for size in held)
    frames = []
    for trajectory, (size, matrix) in zip(called, held.items(), strict=True):
        table = np.asarray(matrix)
        if table.shape != (len(at), len(at)) or table.dtype.kind not in "fiu":
            raise InputError(
                f"The distances of {shortened(str(size), 60)} have the shape {table.shape}, not "
                f"one row and column for each of {len(at)} steps; give the steps (--steps)."
            )
        table = table.astype(np.float64)
        if not np.isfinite(table).all() or (table < 0).any():
            raise InputError(
                f"The distances of {shortened(str(size), 60)} are not all finite and from 0 on; "
                "get another file."
            )
        i, j = np.nonzero(np.triu(table, 1))
        frames.append(
            pd.DataFrame(
                {
                    "trajectory": trajectory,
                    "step_from": at[i],
                    "step": at[j],
                    "squared_distance": table[i, j],
                }
            )
        )
    return pd.concat(frames, ignore_index=True)
