"""Driver: arrays and tables out of a pickle, by an unpickler that knows nothing else.

Unpickling runs whatever a file says. This one can name nothing but what NumPy arrays and pandas
tables are rebuilt with, and refuses a file that asks for more before it has done anything.
"""

from __future__ import annotations

import os
import pickle
from typing import Any

from mlflow_modelmap.drivers.exchange.in_file import path_of, reading
from mlflow_modelmap.errors import InputError
from mlflow_modelmap.words.shortened import shortened

ALLOWED = frozenset(
    {
        ("_codecs", "encode"),
        ("builtins", "slice"),
        ("collections", "OrderedDict"),
        ("numpy", "dtype"),
        ("numpy", "ndarray"),
        ("numpy.core.multiarray", "_reconstruct"),
        ("numpy.core.multiarray", "scalar"),
        ("numpy.core.numeric", "_frombuffer"),
        ("numpy._core.multiarray", "_reconstruct"),
        ("numpy._core.multiarray", "scalar"),
        ("numpy._core.numeric", "_frombuffer"),
        ("pandas", "DataFrame"),
        ("pandas", "Index"),
        ("pandas", "RangeIndex"),
        ("pandas._libs.internals", "_unpickle_block"),
        ("pandas.core.frame", "DataFrame"),
        ("pandas.core.indexes.base", "Index"),
        ("pandas.core.indexes.base", "_new_Index"),
        ("pandas.core.indexes.range", "RangeIndex"),
        ("pandas.core.internals.managers", "BlockManager"),
    }
)


class RestrictedUnpickler(pickle.Unpickler):
    """Rebuilds arrays and tables, and nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        """One of the few things that a pickle may name.

        Raises
        ------
        InputError
            For anything else.
        """
        if (module, name) not in ALLOWED:
            raise InputError(
                f"The pickle asks for {shortened(f'{module}.{name}', 80)}, which is no part of an "
                "array or a table, so it was not read; get the file from its authors again."
            )
        return super().find_class(module, name)


def read_pickle(path: str | os.PathLike[str]) -> Any:
    """What a pickle of arrays and tables holds.

    Raises
    ------
    InputError
        If it is none, is too large, or asks for anything else.
    """
    found = path_of(path)
    with reading(found, "pickle of arrays"), found.open("rb") as file:
        return RestrictedUnpickler(file).load()
