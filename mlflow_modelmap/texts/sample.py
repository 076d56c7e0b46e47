"""Texts: a seeded sample that is the same on every machine and Python."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from mlflow_modelmap.errors import InputError
from mlflow_modelmap.texts.text_set import TextSet


def sampled(texts: Sequence[str], size: int, seed: int) -> list[int]:
    """Indices of the sample, ascending: those whose SHA-256 of seed and text is smallest.

    So it depends on no random generator's version and hardly on the order of the texts, and with
    one seed a smaller sample lies within a larger one.

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
    start = hashlib.sha256(str(seed).encode() + b"\n")
    seen: dict[str, int] = {}
    keys = []
    for index, text in enumerate(texts):
        sha = start.copy()
        sha.update(text.encode("utf-8"))
        copies = seen.get(text, 0)
        seen[text] = copies + 1
        if copies:
            sha.update(b"\xff%d" % copies)
        keys.append((sha.digest(), index))
    return sorted(index for _, index in sorted(keys)[:size])


def sample(text_set: TextSet, size: int, seed: int = 0) -> TextSet:
    """`size` texts of a text set, in its order, chosen by `seed`; see `sampled`."""
    chosen = sampled(text_set.texts, size, seed)
    domains, weights = text_set.domains, text_set.weights
    return TextSet(
        text_set.name,
        tuple(text_set.texts[index] for index in chosen),
        None if domains is None else tuple(domains[index] for index in chosen),
        None if weights is None else tuple(weights[index] for index in chosen),
        text_set.allow_duplicates,
    )
