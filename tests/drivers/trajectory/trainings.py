"""Made-up trainings whose exponents and anomalies are known, and short ones."""

from __future__ import annotations

import numpy as np
import pandas as pd

from mlflow_modelmap.texts.text_set import TextSet
from tests.numerics.generated import fbm_paths, squared_table
from tests.scored import write_score

N = 300
STEPS = [0, 1, 512, *range(1000, 25_000, 1000)]
TRAININGS = ("tiny-seed1", "tiny-seed2", "tiny-seed3", "big", "tiny-seed4", "tiny-seed5")
DAMAGED = 15_000


def texts() -> TextSet:
    domains = ("law", "code", "code")
    return TextSet(
        "made-up texts",
        tuple(f"the made-up text of number {k} " + "x" * (40 + k) for k in range(N)),
        domains=tuple(domains[k % 3] for k in range(N)),
    )


def vectors(seed: int = 0) -> dict[str, np.ndarray]:
    """Log-likelihoods of six trainings: c = 0.5 after warm-up, seed 3 an outlier, one damaged."""
    rng = np.random.default_rng(seed)
    size = texts().bytes
    start, end = -1.2 * size - 4 * rng.standard_normal(N), -0.7 * size
    found = {}
    for k, name in enumerate(TRAININGS):
        own = rng.standard_normal(N)
        late = np.array([step >= 1000 for step in STEPS])
        x = np.zeros((len(STEPS), N))
        x[late] = 1.5 * fbm_paths(0.5, np.arange(1, late.sum()), np.ones(N), rng)
        x += (5 if name == "tiny-seed3" else 2) * own + (
            8 * rng.standard_normal(N) if k == 3 else 0
        )
        share = np.exp(-np.array(STEPS) / 300)[:, None]
        found[name] = share * start + (1 - share) * (end + x)
    found["big"][STEPS.index(DAMAGED)] += 12 * rng.standard_normal(N)
    return found


def write_trainings(store, trainings, text_set, **options):
    return {
        (name, step): write_score(
            store,
            f"{name} step {step}",
            row,
            text_set.bytes,
            digest=text_set.digest,
            trajectory=name,
            step=step,
            precision=options.get("precision", "float32"),
            **{k: v for k, v in options.items() if k != "precision"},
        )
        for name, values in trainings.items()
        for step, row in zip(STEPS, values, strict=True)
    }


def weight_distances() -> pd.DataFrame:
    rng = np.random.default_rng(5)
    steps = np.array(STEPS[3:])
    x = fbm_paths(1.0, np.arange(1, steps.size), np.ones(300), rng)
    i, j = np.triu_indices(steps.size, 1)
    return pd.DataFrame(
        {
            "trajectory": "big",
            "step_from": steps[i],
            "step": steps[j],
            "squared_distance": squared_table(x)[i, j],
        }
    )


def few(store, name="a", steps=(0, 1000, 2000, 3000), seed=0, **options):
    """A short training of random vectors."""
    rng = np.random.default_rng(seed)
    size = np.full(40, 100)
    values = options.pop("values", None)
    options = {"trajectory": name, **options}
    for k, step in enumerate(steps):
        row = -80 + 5 * rng.standard_normal(40) if values is None else values[k]
        own = {key: value for key, value in options.items() if value is not None}
        if step is not None:
            own["step"] = step
        write_score(store, f"{name} at {step} {own.get('precision', '')}", row, size, **own)
