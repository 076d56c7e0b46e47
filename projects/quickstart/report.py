"""What the quickstart prints: how good the models are, how far apart, and where to look."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import mlflow
from family import Member

from mlflow_modelmap import ModelMap
from mlflow_modelmap.numerics.scale.in_words import in_words
from mlflow_modelmap.words.value_and_error import with_error


def pairs(members: Sequence[Member]) -> list[tuple[str, str, str]]:
    """What to compare: a description and two points, roughly from the farthest to the closest."""
    large, other_large, small, other_small, child = members
    half, before, last = (
        f"step {step}" for step in (large.last_step // 2, large.steps[-2], large.last_step)
    )
    steps = large.last_step - large.steps[-2]
    return [
        ("second half of training", f"{large.name} {half}", f"{large.name} {last}"),
        ("fine-tuned on code", f"{large.name} {last}", child.name),
        ("two sizes, seed 1", f"{large.name} {last}", f"{small.name} {last}"),
        ("two sizes, seed 2", f"{other_large.name} {last}", f"{other_small.name} {last}"),
        ("two seeds, width 64", f"{small.name} {last}", f"{other_small.name} {last}"),
        ("two seeds, width 128", f"{large.name} {last}", f"{other_large.name} {last}"),
        (f"last {steps} steps, width 64", f"{small.name} {before}", f"{small.name} {last}"),
        (f"last {steps} steps, width 128", f"{large.name} {before}", f"{large.name} {last}"),
        ("4-bit copy, width 128", f"{large.name} {last}", f"{large.name} nf4"),
        ("8-bit copy, width 128", f"{large.name} {last}", f"{large.name} int8"),
    ]


def report(model_map: ModelMap, members: Sequence[Member]) -> str:
    """The whole report as plain text."""
    points = model_map.points.set_index("point")
    lines = [f"{'at the last step':28} bits/byte"]
    for member in members[:4]:
        row = points.loc[f"{member.name} step {member.last_step}"]
        lines.append(f"  {member.name:26} {with_error(row.bits_per_byte, row.bits_per_byte_se)}")
    lines += ["", f"{'KL divergence':28} bits/byte         on the paper's scale"]
    for description, a, b in pairs(members):
        kl, se = model_map.between(a, b)
        words = in_words(kl, se).partition(";")[0]
        lines.append(f"  {description:26} {with_error(kl, se):22} {words}")
    return "\n".join(lines)


def where(model_map: ModelMap, root: Path) -> str:
    """How to open the map in the MLflow UI."""
    uri = mlflow.get_tracking_uri()
    run = f"#/experiments/{model_map.experiment_id}/runs/{model_map.run_id}"
    page = f"{run}/artifacts/modelmap/map.html"
    if uri.startswith("http"):
        return f"The map: {uri.rstrip('/')}/{page}"
    own = uri == f"sqlite:///{root / 'mlflow.db'}"
    command = f"mlflow server --backend-store-uri '{uri}' --app-name modelmap"
    return (
        f"To look at the map: {'make ui' if own else command}\n"
        f"and open http://127.0.0.1:5000/modelmap/?run={model_map.run_id}\n"
        f"or, in the MLflow UI, http://127.0.0.1:5000/{page}"
    )
