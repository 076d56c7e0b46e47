"""Driver: the vectors in a file by its ending, with labels, checked, on their text set."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np

from mlflow_modelmap.drivers.exchange.file_checks import check_names, checked
from mlflow_modelmap.drivers.exchange.in_file import VectorsInFile, compact, path_of
from mlflow_modelmap.drivers.exchange.labels import Labels, read_names
from mlflow_modelmap.drivers.exchange.npz import read_npy, read_npz
from mlflow_modelmap.drivers.exchange.released import read_vectors_pickle
from mlflow_modelmap.drivers.exchange.tables import read_csv_file, read_parquet_file
from mlflow_modelmap.drivers.score.texts import load_texts
from mlflow_modelmap.errors import InputError
from mlflow_modelmap.numerics.matrix.bits_per_byte import bits_per_byte
from mlflow_modelmap.numerics.matrix.log_likelihoods import LogLikelihoodMatrix
from mlflow_modelmap.texts.text_set import TextSet
from mlflow_modelmap.tracking.runs.vectors_run import ManyVectors
from mlflow_modelmap.words.shortened import shortened

NPZ, NPY, PARQUET, CSV = ".npz", ".npy", ".parquet", ".csv"
PICKLES = (".pkl", ".pickle")
_BLOCK = 500


def texts_beside(texts: TextSet | str | os.PathLike[str]) -> TextSet:
    """The texts that vectors were scored on; the same text may occur twice in them."""
    return load_texts(texts, allow_duplicates=True)


def read_file(
    file: str | os.PathLike[str],
    *,
    names: str | os.PathLike[str] | None = None,
    keys: str | None = None,
    labels: Labels | None = None,
    texts: TextSet | None = None,
) -> tuple[ManyVectors, tuple[str, ...]]:
    """The vectors in a file on their text set, and what is to be told, a sentence each.

    Parameters
    ----------
    file
        ``.npz``, ``.parquet``, ``.csv``, ``.npy`` or a pickle, ``.pkl``.
    names
        File with the names of an array's rows.
    keys
        What the numbers within each name of a pickle are: ``step`` or ``layer``.
    labels
        What is said of the points beside the file.
    texts
        Those that were scored; not needed where the file says their bytes and digest.

    Raises
    ------
    InputError
        If the file cannot be read, or holds what no vectors are.
    """
    path = path_of(file)
    held = _by_ending(path, names, keys)
    held = (labels or Labels()).of(checked(held, path))
    if not held.named:
        check_names(held.points["point"].tolist(), path)  # those that were made of it
    many = _on_texts(held, path, texts)
    points = many.points.assign(bits_per_byte=_bits(many))
    return replace(many, points=points), held.notices


def _by_ending(path: Path, names: str | os.PathLike[str] | None, keys: str | None) -> VectorsInFile:
    ending = path.suffix.lower()
    arrays = (NPY, *PICKLES)
    if names is not None and ending not in arrays:
        raise InputError(
            f"The file {shortened(str(path))!r} holds names of its own; leave out --names."
        )
    if keys is not None and ending not in PICKLES:
        raise InputError(
            f"The file {shortened(str(path))!r} has columns for steps and layers; leave out --keys."
        )
    in_order = None if names is None else read_names(names)
    if ending in PICKLES:
        return read_vectors_pickle(path, in_order, keys)
    if ending == NPY:
        if in_order is None:
            raise InputError(
                f"The array in the file {shortened(str(path))!r} says no names; give them with "
                "--names, a JSON list or one a line, in the order of its rows."
            )
        return read_npy(path, in_order)
    if ending in _READERS:
        return _READERS[ending](path)
    raise InputError(
        f"The file {shortened(str(path))!r} has an ending that says no format; give .npz, "
        ".parquet, .csv, .npy or a pickle of arrays, .pkl."
    )


_READERS = {NPZ: read_npz, PARQUET: read_parquet_file, CSV: read_csv_file}


def _on_texts(held: VectorsInFile, path: Path, texts: TextSet | None) -> ManyVectors:
    where, count = f"the file {shortened(str(path))!r}", held.values.shape[1]
    if texts is None:
        if held.bytes is None or held.text_set is None:
            what = "bytes of its texts" if held.bytes is None else "digest of its text set"
            raise InputError(
                f"There is no {what} in {where}; give the texts that were scored (--texts)."
            )
        return _many(held, held.bytes, held.text_set, held.text_set_name)
    if count != len(texts):
        raise InputError(
            f"The vectors in {where} are of {count:,} texts, and {texts.name!r} holds "
            f"{len(texts):,}; give the texts that belong to the file."
        )
    if held.text_set is not None and held.text_set != texts.digest:
        raise InputError(
            f"The vectors in {where} are of the text set {held.text_set_name or 'unnamed'} "
            f"({held.text_set[:12]}), and {texts.name!r} is another ({texts.digest[:12]}); give "
            "the texts that belong to the file, or none."
        )
    if held.bytes is not None and (held.bytes > texts.bytes).any():
        at = int(np.argmax(held.bytes > texts.bytes))
        raise InputError(
            f"Text {at} has {held.bytes[at]} bytes in {where} and {texts.bytes[at]} in "
            f"{texts.name!r}; give the texts that belong to the file."
        )
    made = replace(
        held,
        weights=texts.weight_array if held.weights is None else held.weights,
        documents=texts.document_codes if held.documents is None else held.documents,
    )
    own = texts.bytes if held.bytes is None else held.bytes
    return _many(made, own, texts.digest, texts.name)


def _many(held: VectorsInFile, size: np.ndarray, digest: str, name: str | None) -> ManyVectors:
    documents = held.documents
    return ManyVectors(
        values=compact(held.values),
        points=held.points,
        bytes=size,
        text_set=digest,
        text_set_name=name,
        scored_tokens=held.scored_tokens,
        weights=held.weights,
        documents=None if documents is None or (documents < 0).all() else documents,
    )


def _bits(many: ManyVectors) -> np.ndarray:
    """Bits per byte of each point, a block of points after another."""
    names = tuple(many.points["point"])
    found = []
    for start in range(0, len(names), _BLOCK):
        part = slice(start, start + _BLOCK)
        values = many.values[part].astype(np.float64)
        found.append(
            bits_per_byte(LogLikelihoodMatrix(values, names[part], many.bytes, many.weights))
        )
    return np.concatenate(found)
