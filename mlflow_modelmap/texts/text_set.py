"""Text sets (no torch, no mlflow): an ordered set of texts with a name and a digest."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from mlflow_modelmap.errors import InputError
from mlflow_modelmap.texts.prompt import Prompt, canonical, document_of, in_memory


def digest_of(texts: Sequence[str]) -> str:
    """SHA-256 (hex) over each text in order: its UTF-8 length as 8 bytes big-endian, its bytes."""
    sha = hashlib.sha256()
    for text in texts:
        data = text.encode("utf-8")
        sha.update(len(data).to_bytes(8, "big"))
        sha.update(data)
    return sha.hexdigest()


def document_codes(documents: Sequence[str | None]) -> np.ndarray:
    """The document of each text as a number, int64, shape (N,): from 0 in order of appearance.

    A text without a document has -1.
    """
    codes: dict[str, int] = {}
    return np.array(
        [-1 if name is None else codes.setdefault(name, len(codes)) for name in documents],
        dtype=np.int64,
    )


def digest_of_weights(weights: np.ndarray) -> str:
    """SHA-256 (hex) of weights as little-endian float64."""
    return hashlib.sha256(weights.astype("<f8").tobytes()).hexdigest()


@dataclass(frozen=True)
class TextSet:
    """An ordered set of N texts on which models are compared.

    Parameters
    ----------
    name
        What people call it; shown in the MLflow UI.
    texts
        N non-empty strings that UTF-8 can encode (no lone surrogates).
    domains
        One label a text, or None.
    weights
        One positive number a text, or None where every text counts alike: how much more often the
        text occurs in the population that is asked about than in this set. The digest does not
        feel them.
    allow_duplicates
        Whether the same text may occur twice.
    source
        Where they were read from, as `read_texts` takes it; None for texts made in memory. It is
        no part of what they are: neither the digest nor equality feels it.
    documents
        The name of the document that each text is a piece of, or None for a text that stands for
        itself; None where that is not known of any. Texts of one document are not independent, so
        every error over texts is taken over documents. The digest does not feel them.
    prompts
        What each text is the response to, or None where texts stand for themselves: text, or
        messages as pairs of role and content or as objects with them. Then only the responses are
        scored, behind their prompts; `bytes` are theirs. Responses to one prompt are of one
        document where no documents are given.

    Raises
    ------
    InputError
        If there is no text, or a text is empty, occurs twice or holds a lone surrogate.
    """

    name: str
    texts: tuple[str, ...]
    domains: tuple[str, ...] | None = None
    weights: tuple[float, ...] | None = None
    allow_duplicates: bool = False
    source: str | None = field(default=None, compare=False)
    documents: tuple[str | None, ...] | None = None
    prompts: tuple[Prompt, ...] | None = None

    def __post_init__(self) -> None:
        if not self.texts:
            raise InputError(f"The text set {self.name!r} holds no texts; at least one is needed.")
        for label, values in (
            ("domains", self.domains),
            ("weights", self.weights),
            ("documents", self.documents),
            ("prompts", self.prompts),
        ):
            if values is not None and len(values) != len(self.texts):
                raise InputError(
                    f"The text set {self.name!r} has {len(self.texts)} texts but {len(values)} "
                    f"{label}; give one a text, or none at all."
                )
        if self.weights is not None and not all(w > 0 and np.isfinite(w) for w in self.weights):
            raise InputError(
                f"The text set {self.name!r} has a weight that is not a positive finite number; "
                "every weight must be one."
            )
        if self.prompts is not None:
            where = f"The text set {self.name!r}, prompt"
            made = tuple(in_memory(p, f"{where} {n}") for n, p in enumerate(self.prompts))
            object.__setattr__(self, "prompts", made)
            if self.documents is None:
                object.__setattr__(self, "documents", tuple(map(document_of, made)))
        self._check_texts()

    def _check_texts(self) -> None:
        first_at: dict[str, int] = {}
        for index, text in enumerate(self.texts):
            if not isinstance(text, str):
                raise InputError(
                    f"Text {index} of the text set {self.name!r} is {type(text).__name__}, "
                    "not a string."
                )
            if not text.strip():
                raise InputError(
                    f"Text {index} of the text set {self.name!r} is empty or only white space; "
                    "leave it out."
                )
            key = self.keys[index]
            try:
                key.encode("utf-8")
            except UnicodeEncodeError as error:
                raise InputError(
                    f"Text {index} of the text set {self.name!r} holds a lone surrogate "
                    f"(U+{ord(key[error.start]):04X} at character {error.start}), which UTF-8 "
                    "cannot encode; repair or leave out that text."
                ) from None
            if key in first_at and not self.allow_duplicates:
                raise InputError(
                    f"Texts {first_at[key]} and {index} of the text set {self.name!r} are the "
                    "same; drop one (`modelmap texts build --duplicates drop`) or allow it "
                    "(`--allow-duplicates`)."
                )
            first_at.setdefault(key, index)

    def __len__(self) -> int:
        return len(self.texts)

    @property
    def counted(self) -> str:
        """How many there are of what is scored, in words."""
        if self.prompts is None:
            return f"{len(self):,} texts"
        return f"{len(self):,} responses to {len(set(self.prompts)):,} prompts"

    @cached_property
    def keys(self) -> tuple[str, ...]:
        """What tells texts apart: each text, with the prompt that it is the response to."""
        if self.prompts is None:
            return self.texts
        pairs = zip(self.prompts, self.texts, strict=True)
        return tuple(f"{canonical(prompt)}\0{text}" for prompt, text in pairs)

    @cached_property
    def digest(self) -> str:
        """SHA-256 (hex) of the ordered texts; vectors meet on a map only if it is the same.

        Of responses it runs over each prompt (see `prompt.canonical`) and its response in turn.
        """
        if self.prompts is None:
            return digest_of(self.texts)
        pairs = zip(map(canonical, self.prompts), self.texts, strict=True)
        return digest_of([part for pair in pairs for part in pair])

    @cached_property
    def bytes(self) -> np.ndarray:
        """UTF-8 bytes of each text, int64, shape (N,)."""
        return np.array([len(text.encode("utf-8")) for text in self.texts], dtype=np.int64)

    @property
    def mean_bytes(self) -> float:
        """(Weighted) mean UTF-8 bytes a text: the B that turns nats into bits per byte."""
        return float(np.average(self.bytes, weights=self.weight_array))

    @cached_property
    def weight_array(self) -> np.ndarray | None:
        """The weights as float64, shape (N,), or None where there are none."""
        return None if self.weights is None else np.array(self.weights, dtype=np.float64)

    @cached_property
    def document_codes(self) -> np.ndarray | None:
        """The document of each text by number, int64, shape (N,); see `document_codes`."""
        return None if self.documents is None else document_codes(self.documents)

    @property
    def independent(self) -> int:
        """How many independent units there are: documents, and texts without one."""
        if self.documents is None:
            return len(self.texts)
        return len(set(self.documents) - {None}) + self.documents.count(None)

    @property
    def counts(self) -> dict[str, int]:
        """Number of texts, and of independent units among them (``documents``)."""
        return {"texts": len(self.texts), "documents": self.independent}

    @cached_property
    def weights_digest(self) -> str | None:
        """SHA-256 (hex) of the weights as little-endian float64, or None where there are none."""
        return None if self.weight_array is None else digest_of_weights(self.weight_array)
