"""Texts: what there is to say about a text set in a few numbers."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from mlflow_modelmap.texts.text_set import TextSet


@dataclass(frozen=True)
class Description:
    """A text set in numbers.

    Attributes
    ----------
    texts
        N.
    bytes, mean_bytes, shortest, longest
        UTF-8 bytes: of all texts, of the mean text (the paper's B), of the extremes.
    duplicates
        Texts that an earlier one equals.
    domains
        How many texts each domain has, the largest first; empty without domains.
    weighted
        Whether texts have weights.
    documents
        How many documents the texts are pieces of, a text without one counted as one; None where
        no text names its document.
    prompts
        How many different prompts the texts are responses to; None where they have none.
    digest
        SHA-256 (hex); the same only for the same texts in the same order.
    """

    name: str
    texts: int
    bytes: int
    mean_bytes: float
    shortest: int
    longest: int
    duplicates: int
    domains: dict[str, int]
    weighted: bool
    digest: str
    documents: int | None = None
    prompts: int | None = None


def describe(text_set: TextSet) -> Description:
    """The numbers of a text set."""
    lengths = text_set.bytes
    return Description(
        name=text_set.name,
        texts=len(text_set),
        bytes=int(lengths.sum()),
        mean_bytes=text_set.mean_bytes,
        shortest=int(lengths.min()),
        longest=int(lengths.max()),
        duplicates=len(text_set) - len(set(text_set.keys)),
        domains=dict(Counter(text_set.domains or ()).most_common()),
        weighted=text_set.weights is not None,
        digest=text_set.digest,
        documents=None if text_set.documents is None else text_set.independent,
        prompts=None if text_set.prompts is None else len(set(text_set.prompts)),
    )
