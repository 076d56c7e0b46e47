"""Texts: rows of a Hugging Face dataset, streamed (needs the extra `datasets`)."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

from mlflow_modelmap.errors import InputError
from mlflow_modelmap.texts.prompt import LAST
from mlflow_modelmap.texts.sources.record import Record, records_of
from mlflow_modelmap.words.reason import reason


def read_dataset(
    name: str,
    *,
    config: str | None = None,
    split: str = "train",
    revision: str | None = None,
    rows: int | None = None,
    column: str = "text",
    domain_column: str | None = None,
    turns: str = LAST,
) -> Iterator[Record]:
    """The first `rows` texts of a dataset on the Hub (or in a local folder), in its order.

    Nothing is fetched before the first record is asked for, and only as much as is read.

    Parameters
    ----------
    name
        Of the dataset on the Hub, or a local folder.
    config, split, revision
        As `datasets.load_dataset` takes them.
    rows
        How many; all if None.
    column, domain_column
        Where text and domain stand in a row; dots lead into nested fields.
    turns
        Which turns of chats are responses; see `prompt.responses_of`.

    Raises
    ------
    InputError
        If the package `datasets` is absent, the dataset cannot be opened, or a row has no text.
    """
    try:
        import datasets
    except ImportError:
        raise InputError(
            f"Reading the dataset {name!r} needs the package datasets; install it with "
            "`pip install 'mlflow-modelmap[datasets]'`."
        ) from None
    options: dict[str, Any] = {"split": split, "streaming": True}
    if revision is not None:
        options["revision"] = revision
    try:
        stream = iter(datasets.load_dataset(name, config, **options))
    except Exception as error:
        raise _unreadable(name, split, error) from error
    number = 0
    stream = islice(stream, rows)
    while True:
        try:
            row = next(stream)
        except StopIteration:
            return
        except Exception as error:
            raise _unreadable(name, split, error) from error
        where = f"{name} ({split}), row {number}"
        yield from records_of(row, where, column, domain_column, turns)
        number += 1


def _unreadable(name: str, split: str, error: Exception) -> InputError:
    return InputError(
        f"The dataset {name!r} (split {split!r}) cannot be read "
        f"({reason(error)}); check its name, configuration and split, and the network."
    )
