"""What a person waits for at the command line, beside `import mlflow`, which is a part of it.

    python benchmarks/waiting.py [--turns N]

Each command runs in a process of its own, as typed; the median of the turns, which go round the
commands. Processor seconds are those of the process and its threads. Compiled Python files are
kept between turns, as they are where a package was installed.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

POINTS, TEXTS = 10, 500


def spent(command: list[str], environment: dict[str, str]) -> tuple[float, float]:
    """Seconds on the wall and on the processor."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started = time.perf_counter()
    subprocess.run(command, env=environment, check=True, capture_output=True)
    wall = time.perf_counter() - started
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, sum(getattr(after, n) - getattr(before, n) for n in ("ru_utime", "ru_stime"))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--turns", type=int, default=3)
    given = parser.parse_args()
    from many_runs import write_runs

    modelmap = [sys.executable, "-m", "mlflow_modelmap"]
    names = [f"organisation-{k}/model-{k}" for k in range(2)]
    with tempfile.TemporaryDirectory(prefix="modelmap-benchmark-") as folder:
        uri = write_runs(Path(folder), POINTS, TEXTS)
        environment = {
            **{k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"},
            **{"MLFLOW_TRACKING_URI": uri, "MLFLOW_EXPERIMENT_NAME": "benchmark"},
            "PYTHONPYCACHEPREFIX": str(Path(folder) / "compiled"),
        }
        ways = {
            "python -c 'import mlflow'": [sys.executable, "-c", "import mlflow"],
            "modelmap --help": [*modelmap, "--help"],
            f"modelmap compare, of {POINTS} points": [*modelmap, "compare", *names],
            f"modelmap map, of {POINTS} points": [*modelmap, "map"],
        }
        for command in ways.values():
            spent(command, environment)  # compiles
        took: dict[str, list[tuple[float, float]]] = {way: [] for way in ways}
        for _ in range(given.turns):
            for way, command in ways.items():
                took[way].append(spent(command, environment))
    medians = {
        way: [statistics.median(column) for column in zip(*turns, strict=True)]
        for way, turns in took.items()
    }
    base = medians[next(iter(ways))][1]
    print(f"{'seconds':>8}  {'of CPU':>7}  {'times import mlflow':>19}")
    for way, (wall, cpu) in medians.items():
        print(f"{wall:8.2f}  {cpu:7.2f}  {cpu / base:19.2f}  {way}")


if __name__ == "__main__":
    main()
