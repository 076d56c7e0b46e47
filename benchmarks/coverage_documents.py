"""How right standard errors are where texts are pieces of documents, or of unequal length.

Two models' differences of log-likelihoods are drawn many times; the mean of the estimated SE^2 is
set against the variance that the estimates really have. 1.00 is right, 0.25 an SE half as large.

    python benchmarks/coverage_documents.py [--reduced]
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))

from coverage_table import main

from mlflow_modelmap.numerics.divergence.kl import kl_pairs
from mlflow_modelmap.numerics.matrix.coordinates import text_centred
from mlflow_modelmap.numerics.matrix.log_likelihoods import LogLikelihoodMatrix

MEAN_BYTES = 1000.0


def clustered(
    rng: np.random.Generator, documents: int, each: int, spread: float = 0.6
) -> np.ndarray:
    """Differences in nats, shape (documents * each,): their size varies from document to document.

    The variance of a document's differences is log-normal with a log-SD of `spread`, and half of
    the variance of its mean is common to its texts.
    """
    scale = np.exp(spread * rng.normal(size=(documents, 1)) / 2.0)
    common = rng.normal(size=(documents, 1))
    own = rng.normal(size=(documents, each))
    return (scale * (common + own) / np.sqrt(2.0)).ravel()


def lengths(rng: np.random.Generator, texts: int, variation: float) -> np.ndarray:
    """Bytes of texts, gamma distributed with this coefficient of variation, shape (N,)."""
    if variation == 0:
        return np.full(texts, MEAN_BYTES)
    shape = 1.0 / variation**2
    return np.maximum(1.0, np.round(rng.gamma(shape, MEAN_BYTES / shape, texts)))


def measured(
    difference: np.ndarray, size: np.ndarray, documents: np.ndarray | None, *, per_byte: bool
) -> tuple[float, float]:
    """KL and its SE as a map measures them."""
    values = np.stack([difference, np.zeros_like(difference)]) - 700.0
    matrix = LogLikelihoodMatrix(values, ("a", "b"), size, None, documents, per_byte)
    kl, se = kl_pairs(text_centred(matrix), [0], [1], matrix.sampling)
    return float(kl[0]), float(se[0])


def of_equal_lengths(difference: np.ndarray, size: np.ndarray) -> float:
    """SE^2 of the paper's formula, which takes B as known."""
    d = difference - difference.mean()
    kl = np.mean(d * d)
    unit = 2.0 * size.mean() * np.log(2.0)
    return float(np.sum((d * d - kl) ** 2)) / (size.size * unit) ** 2


def row(
    quantity: str, law: str, texts: int, kl: np.ndarray, squares: np.ndarray, note: str
) -> dict[str, Any]:
    """A line of the table: the ratio of SE^2 to the variance of the estimates."""
    return {
        "quantity": quantity,
        "law": law,
        "texts": texts,
        "nominal": 1.0,
        "measured": float(np.mean(squares) / np.var(kl, ddof=1)),
        "note": note,
    }


def rows(reduced: bool = False) -> list[dict[str, Any]]:
    """The table, a dict a line; the reduced form has fewer samples and settings."""
    rng = np.random.default_rng(11)
    samples = 1000 if reduced else 4000
    found = []
    for documents, each in ((100, 5),) if reduced else ((20, 20), (50, 8), (100, 5), (400, 5)):
        codes = np.repeat(np.arange(documents), each)
        size = np.full(codes.size, MEAN_BYTES)
        values = [clustered(rng, documents, each) for _ in range(samples)]
        law = f"clustered, {documents} documents of {each}"
        for name, given in (("naive", None), ("by document", codes)):
            kl, se = np.array([measured(d, size, given, per_byte=False) for d in values]).T
            found.append(row("SE^2 of KL, " + name, law, codes.size, kl, se**2, ""))
    for variation in (0.5,) if reduced else (0.0, 0.1, 0.3, 0.5, 1.0):
        texts = 400
        drawn = []
        for _ in range(samples):
            size = lengths(rng, texts, variation)
            noise = rng.normal(size=texts) * np.sqrt(size)
            drawn.append((0.05 * size + noise, size))
        law = f"normal, lengths vary by {variation:g}"
        kls = {}
        for per_byte in (False, True):
            kl, se = np.array([measured(d, b, None, per_byte=per_byte) for d, b in drawn]).T
            kls[per_byte] = kl
            name = "SE^2 of KL, per byte" if per_byte else "SE^2 of KL"
            note = f"mean KL {kl.mean():.3f} bits/byte"
            if not per_byte:
                plain = np.array([of_equal_lengths(d, b) for d, b in drawn])
                found.append(row("SE^2 of KL, B taken as known", law, texts, kl, plain, note))
            found.append(row(name, law, texts, kl, se**2, note))
    return found


if __name__ == "__main__":
    main(rows, __doc__)
