"""What a sweep costs beside scoring: CPU a run, for many tiny checkpoints on sqlite.

    python benchmarks/sweep.py                  # 200 checkpoints
    python benchmarks/sweep.py --models 60      # a minute; up to 50 are looked for one by one

The checkpoints are four random models of 50,000 parameters, copied; their 24 texts take a few
milliseconds. Scoring (`seconds` of each run) is taken off; what is left is resolving, loading,
tokenising, proving, claiming and logging, and once half a second in which memory is looked
through. `OMP_NUM_THREADS=1` makes CPU time comparable.
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
import time
from pathlib import Path

import mlflow

from mlflow_modelmap import TextSet, sweep
from tests import tiny


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
        mlflow.create_experiment("sweep", artifact_location=str(folder / "artifacts"))

        def run(first: int, last: int) -> float:
            entry = {
                "model": f"{folder}/step{{step}}",
                "steps": [{"start": first, "stop": last, "every": 1}],
                "trajectory": "t",
            }
            done = sweep({"models": [entry], "experiment": "sweep"}, texts=texts, progress=False)
            return sum(row.seconds or 0.0 for row in done.rows)

        run(0, 2)  # what is imported and made once is no cost of a run
        cpu, wall = time.process_time(), time.perf_counter()
        scoring = run(3, models + 2)
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    each = 1000 / models
    print(f"{models} checkpoints: {each * cpu:.0f} ms of CPU a run, {each * wall:.0f} ms in all")
    print(f"scoring {each * scoring:.0f} ms of it, beside scoring {each * (cpu - scoring):.0f} ms")


if __name__ == "__main__":
    main()
