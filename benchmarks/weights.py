"""Weight distances against the plain way: load two models for every pair.

Eleven checkpoints of one random GPT-NeoX, all 55 pairs of a window of ten; both ways in the same
run, each in a process of its own so that its peak memory is its own.

    python benchmarks/weights.py            14M parameters
    python benchmarks/weights.py --full     160M as well (7 GB of disk, some minutes)
"""

from __future__ import annotations

import argparse
import importlib
import json
import subprocess
import sys
import tempfile
import time
from itertools import combinations
from pathlib import Path

SIZES = {
    "14M": {"hidden_size": 128, "intermediate_size": 512, "num_hidden_layers": 6, "heads": 4},
    "160M": {"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "heads": 12},
}


def make(folder: Path, size: str, count: int) -> list[Path]:
    """Checkpoints of a random walk in weight space."""
    import torch
    from transformers import AutoModelForCausalLM, GPTNeoXConfig, utils

    options = dict(SIZES[size])
    config = GPTNeoXConfig(vocab_size=50304, num_attention_heads=options.pop("heads"), **options)
    utils.logging.disable_progress_bar()
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config)
    made = []
    for step in range(count):
        made.append(folder / f"step{step}")
        model.save_pretrained(made[-1])
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(torch.randn_like(parameter), alpha=1e-3)
    return made


def plain(folders: list[str]) -> dict[str, float]:
    """Two models loaded for every pair, differences in float32, sums in float64."""
    import torch
    from transformers import AutoModelForCausalLM

    found = {}
    for i, j in combinations(range(len(folders)), 2):
        one, two = (
            AutoModelForCausalLM.from_pretrained(folders[k], dtype=torch.float32) for k in (i, j)
        )
        found[f"{i}-{j}"] = sum(
            (p - q).square_().sum(dtype=torch.float64).item()
            for p, q in zip(one.parameters(), two.parameters(), strict=True)
        )
    return found


def streamed(folders: list[str]) -> dict[str, float]:
    """This package's way."""
    from mlflow_modelmap.scoring.weights.squared_distances import squared_distances

    squared = squared_distances(folders).squared
    return {f"{i}-{j}": squared[i, j] for i, j in combinations(range(len(folders)), 2)}


def peak_memory() -> float:
    """Peak memory of this process in MB, with what it has mapped of files."""
    status = Path("/proc/self/status").read_text()  # getrusage would count the parent process in
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def apart(way: str, folders: list[Path]) -> tuple[dict[str, float], float, float, float]:
    """Distances, seconds, peak MB and MB before the work, of one way in its own process."""
    command = [sys.executable, __file__, "--way", way, *map(str, folders)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    found, seconds, peak, before = json.loads(done.stdout.splitlines()[-1])
    return found, seconds, peak, before


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--way", help=argparse.SUPPRESS)
    parser.add_argument("folders", nargs="*", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.way:
        # Imports are no part of the work; each way has its own.
        importlib.import_module(
            {
                "plain": "transformers",
                "streamed": "mlflow_modelmap.scoring.weights.squared_distances",
            }[asked.way]
        )
        before, begun = peak_memory(), time.perf_counter()
        found = {"plain": plain, "streamed": streamed}[asked.way](asked.folders)
        seconds = time.perf_counter() - begun
        print(json.dumps([found, seconds, peak_memory(), before]))
        return
    print(
        f"{'model':6} {'checkpoints':>11} {'way':9} {'seconds':>8} {'peak MB':>8} {'start MB':>8}"
    )
    for size in ("14M", "160M") if asked.full else ("14M",):
        with tempfile.TemporaryDirectory() as folder:
            more = 22 if size == "14M" else 11
            folders = make(Path(folder), size, more)
            rows = {}
            for way, few in dict.fromkeys([("plain", 11), ("streamed", 11), ("streamed", more)]):
                found, seconds, peak, before = apart(way, folders[:few])
                rows[way, few] = found, seconds
                print(f"{size:6} {few:11} {way:9} {seconds:8.2f} {peak:8.0f} {before:8.0f}")
            slow, fast = rows["plain", 11], rows["streamed", 11]
            worst = max(abs(fast[0][pair] / value - 1) for pair, value in slow[0].items())
            print(
                f"{size:6} window of ten: {slow[1] / fast[1]:.1f} times as fast; largest relative "
                f"difference {worst:.1e}"
            )


if __name__ == "__main__":
    main()
