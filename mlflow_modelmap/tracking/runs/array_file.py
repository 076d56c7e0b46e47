"""Tracking: what a file of numpy's own format says it holds, believed only if the file has it."""

from __future__ import annotations

import math
from typing import BinaryIO

import numpy as np

from mlflow_modelmap.tracking.runs.largest_sizes import NotRead, megabytes


def array_header(
    file: BinaryIO, size: int, kinds: str = "fiub"
) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Shape, whether it lies by columns (Fortran), and dtype of an array; then its values follow.

    Parameters
    ----------
    file
        At the beginning of an ``.npy`` file; afterwards at its first value.
    size
        Bytes of the whole file.
    kinds
        Of dtypes that are taken, as numpy abbreviates them; never objects.

    Raises
    ------
    NotRead
        If it is of another format or kind, or promises other than is there; the message goes on
        behind the file's name.
    ValueError
        If it is damaged.
    """
    version = np.lib.format.read_magic(file)
    if version not in ((1, 0), (2, 0)):
        raise NotRead("is of a format of arrays that numpy's own are not written in")
    read = (
        np.lib.format.read_array_header_1_0
        if version == (1, 0)
        else np.lib.format.read_array_header_2_0
    )
    shape, fortran, kind = read(file)
    if kind.kind not in kinds:
        raise NotRead(f"cannot be read, as its values of type {str(kind)[:40]} are no numbers")
    promised, there = math.prod(shape) * kind.itemsize, size - file.tell()
    if promised != there:
        raise NotRead(f"promises {megabytes(promised)} of numbers and holds {megabytes(there)}")
    return shape, fortran, kind
