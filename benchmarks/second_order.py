"""How far the second-order estimate is from the exact KL, in toy models where both are known.

Texts are drawn from a law p0. Two models lie around a third one: how far that one is from p0, and
how far the two are from each other, are set exactly, and the directions are drawn at random. The
estimate Var(l_i - l_j) / (2 B ln 2) is taken under p0, the exact KL(i || j) under model i. The
table gives their ratio: 1 is right, 2 is twice too large.

    python benchmarks/second_order.py [--reduced]      prints the tables; half a minute on one core

Token models draw tokens independently from 64 with Zipf's frequencies, where both quantities are
sums over the vocabulary. Markov models choose the next of 16 tokens by the last one: their exact KL
is a sum over transitions, and the estimate comes from sampled texts and `kl_between`. A token is
four bytes.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.optimize import brentq

from mlflow_modelmap.numerics.divergence.kl import kl_between

BYTES = 4
UNIT = BYTES * np.log(2.0)
"""Nats a token in a bit a byte."""
FROM_TEXTS = (0.001, 0.01, 0.1, 0.5, 1.0)
APART = (0.0001, 0.01, 0.1, 0.5, 1.0, 2.0)
"""Bits a byte."""
_LARGEST = 400.0


def zipf(size: int) -> np.ndarray:
    """Log-probabilities of Zipf's law, shape (size,)."""
    return normalised(-np.log(np.arange(1.0, size + 1.0)))


def normalised(logits: np.ndarray) -> np.ndarray:
    """Log-probabilities over the last axis."""
    logits = logits - logits.max(axis=-1, keepdims=True)
    return logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))


def stationary(log_p: np.ndarray) -> np.ndarray:
    """How often each token comes: the law itself, or that of a chain of shape (V, V)."""
    if log_p.ndim == 1:
        return np.ones(1)
    values, vectors = np.linalg.eig(np.exp(log_p).T)
    law = np.abs(np.real(vectors[:, np.argmax(np.real(values))]))
    return law / law.sum()


def exact_kl(first: np.ndarray, second: np.ndarray) -> float:
    """KL(first || second) in bits a byte, of token laws (V,) or chains (V, V)."""
    of_state = np.atleast_1d((np.exp(first) * (first - second)).sum(axis=-1))
    return float(stationary(first) @ of_state / UNIT)


def scaled(kl_at: Callable[[float], float], wanted: float) -> float | None:
    """The factor on a direction that makes a KL; None where none up to `_LARGEST` does."""
    if kl_at(_LARGEST) < wanted:
        return None
    return float(brentq(lambda x: kl_at(x) - wanted, 0.0, _LARGEST, xtol=1e-10, rtol=1e-8))


def pair_at(
    p0: np.ndarray, toward: np.ndarray, across: np.ndarray, from_texts: float, apart: float
) -> tuple[np.ndarray, np.ndarray] | None:
    """Two models `apart` bits/byte, around one that p0 is `from_texts` bits/byte from."""
    s = scaled(lambda x: exact_kl(p0, normalised(p0 + x * toward)), from_texts)
    if s is None:
        return None
    middle = p0 + s * toward

    def both(x: float) -> tuple[np.ndarray, np.ndarray]:
        return normalised(middle + 0.5 * x * across), normalised(middle - 0.5 * x * across)

    x = scaled(lambda value: exact_kl(*both(value)), apart)
    return None if x is None else both(x)


def estimate(p0: np.ndarray, first: np.ndarray, second: np.ndarray) -> float:
    """Var(l_i - l_j) / (2 B ln 2) of texts of independent tokens from p0: a sum, bits a byte."""
    law, difference = np.exp(p0), first - second
    return float((law @ difference**2 - (law @ difference) ** 2) / (2.0 * UNIT))


def sampled_estimate(
    p0: np.ndarray,
    first: np.ndarray,
    second: np.ndarray,
    random: np.random.Generator,
    texts: int = 2000,
    tokens: int = 128,
) -> float:
    """The same by `kl_between` on sampled texts, of token laws or chains."""
    chain = p0.ndim == 2
    cumulative = np.exp(p0).cumsum(axis=-1)
    now = np.zeros(texts, dtype=np.int64)
    l_i, l_j = np.zeros(texts), np.zeros(texts)
    for _ in range(tokens):
        at = cumulative[now] if chain else cumulative
        drawn = (random.random((texts, 1)) > at).sum(axis=-1).clip(max=p0.shape[-1] - 1)
        l_i += first[now, drawn] if chain else first[drawn]
        l_j += second[now, drawn] if chain else second[drawn]
        now = drawn
    return kl_between(l_i, l_j, BYTES * tokens)[0]


def directions(law: str, shape: tuple[int, ...], random: np.random.Generator) -> np.ndarray:
    """Changes of logits: alike for all tokens, or large for a few (t with 3 degrees)."""
    return random.standard_normal(shape) if law == "normal" else random.standard_t(3, shape)


def rows(reduced: bool = False) -> list[dict[str, Any]]:
    """Median and 90 % range of estimate / exact for every kind of model and pair of distances."""
    found = []
    kinds = (
        ("tokens, all logits change", "normal", 64, 15 if reduced else 300),
        ("tokens, few logits change much", "t3", 64, 15 if reduced else 300),
        ("chains, all logits change", "normal", 16, 2 if reduced else 20),
    )
    for kind, law, size, draws in kinds:
        chain = kind.startswith("chains")
        for from_texts in FROM_TEXTS[:: 2 if chain else 1]:
            for apart in APART[:: 2 if chain and reduced else 1]:
                random = np.random.default_rng([size, round(1e4 * from_texts), round(1e4 * apart)])
                ratios = []
                for _ in range(draws):
                    p0 = zipf(size)
                    shape: tuple[int, ...] = (size,)
                    if chain:
                        shape = (size, size)
                        p0 = normalised(p0 + random.standard_normal(shape))
                    made = pair_at(
                        p0,
                        directions(law, shape, random),
                        directions(law, shape, random),
                        from_texts,
                        apart,
                    )
                    if made is None:
                        continue
                    value = sampled_estimate(p0, *made, random) if chain else estimate(p0, *made)
                    ratios.append(value / exact_kl(*made))
                if len(ratios) < draws / 2:
                    continue  # such models cannot be that far apart
                low, median, high = np.quantile(ratios, (0.05, 0.5, 0.95))
                found.append(
                    {
                        "kind": kind,
                        "from_texts": from_texts,
                        "apart": apart,
                        "median": float(median),
                        "low": float(low),
                        "high": float(high),
                        "least": float(min(ratios)),
                        "most": float(max(ratios)),
                        "pairs": len(ratios),
                    }
                )
    return found


def main() -> None:
    """Print a table a kind of model."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--reduced", action="store_true", help="Few pairs; what the test runs.")
    measured = rows(parser.parse_args().reduced)
    for kind in dict.fromkeys(row["kind"] for row in measured):
        of_kind = [row for row in measured if row["kind"] == kind]
        columns = sorted({row["apart"] for row in of_kind})
        print(f"\n{kind}: estimate / exact, median (5 % to 95 %), bits/byte\n")
        print(
            "| models from the texts' law | " + " | ".join(f"{a:g} apart" for a in columns) + " |"
        )
        print("| ---: |" + " --- |" * len(columns))
        for from_texts in dict.fromkeys(row["from_texts"] for row in of_kind):
            at = {row["apart"]: row for row in of_kind if row["from_texts"] == from_texts}
            cells = [
                f"{at[a]['median']:.2g} ({at[a]['low']:.2g} to {at[a]['high']:.2g})"
                if a in at
                else ""
                for a in columns
            ]
            print(f"| {from_texts:g} | " + " | ".join(cells) + " |")
        print(
            f"\nfrom {min(r['least'] for r in of_kind):.2g} to "
            f"{max(r['most'] for r in of_kind):.2g} times in all"
        )


if __name__ == "__main__":
    main()
