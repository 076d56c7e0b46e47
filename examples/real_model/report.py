"""Write what run.sh measured: table.md, and the pictures that the README and the docs show.

    python examples/real_model/report.py FOLDER

Reads the latest studies of the experiment real-model in FOLDER/mlflow.db; nothing is scored.
"""

from __future__ import annotations

import argparse
import math
import shutil
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd

from mlflow_modelmap import load_layers, load_map
from mlflow_modelmap.drivers.exact.exact import load_exact
from mlflow_modelmap.figures import style
from mlflow_modelmap.figures.headline import headline
from mlflow_modelmap.figures.intervals import INTERVAL, kl_interval, lengths
from mlflow_modelmap.figures.scales import log_axis
from mlflow_modelmap.words.value_and_error import with_error

EXPERIMENT = "real-model"
PROMPTS = "real-model-prompts"
ORIGINAL = "float32"
RUNGS = {
    "1k steps late": 0.011,
    "1k steps early": 0.067,
    "two seeds": 0.12,
    "fine-tuning": 0.40,
}
LAYER = 3.0
"""Medians of the paper's Table 2a, as the README has them."""


def latest(kind: str, most: int = 1, experiment: str = EXPERIMENT) -> list[str]:
    """The finished runs of a kind, the latest first."""
    found = mlflow.search_runs(
        experiment_names=[experiment],
        filter_string=f"tags.`modelmap.kind` = '{kind}' AND attributes.status = 'FINISHED'",
        order_by=["attributes.start_time DESC"],
        max_results=most,
        output_format="list",
    )
    if not found:
        raise SystemExit(f"There is no finished run of kind {kind!r} here; run run.sh first.")
    return [run.info.run_id for run in found]


def measured() -> pd.DataFrame:
    """A row a point, the original first, then by exact KL: both KLs to it, with errors."""
    model_map = load_map(latest("map")[0])
    points = model_map.points.set_index("point")[["precision", "bits_per_byte"]]
    points["kl"], points["se"] = (
        table.loc[ORIGINAL, points.index] for table in (model_map.kl, model_map.kl_standard_error)
    )
    pairs = pd.concat([load_exact(run_id).pairs for run_id in latest("exact", 100)])
    exact = pairs[pairs["first"] == ORIGINAL].drop_duplicates("second").set_index("second")
    columns = ["forward", "forward_se", "forward_low", "forward_high"]
    columns += ["token_mean", "token_mean_se", "top1", "top1_se"]
    table = points.join(exact[columns])
    return table.sort_values("forward", na_position="first", kind="stable")


def markdown(table: pd.DataFrame) -> str:
    """The table as the README shows it."""
    heads = (
        "point",
        "bits/byte",
        "KL, estimate",
        "KL, exact",
        "exact, nats a token",
        "same top token",
    )
    lines = [f"| {' | '.join(heads)} |", f"| {' | '.join(['---'] * len(heads))} |"]
    for row in table.itertuples():
        cells = [row.Index, f"{row.bits_per_byte:.4f}"]
        if math.isnan(row.forward):
            cells += [""] * 4
        else:
            cells += [
                with_error(row.kl, row.se),
                with_error(row.forward, row.forward_se),
                with_error(row.token_mean, row.token_mean_se),
                f"{100 * row.top1:.1f} %",
            ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def picture(table: pd.DataFrame, layers: pd.DataFrame) -> Any:
    """KL of each point to the original, and of each layer to the one before, on logarithmic axes.

    Parameters
    ----------
    layers
        As `LayerStudy.profiles` has them.
    """
    figure = style.figure(10.0, 4.7)
    left, right = figure.add_gridspec(1, 2, width_ratios=(1.75, 1))
    rows = table.dropna(subset="forward")
    _copies(style.panel(figure, left, title="from float32, as measured two ways"), rows)
    _layers(style.panel(figure, right, title="of each layer from the one before"), layers)
    headline(
        figure,
        "How far does each copy move the model, and each layer? KL divergence",
        f"Lines: {INTERVAL}. Dashed: medians of the paper.",
    )
    return figure


def _copies(axes: Any, rows: pd.DataFrame) -> None:
    heights = range(len(rows))
    for rung, kl in RUNGS.items():
        axes.axvline(kl, color=style.OTHERS, lw=0.9, ls=(0, (3, 3)), zorder=1)
        axes.annotate(
            rung,
            (kl, 1.0),
            xycoords=("data", "axes fraction"),
            xytext=(-2, -3),
            textcoords="offset points",
            rotation=90,
            ha="right",
            va="top",
            fontsize=7.5,
            color=style.QUIET_INK,
        )
    estimated = kl_interval(rows["kl"], rows["se"])
    exact = tuple(rows[end].to_numpy(dtype=float) for end in ("forward_low", "forward_high"))
    for offset, mark, column, label, fill, ends in (
        (-0.13, "o", "kl", "estimate, from texts' log-likelihoods", True, estimated),
        (0.13, "D", "forward", "exact, over all tokens", False, exact),
    ):
        axes.errorbar(
            rows[column],
            [height + offset for height in heights],
            xerr=lengths(rows[column], ends),
            fmt=mark,
            ms=5,
            capsize=2.5,
            lw=1.0,
            color=style.PALETTE[0] if fill else style.PALETTE[1],
            markerfacecolor=style.PALETTE[0] if fill else "white",
            label=label,
            zorder=3,
        )
    axes.set_xscale("log")
    ends = np.concatenate([estimated[0], estimated[1], *exact, rows["kl"], rows["forward"]])
    ends = ends[np.isfinite(ends) & (ends > 0)]
    axes.set_xlim(float(ends.min()) / 1.3, 1.3 * float(ends.max()))
    axes.set_yticks(heights, [style.plain(name) for name in rows.index])
    axes.set_ylim(len(rows) - 0.4, -1.7)
    axes.grid(False, axis="y")
    axes.set_xlabel(style.KL_LABEL)
    axes.legend(loc="lower left", frameon=False, fontsize=8)


def _layers(axes: Any, layers: pd.DataFrame) -> None:
    axes.errorbar(
        layers["layer"],
        layers["kl"],
        yerr=lengths(layers["kl"], kl_interval(layers["kl"], layers["se"])),
        fmt="o-",
        ms=3,
        lw=1.0,
        capsize=1.5,
        color=style.PALETTE[2],
    )
    log_axis(axes, values=layers["kl"])
    axes.axhline(
        LAYER, color=style.OTHERS, lw=0.9, ls=(0, (3, 3)), zorder=1, label="the paper's median"
    )
    axes.legend(loc="upper right", frameon=False, fontsize=8)
    axes.set_xlabel("layer (0: the embeddings)")
    axes.set_ylabel(style.KL_LABEL)


def main() -> None:
    """Write all files."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder.resolve()
    mlflow.set_tracking_uri(f"sqlite:///{folder / 'mlflow.db'}")
    table, layers = measured(), load_layers(latest("layers")[0]).profiles
    (folder / "table.md").write_text(markdown(table), encoding="utf-8")
    picture(table, layers).savefig(folder / "real_model.png", dpi=110)
    (run_id,) = latest("map")
    found = mlflow.artifacts.download_artifacts(run_id=run_id, artifact_path="modelmap/map_pca.png")
    shutil.copy(found, folder / "real_model_map.png")
    (run_id,) = latest("prompts", experiment=PROMPTS)
    found = mlflow.artifacts.download_artifacts(
        run_id=run_id, artifact_path="modelmap/prompt_directions.png"
    )
    shutil.copy(found, folder)
    print(markdown(table))
    print(f"The table is in {folder / 'table.md'}, the pictures beside it.")


if __name__ == "__main__":
    main()
