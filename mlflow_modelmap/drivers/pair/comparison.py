"""Driver: two models compared - KL, its error, interval and words, and bits per byte of both."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from mlflow_modelmap.numerics.divergence.carried import (
    effective_texts,
    half_in,
    skewness_of_mean,
)
from mlflow_modelmap.numerics.divergence.interval import (
    FEWEST_TEXTS,
    confidence_interval,
    mean_interval,
)
from mlflow_modelmap.numerics.divergence.kl import kl_between
from mlflow_modelmap.numerics.divergence.noise_floor import within_noise
from mlflow_modelmap.numerics.matrix.bits_per_byte import bits_and_error, bits_per_byte_difference
from mlflow_modelmap.numerics.matrix.sampling import length_variation, units_of
from mlflow_modelmap.numerics.scale.how_sharp import how_sharp
from mlflow_modelmap.numerics.scale.in_words import in_words
from mlflow_modelmap.numerics.scale.own_scale import OwnGroup
from mlflow_modelmap.words.texts_or_responses import TEXTS
from mlflow_modelmap.words.vectors import CONDITIONAL, NO_SCALE, PMI

NAN = math.nan


@dataclass(frozen=True)
class Comparison:
    """Two models compared on the same texts, in bits per byte.

    Attributes
    ----------
    kl, se
        KL divergence and its standard error.
    low, high
        Its confidence interval; NaN, as `se` is, from fewer than 10 texts.
    words
        Where it lies on the user's own scale, if there is one, and on the paper's.
    bits_per_byte, bits_per_byte_se
        Of the first model, with its standard error; NaN where only the KL is known, as below.
    other_bits_per_byte, other_bits_per_byte_se
        Of the second.
    bits_per_byte_difference, bits_per_byte_difference_se
        Of the first less the second, positive where the first is worse; paired, so that the error
        is mostly far smaller than those of the two.
    noise_floor
        What arithmetic alone adds to the KL, bits/byte; NaN where it is not known.
    documents
        How many independent units the texts are: documents, and texts without one; None where only
        the KL is known.
    length_variation
        Coefficient of variation of the texts' bytes.
    per_byte
        Whether the KL leaves out what is in proportion to the texts' bytes.
    bits_per_byte_difference_low, bits_per_byte_difference_high
        Its confidence interval.
    half_in
        How many texts make up half of the KL; None where only the KL is known.
    sharpness
        How sharply the size of the KL is known, and how few texts carry it.
    effective_texts, skewness
        What the interval of the difference is made of; see `numerics.divergence.carried`.
    vector
        Which vectors of the two the KL is of: ``conditional``, ``unconditional`` or ``pmi``; of
        ``pmi`` it is no KL between them, and has no scale (docs/prompts.md).
    """

    kl: float
    se: float
    low: float
    high: float
    words: str
    bits_per_byte: float = NAN
    bits_per_byte_se: float = NAN
    other_bits_per_byte: float = NAN
    other_bits_per_byte_se: float = NAN
    bits_per_byte_difference: float = NAN
    bits_per_byte_difference_se: float = NAN
    noise_floor: float = NAN
    documents: int | None = None
    length_variation: float = NAN
    per_byte: bool = False
    bits_per_byte_difference_low: float = NAN
    bits_per_byte_difference_high: float = NAN
    half_in: int | None = None
    sharpness: str = ""
    effective_texts: float = NAN
    skewness: float = 0.0
    vector: str = CONDITIONAL

    @property
    def within_noise(self) -> bool:
        """Whether the KL is no more than arithmetic may make; see `noise_floor.within_noise`."""
        return within_noise(self.kl, self.noise_floor)

    @classmethod
    def of_kl(
        cls,
        kl: float,
        se: float,
        *,
        level: float = 0.95,
        own: Sequence[OwnGroup] = (),
        texts: int | None = None,
        documents: int | None = None,
        half_in: int | None = None,
        vector: str = CONDITIONAL,
        unit: str = TEXTS,
        **bits: Any,
    ) -> Comparison:
        """What a KL divergence that is measured already says.

        Parameters
        ----------
        kl, se
            Bits per byte.
        level
            Coverage of the interval, between 0 and 1.
        own
            Groups of the user's own scale, by which the words go first.
        texts
            How many texts it was measured on; None where that is unknown.
        documents
            How many of them are independent, where that is known. From fewer than 10 there is
            neither a standard error nor an interval.
        half_in
            How many of the texts make up half of it.
        vector
            Which vectors it is of.
        unit
            What the texts are called, ``texts`` or ``responses``.
        **bits
            The further fields, where they are known.

        Raises
        ------
        InputError
            If one of the three is not possible.
        """
        units = texts if documents is None else documents
        if units is not None and units < FEWEST_TEXTS and not kl == se == 0:
            se = NAN
        low, high = confidence_interval(kl, se, level, texts=units)
        known = None if math.isnan(se) else se
        return Comparison(
            kl,
            se,
            float(low),
            float(high),
            NO_SCALE if vector == PMI else in_words(kl, known, own, unit=unit),
            documents=documents,
            half_in=half_in,
            vector=vector,
            sharpness=how_sharp(kl, se, level, texts=texts, half_in=half_in, unit=unit),
            **bits,
        )

    @classmethod
    def of_vectors(
        cls,
        first: ArrayLike,
        second: ArrayLike,
        size: np.ndarray,
        weights: np.ndarray | None = None,
        documents: np.ndarray | None = None,
        *,
        per_byte: bool = False,
        level: float = 0.95,
        noise_floor: float = NAN,
        own: Sequence[OwnGroup] = (),
        vector: str = CONDITIONAL,
        likelihoods: np.ndarray | None = None,
        unit: str = TEXTS,
    ) -> Comparison:
        """Compare two log-likelihood vectors of the same parts of the same texts.

        Parameters
        ----------
        first, second
            Nats, shape (N,).
        size
            UTF-8 bytes of what was scored of each text, shape (N,).
        weights
            Of the texts, shape (N,), or None.
        documents
            The number of each text's document, shape (N,), -1 for none, or None.
        per_byte
            Whether the KL leaves out what is in proportion to the texts' bytes.
        level
            Coverage of the KL's interval, between 0 and 1.
        noise_floor
            Of the pair, from `numerics.divergence.noise_floor.pair_floor`.
        own, unit
            As for `of_kl`.
        vector
            Which vectors they are.
        likelihoods
            The log-likelihoods of both that bits per byte are of, nats, shape (2, N), where the
            vectors are PMI.

        Raises
        ------
        InputError
            If the shapes differ or a value is not finite.
        """
        mean_bytes = float(np.average(size, weights=weights))
        kl, se = kl_between(
            first,
            second,
            mean_bytes,
            weights=weights,
            text_bytes=size,
            documents=documents,
            per_byte=per_byte,
        )
        how = size, weights, documents
        half = half_in(first, second, weights)
        if likelihoods is not None:
            first, second = likelihoods
        bits, bits_se = bits_and_error(first, *how)
        other, other_se = bits_and_error(second, *how)
        difference, difference_se = bits_per_byte_difference(first, second, *how)
        units = units_of(documents, len(size))
        worth = min(effective_texts(weights, len(size)), float(units))
        skewness = skewness_of_mean(first, second, size, weights)
        low, high = mean_interval(difference, difference_se, level, texts=worth, skewness=skewness)
        return cls.of_kl(
            kl,
            se,
            level=level,
            texts=len(size),
            half_in=half,
            vector=vector,
            unit=unit,
            bits_per_byte=bits,
            bits_per_byte_se=bits_se,
            other_bits_per_byte=other,
            other_bits_per_byte_se=other_se,
            bits_per_byte_difference=difference,
            bits_per_byte_difference_se=difference_se,
            noise_floor=noise_floor,
            own=own,
            documents=units,
            length_variation=length_variation(size, weights),
            per_byte=per_byte,
            bits_per_byte_difference_low=float(low),
            bits_per_byte_difference_high=float(high),
            effective_texts=worth,
            skewness=skewness,
        )

    @property
    def shifted(self) -> bool:
        """Whether the bits per byte of the two differ by more than their noise."""
        return self.bits_per_byte_difference_low > 0 or self.bits_per_byte_difference_high < 0

    def logged(self) -> dict[str, Any]:
        """Under the names that metrics, ``decision.json`` and ``comparison.json`` have for it."""
        return {
            "kl": self.kl,
            "kl_se": self.se,
            "kl_low": self.low,
            "kl_high": self.high,
            "words": self.words,
            "bits_per_byte": self.bits_per_byte,
            "reference_bits_per_byte": self.other_bits_per_byte,
            "bits_per_byte_difference": self.bits_per_byte_difference,
            "bits_per_byte_difference_se": self.bits_per_byte_difference_se,
            "noise_floor": self.noise_floor if self.noise_floor == self.noise_floor else None,
            "within_noise": self.within_noise,
            "bits_per_byte_difference_low": self.bits_per_byte_difference_low,
            "bits_per_byte_difference_high": self.bits_per_byte_difference_high,
            "half_in": self.half_in,
            "sharpness": self.sharpness,
        }
