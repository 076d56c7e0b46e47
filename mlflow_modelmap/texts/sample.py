"""Texts: a seeded sample that is the same on every machine and Python."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

from mlflow_modelmap.errors import InputError
from mlflow_modelmap.texts.text_set import TextSet


def sampled(texts: Sequence[str], size: int, seed: int) -> list[int]:
    """Indices of the sample, ascending: those whose SHA-256 of seed and text is smallest.

    So it depends on no random generator's version and hardly on the order of the texts, and with
    one seed a smaller sample lies within a larger one.

    Parameters
    ----------
    texts
        N of them.
    size
        How many, 1 to N.
    seed
        Of the choice.

    Raises
    ------
    InputError
        If `size` is below 1 or above the number of texts.
    """
    if size < 1:
        raise InputError(f"A sample of {size} texts was asked for; give 1 or more.")
    if size > len(texts):
        raise InputError(
            f"A sample of {size} texts was asked for, but there are only {len(texts)}; ask for "
            "fewer, or give more sources."
        )
    keys = _keys(texts, b"%d\n" % seed)
    return sorted(sorted(range(len(texts)), key=lambda index: keys[index])[:size])


def random_numbers(texts: Sequence[str], seed: int) -> np.ndarray:
    """One number between 0 and 1 a text, at random, shape (N,): from the SHA-256 of seed and text.

    So the same text has the same number in every text set; none has to do with `sampled`.
    """
    keys = _keys(texts, b"number %d\n" % seed)
    whole = np.array([int.from_bytes(key[:6], "big") for key in keys], dtype=np.float64)
    return (whole + 0.5) / 2.0**48


def _keys(texts: Sequence[str], start: bytes) -> list[bytes]:
    """SHA-256 of each text after `start`; copies of a text have different ones."""
    begun = hashlib.sha256(start)
    seen: dict[str, int] = {}
    keys = []
    for text in texts:
        sha = begun.copy()
        sha.update(text.encode("utf-8"))
        copies = seen.get(text, 0)
        seen[text] = copies + 1
        if copies:
            sha.update(b"\xff%d" % copies)
        keys.append(sha.digest())
    return keys


def chosen_texts(text_set: TextSet, chosen: Sequence[int], name: str | None = None) -> TextSet:
    """Some texts of a text set by their numbers, with their domains, weights and documents.

    Parameters
    ----------
    chosen
        Indices, in the order in which the texts are wanted.
    name
        Of the new text set; that of the old one if None.

    Raises
    ------
    InputError
        If a text would occur twice where duplicates are not allowed, or none is chosen.
    """
    domains, weights, documents = text_set.domains, text_set.weights, text_set.documents
    prompts = text_set.prompts
    return TextSet(
        text_set.name if name is None else name,
        tuple(text_set.texts[index] for index in chosen),
        None if domains is None else tuple(domains[index] for index in chosen),
        None if weights is None else tuple(weights[index] for index in chosen),
        text_set.allow_duplicates,
        documents=None if documents is None else tuple(documents[index] for index in chosen),
        prompts=None if prompts is None else tuple(prompts[index] for index in chosen),
    )


def sample(text_set: TextSet, size: int, seed: int = 0) -> TextSet:
    """`size` texts of a text set, in its order, chosen by `seed`; see `sampled`.

    Raises
    ------
    InputError
        If `size` is below 1 or above the number of texts.
    """
    return chosen_texts(text_set, sampled(text_set.keys, size, seed))
