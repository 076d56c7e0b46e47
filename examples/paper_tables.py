"""Print Tables 1 to 4 of the paper from a trajectory run, beside the paper's own numbers.

    python examples/paper_tables.py SIZES_RUN [--seeds SEEDS_RUN]

SIZES_RUN is a run of `modelmap trajectory` over the five sizes of Pythia, with weights; SEEDS_RUN
one over the seeds of the 410M model. `modelmap import` makes the runs that these read.
Of Tables 2a and 2b the rows of pretraining are printed; the others are those of `modelmap scale`,
`modelmap quantization` and `modelmap layers`.
"""

from __future__ import annotations

import argparse
import sys

import numpy as np
import pandas as pd

from mlflow_modelmap import ModelMapError, load_trajectory
from mlflow_modelmap.drivers.trajectory.study import TrajectoryStudy
from mlflow_modelmap.numerics.scale.pair_groups import EARLY, LATER, SEED, SIZE, pair_groups

# size: c_w, c_q, alpha, c_exp(q)
TABLE_1 = {
    "410m": (1.1, 0.15, 0.14, 0.15),
    "1b": (0.83, 0.20, 0.24, 0.20),
    "1.4b": (0.91, 0.21, 0.23, 0.21),
    "2.8b": (0.90, 0.26, 0.29, 0.26),
    "6.9b": (0.92, 0.33, 0.36, 0.34),
}
# setting: median, mean, SD
TABLE_2A = {
    LATER: (0.011, 0.014, 0.0050),
    EARLY: (0.067, 0.078, 0.047),
    SEED: (0.12, 0.12, 0.0071),
    SIZE: (0.48, 0.61, 0.47),
}
TABLE_2B = {10_000: (0.069, 0.0011), 50_000: (0.053, 0.0010), 100_000: (0.023, 0.00042)}
SEEDS_2B = (0.11, 0.0024)
TABLE_3 = {
    ("410m", "1b"): 0.28,
    ("410m", "1.4b"): 0.52,
    ("410m", "2.8b"): 1.04,
    ("410m", "6.9b"): 1.7,
    ("1b", "1.4b"): 0.15,
    ("1b", "2.8b"): 0.44,
    ("1b", "6.9b"): 0.92,
    ("1.4b", "2.8b"): 0.21,
    ("1.4b", "6.9b"): 0.57,
    ("2.8b", "6.9b"): 0.21,
}
# size: mean and SD of R^2 in q, then in w
TABLE_4 = {
    "410m": (0.849, 0.158, 0.993, 0.00622),
    "1b": (0.935, 0.0866, 0.999, 0.000922),
    "1.4b": (0.955, 0.0336, 0.999, 0.000687),
    "2.8b": (0.959, 0.088, 0.999, 0.000704),
    "6.9b": (0.977, 0.0305, 0.999, 0.000975),
}


def size_of(trajectory: str) -> str:
    return trajectory.removeprefix("pythia-")


def table_1(study: TrajectoryStudy) -> pd.DataFrame:
    """Diffusion and Hoelder exponents at t0."""
    rows = []
    for r in study.summary.to_dict("records"):
        paper = TABLE_1.get(size_of(r["trajectory"]), (np.nan,) * 4)
        found = (r["c_w"], r["c_q"], r["alpha"], r["c_exp_q"])
        rows.append((size_of(r["trajectory"]), r["t0"], *found, r["difference"], *paper))
    names = ("c_w", "c_q", "alpha", "c_exp_q")
    columns = ["size", "t0", *names, "difference", *(f"{name} (paper)" for name in names)]
    return pd.DataFrame(rows, columns=columns)


def table_2a(study: TrajectoryStudy) -> pd.DataFrame:
    """The settings of pretraining on the scale."""
    kl = study.kl.to_numpy()
    rows = []
    for setting, pairs in pair_groups(study.points).items():
        if setting in TABLE_2A:
            values = kl[pairs[:, 0], pairs[:, 1]]
            sd = values.std() if len(values) > 1 else np.nan
            found = (np.median(values), values.mean(), sd)
            rows.append((setting, len(values), *found, *TABLE_2A[setting]))
    names = ("median", "mean", "SD")
    columns = ["setting", "pairs", *names, *(f"{name} (paper)" for name in names)]
    return pd.DataFrame(rows, columns=columns)


def table_2b(study: TrajectoryStudy, seeds: TrajectoryStudy | None) -> pd.DataFrame:
    """KL of the 410M model between checkpoints, seeds and sizes, with standard errors."""
    rows = []
    own = study.kl_previous[study.kl_previous["trajectory"] == "pythia-410m"].set_index("step_from")
    for step, paper in TABLE_2B.items():
        if step in own.index:
            what = f"{step // 1000}k to {int(own.at[step, 'step']) // 1000}k"
            rows.append((what, own.at[step, "kl"], own.at[step, "se"], *paper))
    if seeds is not None:
        other = _from_410m(seeds)
        other = other[other["other"].str.contains("seed")]
        rows.append(("seeds, average", other["kl"].mean(), other["se"].mean(), *SEEDS_2B))
    for r in _from_410m(study).itertuples():
        size = size_of(r.other)
        if ("410m", size) in TABLE_3:
            rows.append((f"410m and {size}", r.kl, r.se, TABLE_3["410m", size], np.nan))
    return pd.DataFrame(rows, columns=["between", "KL", "SE", "KL (paper)", "SE (paper)"])


def _from_410m(study: TrajectoryStudy) -> pd.DataFrame:
    """KL of the 410M model from the others at the last common step."""
    between = study.kl_between
    own = between[(between["trajectory"] == "pythia-410m") | (between["other"] == "pythia-410m")]
    own = own[own["step"] == own["step"].max()].copy()
    swap = own["other"] == "pythia-410m"
    own.loc[swap, "other"] = own.loc[swap, "trajectory"]
    return own


def table_3(study: TrajectoryStudy) -> pd.DataFrame:
    """KL between sizes at the last common step."""
    between = study.kl_between[study.kl_between["step"] == study.kl_between["step"].max()]
    rows = []
    for r in between.itertuples():
        pair = (size_of(r.trajectory), size_of(r.other))
        paper = TABLE_3.get(pair, TABLE_3.get(pair[::-1], np.nan))
        rows.append((*pair, r.step, r.kl, paper))
    return pd.DataFrame(rows, columns=["size", "and", "step", "KL", "KL (paper)"])


def table_4(study: TrajectoryStudy) -> pd.DataFrame:
    """Mean and standard deviation of R^2 over t0."""
    rows = []
    for r in study.summary.to_dict("records"):
        paper = TABLE_4.get(size_of(r["trajectory"]), (np.nan,) * 4)
        found = (r["r2_q_mean"], r["r2_q_sd"], r["r2_w_mean"], r["r2_w_sd"])
        rows.append((size_of(r["trajectory"]), *found, *paper))
    names = ("q mean", "q SD", "w mean", "w SD")
    return pd.DataFrame(rows, columns=["size", *names, *(f"{name} (paper)" for name in names)])


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("sizes_run")
    parser.add_argument("--seeds", help="run over the seeds of the 410M model")
    given = parser.parse_args(arguments)
    study = load_trajectory(given.sizes_run)
    seeds = load_trajectory(given.seeds) if given.seeds else None
    for title, table in (
        ("Table 1: diffusion exponents and alpha", table_1(study)),
        ("Table 2a: KL (bits/byte) of the settings of pretraining", table_2a(study)),
        (
            "Table 2a: between seeds",
            None if seeds is None else table_2a(seeds).query("setting == @SEED"),
        ),
        ("Table 2b: KL (bits/byte) of Pythia 410M", table_2b(study, seeds)),
        ("Table 3: KL (bits/byte) between sizes", table_3(study)),
        ("Table 4: R^2 of the fits over all t0", table_4(study)),
    ):
        if table is not None and len(table):
            print(f"\n{title}")
            print(table.to_string(index=False, float_format=lambda v: f"{v:.3g}", na_rep="-"))


if __name__ == "__main__":
    try:
        main()
    except ModelMapError as error:
        sys.exit(f"Error: {error}")
