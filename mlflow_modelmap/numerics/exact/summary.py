"""Numerics: exact divergences of two models, token by token, summed up with their errors."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from mlflow_modelmap.numerics.divergence.carried import effective_texts, skewness_of_mean
from mlflow_modelmap.numerics.divergence.interval import FEWEST_TEXTS, mean_interval
from mlflow_modelmap.numerics.matrix.ratio import ratio_and_error
from mlflow_modelmap.numerics.matrix.sampling import units_of

LEVELS = (0.0, 0.1, 1.0, 5.0, 10.0, 25.0, 50.0, 75.0, 90.0, 95.0, 99.0, 99.9, 100.0)
"""Percentiles of a token's KL divergence that are told; 0 and 100 are the smallest and largest."""


@dataclass(frozen=True)
class ExactKL:
    """Two models A and B compared by their next-token distributions over the same tokens.

    Attributes
    ----------
    forward, reverse, js
        KL(A || B), KL(B || A) and Jensen-Shannon divergence of whole texts, bits/byte.
    forward_se, reverse_se, js_se
        Their standard errors over the choice of texts, clustered by document where documents are
        known; NaN from fewer than ten of them.
    forward_low, forward_high
        The 95 % interval of forward, see `mean_interval`; NaN where there is no error.
    effective_texts, skewness
        What that interval is made of: how many texts that count alike they are worth, at most as
        many as documents, and the skewness of forward as a mean over texts.
    top1, top1_se
        Share of tokens at which both find the same token likeliest.
    texts, tokens
        How many were compared.
    token_mean, token_mean_se
        KL(A || B) of a token, nats.
    token_percentiles
        Percentiles of it by their level in per cent, nats.
    perplexity_ratio, perplexity_ratio_se
        Perplexity a token of B over that of A.
    probability_change, probability_change_rms
        Probability that B gives the token that follows less that of A: mean and root mean square.
    bits_per_byte_first, bits_per_byte_second
        Of A and of B on these texts.
    vocabulary
        Entries that the distributions were compared over.
    """

    forward: float
    forward_se: float
    forward_low: float
    forward_high: float
    reverse: float
    reverse_se: float
    js: float
    js_se: float
    top1: float
    top1_se: float
    texts: int
    tokens: int
    token_mean: float
    token_mean_se: float
    token_percentiles: dict[float, float]
    perplexity_ratio: float
    perplexity_ratio_se: float
    probability_change: float
    probability_change_rms: float
    bits_per_byte_first: float
    bits_per_byte_second: float
    vocabulary: int
    effective_texts: float
    skewness: float

    def as_json(self) -> dict[str, Any]:
        """Plain values; percentiles by their level as text."""
        told = asdict(self)
        told["token_percentiles"] = {f"{k:g}": v for k, v in self.token_percentiles.items()}
        return told


def known_ratio(
    above: ArrayLike,
    below: ArrayLike,
    weights: ArrayLike | None = None,
    documents: np.ndarray | None = None,
) -> tuple[float, float]:
    """`ratio_and_error`, without an error from fewer than ten independent texts that differ."""
    ratio, error = ratio_and_error(above, below, weights, documents)
    if error != 0 and units_of(documents, np.size(above)) < FEWEST_TEXTS:
        error = float("nan")
    return ratio, error


def summary(
    *,
    tokens: np.ndarray,
    size: np.ndarray,
    forward: np.ndarray,
    reverse: np.ndarray,
    js: np.ndarray,
    first: np.ndarray,
    second: np.ndarray,
    agree: np.ndarray,
    vocabulary: int,
    weights: np.ndarray | None = None,
    documents: np.ndarray | None = None,
) -> ExactKL:
    """Sum up what `scoring.exact` found.

    Parameters
    ----------
    tokens, size
        Scored tokens and UTF-8 bytes of each text, shape (N,).
    forward, reverse, js, first, second, agree
        As `scoring.exact.token_divergences.TokenDivergences` has them, shape (T,), nats.
    weights, documents
        As `ratio_and_error` takes them. Percentiles count every token alike.
    """
    owner, texts = np.repeat(np.arange(len(tokens)), tokens), len(tokens)

    def by_text(values: np.ndarray) -> np.ndarray:
        return np.bincount(owner, values, texts)

    def per(values: np.ndarray, below: np.ndarray) -> tuple[float, float]:
        return known_ratio(by_text(values), below, weights, documents)

    bits = size * np.log(2.0)
    worth = min(effective_texts(weights, texts), float(units_of(documents, texts)))
    skewness = skewness_of_mean(np.zeros(texts), by_text(forward), size, weights)
    (f, f_se), (r, r_se), (j, j_se) = (per(v, bits) for v in (forward, reverse, js))
    low, high = mean_interval(f, f_se, texts=worth, skewness=skewness)
    top1, top1_se = per(agree.astype(np.float64), tokens)
    mean, mean_se = per(forward, tokens)
    log_ratio, log_ratio_se = per(first - second, tokens)
    change = np.exp(second) - np.exp(first)
    return ExactKL(
        forward=f,
        forward_se=f_se,
        forward_low=float(np.maximum(low, 0.0)),
        forward_high=float(high),
        reverse=r,
        reverse_se=r_se,
        js=j,
        js_se=j_se,
        top1=top1,
        top1_se=top1_se,
        texts=texts,
        tokens=int(tokens.sum()),
        token_mean=mean,
        token_mean_se=mean_se,
        token_percentiles=dict(
            zip(LEVELS, map(float, np.percentile(forward, LEVELS)), strict=True)
        ),
        perplexity_ratio=float(np.exp(log_ratio)),
        perplexity_ratio_se=float(np.exp(log_ratio) * log_ratio_se),
        probability_change=per(change, tokens)[0],
        probability_change_rms=float(np.sqrt(per(change**2, tokens)[0])),
        bits_per_byte_first=-per(first, bits)[0],
        bits_per_byte_second=-per(second, bits)[0],
        vocabulary=vocabulary,
        effective_texts=worth,
        skewness=skewness,
    )
