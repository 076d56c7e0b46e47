"""How right KL is on few texts: chosen by half of the trainings, measured on the others.

    python benchmarks/fewer_texts.py [--experiment NAME] [--sizes 50,100,200] [--repeats 200]

Reads score runs of one experiment, by default those of `make quickstart`. The trainings (models
without one stand for themselves) are dealt to two halves, in order of name; the first half chooses
texts by each method, and the KL of all pairs of the second half on those texts is set against the
KL on all texts. Every method has the same repeats in the same process, and `variance` is the mean
squared relative error over that of `uniform`.
"""

from __future__ import annotations

import argparse
import time

import mlflow
import numpy as np

from mlflow_modelmap.errors import ModelMapError
from mlflow_modelmap.numerics.divergence.kl import kl_matrix, kl_with_standard_error
from mlflow_modelmap.numerics.matrix.coordinates import coordinates
from mlflow_modelmap.numerics.matrix.log_likelihoods import LogLikelihoodMatrix
from mlflow_modelmap.numerics.preprocessing.resampling import (
    METHODS,
    Method,
    draw,
    importance,
    inclusion_probabilities,
    variance_ratio,
)
from mlflow_modelmap.tracking.runs.point import Point
from mlflow_modelmap.tracking.runs.read_vectors import read_matrix
from mlflow_modelmap.tracking.runs.select_runs import select_runs


def halves(points: list[Point]) -> tuple[np.ndarray, np.ndarray]:
    labels = [point.trajectory or point.name for point in points]
    order = {label: k for k, label in enumerate(sorted(set(labels)))}
    first = np.array([order[label] % 2 == 0 for label in labels])
    return np.flatnonzero(first), np.flatnonzero(~first)


def chosen_by(
    on: LogLikelihoodMatrix, method: Method, size: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    inclusion = inclusion_probabilities(importance(coordinates(on), method, on.shares), size)
    chosen = draw(inclusion, rng.random(inclusion.size))
    before = 1.0 if on.weights is None else on.weights[chosen]
    return chosen, before / inclusion[chosen]


def measured(
    of: LogLikelihoodMatrix, chosen: np.ndarray, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    part = of.keep_texts(chosen)
    part = LogLikelihoodMatrix(part.values, part.points, part.text_bytes, weights)
    kl, se = kl_with_standard_error(coordinates(part), part.shares)
    above = np.triu_indices(len(kl), 1)
    return kl[above], se[above]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--experiment", default="quickstart")
    parser.add_argument("--tracking-uri", default=None)
    parser.add_argument("--sizes", default="20,50,100,200,500")
    parser.add_argument("--repeats", type=int, default=200)
    given = parser.parse_args()
    if given.tracking_uri:
        mlflow.set_tracking_uri(given.tracking_uri)
    try:
        matrix, points = read_matrix(select_runs([given.experiment]))
    except ModelMapError as error:
        raise SystemExit(f"{error} `make quickstart` makes the scores of that name.") from None
    one, two = halves(points)
    choosing, others = matrix.keep_points(one), matrix.keep_points(two)
    texts = matrix.values.shape[1]
    start = time.perf_counter()
    importance(coordinates(choosing), "kl", choosing.shares)
    took = time.perf_counter() - start
    every = kl_matrix(coordinates(others))
    truth = every[np.triu_indices(len(every), 1)]
    near = truth <= np.quantile(truth, 0.2)
    print(
        f"{len(one)} points choose among {texts:,} texts in {took:.3f} s, {len(two)} others are "
        f"measured ({truth.size:,} pairs, KL {truth.min():.2g} to {truth.max():.2g} bits/byte)"
    )
    print("error, bias and standard error are relative to KL: medians over pairs\n")
    print(
        f"{'texts':>5} {'of bytes':>8}  {'method':15}{'error':>8}{'variance':>10}{'foretold':>10}"
        f"{'near pairs':>12}{'bias':>8}{'SE':>8}{'weight':>8}"
    )
    for size in (int(number) for number in given.sizes.split(",")):
        if size >= texts:
            continue
        at_random = None
        for method in sorted(METHODS, reverse=True):
            rng = np.random.default_rng(0)
            found, errors, largest, size_share = [], [], [], []
            for _ in range(given.repeats):
                chosen, weights = chosen_by(choosing, method, size, rng)
                kl, se = measured(others, chosen, weights)
                found.append(kl / truth - 1.0)
                errors.append(se / truth)
                largest.append(weights.max() / weights.mean())
                size_share.append(matrix.text_bytes[chosen].sum() / matrix.text_bytes.sum())
            relative = np.array(found)
            square = np.mean(relative**2, axis=0)
            at_random = square if at_random is None else at_random
            print(
                f"{size:>5} {np.mean(size_share):>8.1%}  {method:15}"
                f"{np.median(np.sqrt(square)):>8.1%}"
                f"{np.median(square / at_random):>10.2f}"
                f"{variance_ratio(coordinates(choosing), method, size, choosing.shares):>10.2f}"
                f"{np.median(np.sqrt(square[near])):>12.1%}"
                f"{np.median(relative.mean(axis=0)):>8.1%}"
                f"{np.median(np.mean(errors, axis=0)):>8.1%}"
                f"{np.max(largest):>8.1f}"
            )


if __name__ == "__main__":
    main()
