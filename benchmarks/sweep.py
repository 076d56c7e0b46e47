"""What a sweep costs beside scoring, and the same by hand: CPU a run, for many tiny checkpoints.

    python benchmarks/sweep.py                  # 200 checkpoints on sqlite, then 50 over HTTP
    python benchmarks/sweep.py --models 60      # a minute; up to 50 are looked for one by one

The checkpoints are four random models of 50,000 parameters, copied; their 24 texts take a few
milliseconds. Scoring (`seconds` of each run) is taken off; what is left is resolving, loading,
tokenising, proving, claiming and logging, and once half a second in which memory is looked
through. By hand is a loop of transformers and MLflow alone: load the model, read the texts one by
one, log as many params, metrics and tags, the dataset, the vector as a file and an external model.
It looks for nothing before, proves nothing and claims nothing. Over HTTP the server's CPU is told
apart. `OMP_NUM_THREADS=1` makes CPU time comparable.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import mlflow
import pandas as pd
import psutil
import torch

from mlflow_modelmap import TextSet, sweep
from tests import tiny
from tests.serving import serving

OVER_HTTP = 50
os.environ["MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT"] = "true"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", type=int, default=200)
    models = parser.parse_args().models
    texts = TextSet(
        "short", tuple(f"{s[: 20 + 7 * v]} #{v}" for s in tiny.SENTENCES for v in range(4))
    )
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["MLFLOW_MODELMAP_SPOOL"] = str(folder / "spool")
        for step in range(models + 3):
            if step < 4:
                tiny.make_model(folder / f"step{step}", seed=step)
            else:
                shutil.copytree(folder / f"step{step % 4}", folder / f"step{step}")
        mlflow.set_tracking_uri(f"sqlite:///{folder / 'mlflow.db'}")
        print(f"{models} checkpoints, sqlite: ms a run")
        measure(folder, texts, models, "sqlite")
        few = min(models, OVER_HTTP)
        own = ("--artifacts-destination", str(folder / "served"), "--workers", "1")
        with serving(folder, *own) as address:
            mlflow.set_tracking_uri(address)
            print(f"{few} checkpoints, `mlflow server` on sqlite: ms a run")
            measure(folder, texts, few, "http")


def measure(folder: Path, texts: TextSet, models: int, where: str) -> None:
    """Both ways, and their ratio."""
    cost = {}
    ways: dict[str, Callable[..., float]] = {"sweep": by_sweep, "by hand": by_hand}
    for name, way in ways.items():
        experiment = f"{where} {name}"
        if where == "sqlite":
            mlflow.create_experiment(experiment, artifact_location=str(folder / "artifacts"))
        mlflow.set_experiment(experiment)
        way(folder, texts, range(3), experiment)  # what is imported and made once is no cost
        cpu, served, wall = time.process_time(), of_children(), time.perf_counter()
        scoring = way(folder, texts, range(3, models + 3), experiment)
        each = 1000 / models
        cost[name] = each * (time.process_time() - cpu - scoring)
        theirs = each * (of_children() - served)
        print(
            f"  {name:8} {cost[name]:5.0f} of CPU beside scoring ({each * scoring:.0f})"
            + (f", {theirs:.0f} in the server" if theirs > 0.5 else "")
            + f"; {each * (time.perf_counter() - wall):.0f} passed"
        )
    print(f"  sweep over by hand {cost['sweep'] / cost['by hand']:.2f}")


def of_children() -> float:
    """CPU seconds of the processes that this one has started and that live: the server's."""
    seconds = 0.0
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            times = process.cpu_times()
            seconds += times.user + times.system
    return seconds


def by_sweep(folder: Path, texts: TextSet, steps: range, experiment: str) -> float:
    """Seconds of scoring."""
    entry = {
        "model": f"{folder}/step{{step}}",
        "steps": [{"start": steps[0], "stop": steps[-1], "every": 1}],
        "trajectory": "t",
    }
    done = sweep({"models": [entry], "experiment": experiment}, texts=texts, progress=False)
    return sum(row.seconds or 0.0 for row in done.rows)


def by_hand(folder: Path, texts: TextSet, steps: range, experiment: str) -> float:
    """Seconds of scoring."""
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()

    scoring = 0.0
    dataset = mlflow.data.from_pandas(pd.DataFrame({"text": texts.texts}), name="short")
    with mlflow.start_run(run_name="by hand"), tempfile.TemporaryDirectory() as written:
        for step in steps:
            path = folder / f"step{step}"
            tokenizer = AutoTokenizer.from_pretrained(path)
            model = AutoModelForCausalLM.from_pretrained(path).eval()
            began = time.process_time()
            with torch.inference_mode():
                values = []
                for text in texts.texts:
                    ids = tokenizer(text, return_tensors="pt").input_ids
                    logits = model(ids).logits[0, :-1].float().log_softmax(-1)
                    values.append(float(logits.gather(1, ids[0, 1:, None]).sum()))
            scoring += time.process_time() - began
            file = Path(written) / "log_likelihoods.parquet"
            pd.DataFrame({"log_likelihood": values}).to_parquet(file)
            with mlflow.start_run(run_name=path.name, nested=True):
                mlflow.log_input(dataset, context="scoring")
                mlflow.log_artifact(str(file), "modelmap")
                made = mlflow.create_external_model(name=path.name)
                mlflow.log_params({f"setting {n}": n for n in range(40)})
                mlflow.set_tags({f"tag {n}": str(n) for n in range(13)})
                mlflow.log_metrics(
                    {f"metric {n}": float(n) for n in range(4)}, step=step, model_id=made.model_id
                )
    return scoring


if __name__ == "__main__":
    main()
