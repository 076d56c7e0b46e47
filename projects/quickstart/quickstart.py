"""Train a tiny family of language models, score every checkpoint as a run, and map them all."""

from __future__ import annotations

import contextlib
import hashlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click
import mlflow
from cores import cores
from family import Member, family
from mlflow.exceptions import MlflowException
from report import report, where

from mlflow_modelmap import build_map, load_map, load_trajectory, sweep, trajectory
from mlflow_modelmap.drivers.score.workers.options import Workers
from mlflow_modelmap.drivers.study.scale import build_scale, load_scale
from mlflow_modelmap.tracking.store.quiet import quiet

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]


@click.command()
@click.option("--steps", default=512, show_default=True, help="Training steps of each model.")
@click.option("--texts", default=160, show_default=True, help="How many texts are scored.")
@click.option("--cache", default="", help="Where checkpoints go; by default .cache/quickstart.")
@click.option("--silent", is_flag=True, help="No progress bars.")
def main(steps: int, texts: int, cache: str, silent: bool) -> None:
    """Do what is missing of it all, then print what came out and where to look at it."""
    start = time.monotonic()
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    folder = Path(cache).resolve() if cache else ROOT / ".cache" / "quickstart"
    members = family(steps)
    if not all(member.last_checkpoint(folder).exists() for member in members):
        command = [sys.executable, str(HERE / "pretraining.py"), str(folder), str(steps)]
        done = subprocess.run([*command, *(["--silent"] if silent else [])])
        if done.returncode:
            sys.exit(done.returncode)
    with quiet():
        choose_store()
        with mlflow.start_run(tags={"mlflow.runName": "quickstart"}):
            for member in members:
                register(member, folder)
            scored = sweep(
                plan(members, folder),
                texts=f"python-docs:{texts}",
                workers=Workers(count=cores(), threads=1),
                progress=not silent,
            )
            wrong = [f"{row.point}: {row.error}" for row in scored.rows if row.error]
            if wrong:
                raise click.ClickException("\n".join(wrong))
            runs = {str(row.run_id): row.trajectory for row in scored.rows}
            along = [run_id for run_id, name in runs.items() if name]
            gathered("trajectory", along, trajectory, load_trajectory)
            gathered("scale", [*runs], build_scale, load_scale)
            model_map = gathered("map", [*runs], build_map, load_map)
            text = report(model_map, members)
            mlflow.log_text(text, "report.txt")
    click.echo(f"\n{text}\n\n{len(runs)} runs, {time.monotonic() - start:.0f} seconds.")
    click.echo(where(model_map, ROOT))


def choose_store() -> None:
    """Where `mlflow run` or the environment says, else a database at the top of the repository."""
    if "MLFLOW_RUN_ID" in os.environ:
        return
    if "MLFLOW_TRACKING_URI" not in os.environ:
        mlflow.set_tracking_uri(f"sqlite:///{ROOT / 'mlflow.db'}")
    mlflow.set_experiment("quickstart")


def register(member: Member, cache: Path) -> None:
    """Put a model's last checkpoint into the Model Registry, with its parent, unless it is."""
    client = mlflow.MlflowClient()
    run = mlflow.active_run()
    assert run is not None
    if client.search_model_versions(f"name = '{member.name}'"):
        return
    mlflow.log_artifacts(str(member.last_checkpoint(cache)), f"models/{member.name}")
    with contextlib.suppress(MlflowException):  # it is there, but has no version
        client.create_registered_model(member.name)
    client.create_model_version(
        member.name,
        f"{run.info.artifact_uri}/models/{member.name}",
        run.info.run_id,
        tags={"base_model": member.parent.uri} if member.parent else {},
    )


def plan(members: Sequence[Member], cache: Path) -> dict[str, Any]:
    """The plan of the sweep, as it could stand in a YAML file.

    Every checkpoint of every training; the last ones, which are in the Model Registry, in 8 and
    4 bits too, the first of them at all its layers; and the child.
    """
    models: list[dict[str, Any]] = []
    for member in members:
        if member.parent is not None:
            models.append(
                {"model": member.uri, "name": member.name, "base_model": member.parent.uri}
            )
            continue
        *steps, last = member.steps
        training = {"trajectory": member.name}
        models += [
            {"model": f"{member.folder(cache)}/step{{step}}", "steps": steps, **training},
            {"model": member.uri, "step": last, "layers": member is members[0], **training},
            {"model": member.uri, "precision": "int8", "name": f"{member.name} int8"},
            {"model": member.uri, "precision": "nf4", "name": f"{member.name} nf4"},
        ]
    return {"name": "family", "models": models}


def gathered(
    kind: str, runs: list[str], build: Callable[..., Any], load: Callable[[str], Any]
) -> Any:
    """The map (or scale, or trajectory) of just these runs: loaded if it was built before."""
    client = mlflow.MlflowClient()
    run = mlflow.active_run()
    assert run is not None
    members = hashlib.sha256(" ".join(sorted(runs)).encode()).hexdigest()
    found = client.search_runs(
        [run.info.experiment_id],
        f"tags.`modelmap.kind` = '{kind}' and tags.`quickstart.members` = '{members}' "
        "and attributes.status = 'FINISHED'",
        max_results=1,
    )
    if found:
        return load(found[0].info.run_id)
    made = build(run_ids=runs)
    client.set_tag(made.run_id, "quickstart.members", members)
    return made


if __name__ == "__main__":
    main()
