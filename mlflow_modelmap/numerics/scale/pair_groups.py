"""Numerics: which pairs of points belong to which setting of the scale (paper, Figure 3)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from mlflow_modelmap.numerics.scale.pairs import pairs_at_random, pairs_within
from mlflow_modelmap.numerics.trajectory.spacing import WARM_UP, most_common_gap

LATER = "Later"
EARLY = "Early"
SEED = "Seed"
SIZE = "Size"
INT8 = "8-bit"
FOUR_BIT = "4-bit"
FINE_TUNE = "FT"
WITHIN_TYPE = "Intra-type"
RANDOM = "Random"
LAYER = "Layer"

ALONG_TRAINING = (LATER, EARLY, SEED, SIZE)
"""The groups that the paper clips and frees of irregular texts (Appendix E.1)."""

COLUMNS = (
    "model",
    "revision",
    "trajectory",
    "step",
    "model_type",
    "precision",
    "base_model",
    "layer",
    "adapter_base",
)

_FULL_PRECISION = ("float32", "bfloat16", "float16")
_MADE_WHILE_LOADING = ("int8", "nf4", "fp4")
_SEED = re.compile(r"[-_ .]?seed[-_ .]?\d+", re.IGNORECASE)
_PART_OF_TRAINING = 50 / 143  # the paper's first and last 50k of 143k steps


def seed_family(trajectory: str) -> str:
    """A trajectory's name without its seed: `pythia-410m-seed3` belongs to `pythia-410m`."""
    return _SEED.sub("", trajectory)


def training_rows(points: pd.DataFrame) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Steps and row numbers of each trajectory's checkpoints in full precision, in order of step.

    Parameters
    ----------
    points
        As for `pair_groups`.
    """
    table = points.reset_index(drop=True).reindex(columns=[*COLUMNS])
    table = table.astype(object).where(table.notna(), None)
    return {
        str(name): (rows["step"].to_numpy(dtype=np.int64), rows.index.to_numpy())
        for name, rows in _trajectories(_in_full_precision(table))
    }


def pair_groups(
    points: pd.DataFrame,
    *,
    group_columns: Sequence[str] = (),
    most_random: int = 2_000,
    seed: int = 0,
) -> dict[str, np.ndarray]:
    """Sort pairs of points into the settings of the paper's Table 2a.

    Parameters
    ----------
    points
        One row a point, with the columns of `COLUMNS`; missing values are None or NaN.
    group_columns
        Further columns; the pairs of points that share a value of one make a group of its name.
    most_random
        At most this many pairs are drawn for the two random groups, and for each of the user's.
    seed
        Of that draw.

    Returns
    -------
    dict
        From a setting to an int array of shape (n, 2) of row numbers; only settings that have at
        least one pair. Checkpoints are neighbours at their trajectory's usual spacing after
        warm-up; early and later ones lie in the first and last 50/143 of training, as in the
        paper. Seeds and sizes are compared at the final step, in full precision.
    """
    table = points.reset_index(drop=True).reindex(columns=[*COLUMNS, *group_columns])
    table = table.astype(object).where(table.notna(), None)
    whole = table[[layer is None for layer in table["layer"]]]
    full = _in_full_precision(table)
    trained = _finals(full)
    plain = _representatives(full, trained)
    # Of a fine-tuning that was scored along its steps, the last checkpoint is the fine-tune.
    on_trajectory = full["trajectory"].notna() & full["step"].notna()
    tuned = full[~on_trajectory | full.index.isin(trained.index)]
    found = {
        LATER: _neighbours(full, early=False),
        EARLY: _neighbours(full, early=True),
        SEED: _seeds(trained),
        SIZE: _sizes(trained),
        INT8: _quantised(whole, ("int8",)),
        FOUR_BIT: _quantised(whole, ("nf4", "fp4")),
        FINE_TUNE: _fine_tunes(full, plain, _last_steps(tuned)),
        WITHIN_TYPE: _sharing(plain, "model_type", most_random, seed),
        RANDOM: _at_random(plain, most_random, seed),
        LAYER: _layers(table),
    }
    for column in group_columns:
        found[column] = _sharing(whole, column, most_random, seed)
    return {
        name: np.array(sorted(set(map(tuple, pairs))), dtype=np.int64)
        for name, pairs in found.items()
        if len(pairs)
    }


def quantised_copies(points: pd.DataFrame) -> np.ndarray:
    """Every quantised copy with its original.

    Parameters
    ----------
    points
        As for `pair_groups`.

    Returns
    -------
    ndarray of int, shape (n, 2)
        Row numbers of original and copy. The original is the first row in full precision of the
        same model and revision; of a file that is stored quantised (``Q4_K_M``, ``gptq-int4``) and
        has no such row, that of the model that it names as its base.
    """
    table = points.reset_index(drop=True).reindex(columns=[*COLUMNS])
    table = table.astype(object).where(table.notna(), None)
    whole = table[[layer is None for layer in table["layer"]]]
    plain = (*_FULL_PRECISION, "float64", None)
    kinds = [kind for kind in whole["precision"].unique() if kind not in plain]
    pairs = _quantised(whole, kinds)
    paired = {copy for _, copy in pairs}
    parents = _by_name(_in_full_precision(table))
    pairs += [
        (parents[str(row["base_model"])], index)
        for index, row in _rows(whole[whole["precision"].isin(kinds)])
        if index not in paired
        and row["precision"] not in _MADE_WHILE_LOADING  # of a fine-tune, say, not of its base
        and row["adapter_base"] is None
        and str(row["base_model"]) in parents
    ]
    return np.array(sorted(set(pairs)), dtype=np.int64).reshape(-1, 2)


def _in_full_precision(table: pd.DataFrame) -> pd.DataFrame:
    whole = table[[layer is None for layer in table["layer"]]]
    return whole[whole["precision"].isin([*_FULL_PRECISION]) | whole["precision"].isna()]


Pairs = list[tuple[int, int]]


def _rows(table: pd.DataFrame) -> list[tuple[int, dict[str, Any]]]:
    """Row numbers and values as they stand; `iterrows` makes NaN of None where all else is text."""
    return list(zip(map(int, table.index), table.to_dict("records"), strict=True))


def _all_pairs(rows: Sequence[int]) -> Pairs:
    return list(combinations(rows, 2))


def _sharing(table: pd.DataFrame, column: str, most: int | None = None, seed: int = 0) -> Pairs:
    index = table.index.to_numpy()
    first, second = pairs_within(list(table[column]), limit=most, seed=seed)
    return list(zip(index[first], index[second], strict=True))


def _at_random(table: pd.DataFrame, most: int, seed: int) -> Pairs:
    index = table.index.to_numpy()
    first, second = pairs_at_random(len(index), most, seed=seed)
    return list(zip(index[first], index[second], strict=True))


def _trajectories(table: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """Trajectories in order of step; of a step that was scored twice, the first row."""
    named = table[table["trajectory"].notna() & table["step"].notna()]
    return [
        (
            name,
            rows.assign(step=rows["step"].astype(int)).sort_values("step").drop_duplicates("step"),
        )
        for name, rows in named.groupby("trajectory")
    ]


def _neighbours(table: pd.DataFrame, *, early: bool) -> Pairs:
    pairs: Pairs = []
    for _, rows in _trajectories(table):
        steps = rows["step"].to_numpy()
        last = steps[-1]
        late_enough = steps >= WARM_UP * last
        steps, index = steps[late_enough], rows.index.to_numpy()[late_enough]
        if len(steps) < 2:
            continue
        gaps = np.diff(steps)
        for position in np.flatnonzero(gaps == most_common_gap(gaps)):
            start, end = steps[position], steps[position + 1]
            inside = end if early else last - start
            if inside <= _PART_OF_TRAINING * last + 1e-6:
                pairs.append((index[position], index[position + 1]))
    return pairs


def _finals(table: pd.DataFrame) -> pd.DataFrame:
    """The last checkpoint of every trajectory, with its seed family."""
    rows = [rows.iloc[[-1]].assign(family=seed_family(name)) for name, rows in _trajectories(table)]
    return pd.concat(rows) if rows else table.iloc[:0].assign(family=None)


def _representatives(full: pd.DataFrame, finals: pd.DataFrame) -> pd.DataFrame:
    """One row a model: final checkpoints and models outside any trajectory."""
    single = full[full["trajectory"].isna()].drop_duplicates(["model", "revision"])
    return pd.concat([finals, single]).sort_index()


def _seeds(finals: pd.DataFrame) -> Pairs:
    return [
        (a, b) for _, rows in finals.groupby(["family", "step"]) for a, b in _all_pairs(rows.index)
    ]


def _sizes(finals: pd.DataFrame) -> Pairs:
    """Pairs of families of one model type; one seed each, the first by name."""
    chosen = finals.sort_values("trajectory").drop_duplicates("family").sort_index()
    return _sharing(chosen, "model_type")


def _quantised(table: pd.DataFrame, precisions: Sequence[str]) -> Pairs:
    same = ["model", "revision", "adapter_base"]  # an adapter on another base is another model
    originals: dict[tuple[Any, ...], int] = {}
    for index, row in _rows(table):
        if row["precision"] in (*_FULL_PRECISION, None):
            originals.setdefault(tuple(row[name] for name in same), index)
    copies = table[table["precision"].isin(list(precisions))]
    return [
        (originals[key], index)
        for index, row in _rows(copies)
        if (key := tuple(row[name] for name in same)) in originals
    ]


def _last_steps(table: pd.DataFrame) -> pd.DataFrame:
    """Of the rows of one model without a trajectory that say their step, the last alone."""
    stepped = table[table["step"].notna() & table["trajectory"].isna()]
    last = stepped.assign(step=stepped["step"].astype(float)).sort_values("step", kind="stable")
    gone = stepped.index.difference(last.drop_duplicates("model", keep="last").index)
    return table.drop(index=gone)


def _fine_tunes(full: pd.DataFrame, plain: pd.DataFrame, tuned: pd.DataFrame) -> Pairs:
    """A model and the model it says it comes from, by name (with `@revision` where given)."""
    parents = _by_name(pd.concat([plain, full]))
    return [
        (parents[str(row["base_model"])], index)
        for index, row in _rows(tuned)
        if row["base_model"] is not None
        and str(row["base_model"]) in parents
        and parents[str(row["base_model"])] != index
    ]


def _by_name(table: pd.DataFrame) -> dict[str, int]:
    """The first row of each model, by its name and by `name@revision`."""
    named: dict[str, int] = {}
    for index, row in _rows(table):
        if row["revision"]:
            named.setdefault(f"{row['model']}@{row['revision']}", index)
        named.setdefault(str(row["model"]), index)
    return named


def _layers(table: pd.DataFrame) -> Pairs:
    lens = table[table["layer"].notna()]
    pairs: Pairs = []
    keys = ["model", "revision", "trajectory", "step", "precision"]
    for _, rows in lens.groupby(keys, dropna=False):
        ordered = rows.assign(layer=rows["layer"].astype(int)).sort_values("layer")
        index, layers = ordered.index.to_numpy(), ordered["layer"].to_numpy()
        pairs += [
            (index[i], index[i + 1])
            for i in range(len(index) - 1)
            if layers[i + 1] == layers[i] + 1
        ]
    return pairs
