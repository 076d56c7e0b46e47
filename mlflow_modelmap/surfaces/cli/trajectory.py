"""Surface: `modelmap trajectory`, KL, diffusion and anomalies along training."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from mlflow_modelmap.errors import InputError
from mlflow_modelmap.surfaces.cli.options import (
    SEED,
    Command,
    Output,
    option,
    output_options,
    preprocessing_options,
    selection_options,
    vector_option,
    where_options,
)
from mlflow_modelmap.surfaces.cli.tables import table

if TYPE_CHECKING:
    from mlflow_modelmap.drivers.trajectory.study import TrajectoryStudy

BESIDE = "Beside them"
PREPROCESSING = "Preprocessing"
DIFFUSION = "Diffusion"
PICTURES = "Pictures and checks"


@click.command(cls=Command, short_help="KL, diffusion and anomalies along training.")
@selection_options
@vector_option
@option("--weights-run", group=BESIDE, help="Run of `modelmap weights` over the same trajectories.")
@option(
    "--texts",
    group=BESIDE,
    help="Only runs on this text set; for domains and the worst texts.",
)
@option(
    "--other-filter",
    group=BESIDE,
    help="MLflow filter of the same checkpoints on another text set, to correlate their KL.",
)
@option(
    "--leave-out",
    "leave_out",
    multiple=True,
    group=PREPROCESSING,
    callback=lambda _context, _parameter, values: _names(values),
    help="Name of a checkpoint's run, or a trajectory. Repeatable, or separated by commas.",
)
@option(
    "--leave-out-anomalies",
    is_flag=True,
    group=PREPROCESSING,
    help="Leave out damaged checkpoints, spikes and outlying trainings, as found, and name them.",
)
@preprocessing_options(0.02, 0.03, PREPROCESSING)
@option(
    "--warm-up",
    type=int,
    group=PREPROCESSING,
    help="First step after warm-up; by default 2/143 of training, once checkpoints are regular.",
)
@option("--window", type=int, group=DIFFUSION, help="In steps; by default ten usual spacings.")
@option("--start", type=int, group=DIFFUSION, help="t0 of the summary; by default the last.")
@option(
    "--perplexity", type=float, default=30.0, show_default=True, group=PICTURES, help="Of t-SNE."
)
@option(
    "--perplexities",
    default="20,30,40,50",
    show_default=True,
    group=PICTURES,
    help="Of the 3D t-SNEs whose oscillation is measured.",
)
@option(
    "--splits",
    type=int,
    default=10,
    show_default=True,
    group=PICTURES,
    help="Random halves of the texts that are compared.",
)
@option(
    "--seed", type=SEED, default=0, show_default=True, group=PICTURES, help="Of t-SNE and halves."
)
@option("--no-figures", is_flag=True, group=PICTURES, help="No pictures: much quicker.")
@option(
    "--no-tags", is_flag=True, group=PICTURES, help="Do not tag flagged runs (modelmap.anomaly)."
)
@where_options
@output_options
def trajectory(
    output: Output,
    perplexities: str,
    clip: float,
    drop_texts: float,
    no_figures: bool,
    no_tags: bool,
    **values: Any,
) -> None:
    """Measure one or more trainings from their scored checkpoints.

    KL between checkpoints with standard errors, diffusion exponents with intervals, damaged
    checkpoints and outlying seeds, dependence on the texts: one run of kind trajectory. Without an
    experiment, a filter or runs, the current experiment's scores are taken.
    """
    from mlflow_modelmap.drivers.trajectory.trajectory import trajectory as study

    found = study(
        perplexities=_numbers(perplexities),
        clip=clip or None,
        drop_texts=drop_texts or None,
        figures=not no_figures,
        tag_runs=not no_tags,
        **values,
    )
    for notice in found.notices:
        output.notice(notice)
    output.tell(_result(found), _lines(found), ids=[found.run_id], study=found.run_id)


def _names(values: Sequence[str]) -> tuple[str, ...]:
    parts = [part.strip() for value in values for part in value.split(",")]
    return tuple(dict.fromkeys(part for part in parts if part))


def _numbers(written: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in written.split(",") if part.strip())
    except ValueError:
        raise InputError(
            f"{written!r} is no list of perplexities; write numbers with commas: 20,30."
        ) from None


def _result(found: TrajectoryStudy) -> dict[str, Any]:
    return {
        "run_id": found.run_id,
        "experiment_id": found.experiment_id,
        "name": found.name,
        "checkpoints": len(found.points),
        "settings": found.settings,
        "summary": found.summary.to_dict("records"),
        "combined": _records(found.tables.get("combined")),
        "anomalies": found.anomalies.to_dict("records"),
        "siblings": found.siblings.to_dict("records"),
        "notices": list(found.notices),
    }


def _records(table: Any) -> list[dict[str, Any]]:
    """Rows of a table with None where there is no value; none of None."""
    if table is None:
        return []
    values = table.astype(object)
    rows: list[dict[str, Any]] = values.where(values.notna(), None).to_dict("records")
    return rows


def _lines(found: TrajectoryStudy) -> list[str]:
    lines = []
    if len(found.summary):
        rows = [
            [
                r["trajectory"],
                r["t0"],
                _interval(r["c_q"], r["c_q_low"], r["c_q_high"]),
                _interval(r["c_w"], r["c_w_low"], r["c_w_high"]),
                _interval(r["alpha"], r["alpha_low"], r["alpha_high"]),
                _interval(r["dimension_q"], r["dimension_q_low"], r["dimension_q_high"], places=1),
                _short(r["r2_q_mean"], 3),
                _p_value(r["lack_of_fit_q"]),
            ]
            for r in found.summary.to_dict("records")
        ]
        headings = ["trajectory", "t0", "c_q (95 %)", "c_w (95 %)", "c_q / c_w", "D_q (95 %)"]
        lines += [*table(rows, [*headings, "mean R2", "fit p"]), ""]
    lines += _combined_lines(found)
    rows = [
        [r.trajectory, "KL" if r.space == "q" else "weights", r.kind, r.step, _short(r.score, 1)]
        for r in found.anomalies.itertuples()
    ]
    rows += [
        [r.trajectory, "KL", "outlying training", r.step, _short(r.score, 1)]
        for r in found.siblings[found.siblings["outlier"].astype(bool)].itertuples()
    ]
    if rows:
        lines += [*table(rows, ["anomalies", "in", "kind", "step", "score"]), ""]
    else:
        lines += ["No anomalies.", ""]
    median = float(found.kl_previous["kl"].median())
    lines.append(
        f"{len(found.points)} checkpoints; median KL from one to the next {median:.3g} bits/byte."
    )
    lines.append(f"Run {found.run_id} in experiment {found.experiment_id}")
    return lines


def _combined_lines(found: TrajectoryStudy) -> list[str]:
    """The exponent of several trajectories together, and of each one's disjoint windows."""
    together = found.tables.get("combined")
    if together is None or found.points["trajectory"].nunique() < 2:
        return []
    rows = [
        [
            r["over"] if r["over"] != "trajectories" else f"trajectories from step {r['t0']}",
            f"c_{r['space']}",
            r["estimates"],
            _interval(r["exponent"], r["low"], r["high"]),
            _p_value(r["heterogeneity"]),
        ]
        for r in together[together["space"] != "exp_q"].to_dict("records")
    ]
    headings = ["combined over", "of", "estimates", "mean (95 %)", "all alike: p"]
    return [*table(rows, headings), ""] if rows else []


def _interval(value: float, low: float, high: float, places: int = 2) -> str | None:
    if not math.isfinite(value):
        return None
    written = f"{value:.{places}f}"
    if not (math.isfinite(low) or math.isfinite(high)):
        return written
    ends = [f"{end:.{places}f}" if math.isfinite(end) else "no end" for end in (low, high)]
    return f"{written} [{ends[0]}, {ends[1]}]"


def _p_value(value: float) -> str | None:
    if not math.isfinite(value):
        return None
    return "below 0.001" if value < 0.001 else f"{value:.3f}"


def _short(value: float, places: int) -> str | None:
    return f"{value:.{places}f}" if math.isfinite(value) else None
