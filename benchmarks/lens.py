"""Every layer by the logit lens, beside the plain way and beside a score without layers.

    python benchmarks/lens.py             # 14M, 70M and 160M on CPU
    python benchmarks/lens.py --quick     # 14M, few texts

The plain way reads one text at a time, keeps all hidden states, and gives each to the final norm,
the head and a full log-softmax in float32. "Times one row" is what all rows take over a score of
the last layer alone. Peak memory is that of a process of its own, with the model.
"""

from __future__ import annotations

import argparse
import functools
import json
import statistics
import subprocess
import sys

import scoring
import torch
from gpu_shapes import plain_lens

TEXTS = {"14M": 16, "70M": 8, "160M": 6}
WAYS = {
    "plain lens": plain_lens,
    "lens": lambda model, tokens: scoring.engine(model, tokens, layers=True),
    "one row": scoring.engine,
}


def peak(name: str, way: str, texts: int) -> float:
    """Peak memory in MB of a process that scores one way."""
    command = [sys.executable, __file__, "--child", name, way, str(texts)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(json.loads(done.stdout.splitlines()[-1]))


def child(name: str, way: str, texts: str) -> None:
    """Score one way and print the peak memory of this process in MB."""
    model, tokens = scoring.make_model(name, "cpu", torch.float32), scoring.make_tokens(int(texts))
    WAYS[way](model, tokens)
    print(json.dumps(scoring._peak_resident()))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="few texts, the smallest shape")
    parser.add_argument("--turns", type=int, help="how often each way is timed")
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        child(*given.child)
        return
    shapes = {"14M": 3} if given.quick else TEXTS
    print(f"CPU, {torch.get_num_threads()} threads; {given.turns or 3} turns")
    print(f"{'shape':6}{'texts':>6}  {'way':11}{'seconds':>9}{'over plain':>12}", end="")
    print(f"{'times one row':>15}{'rows':>6}{'peak MB':>9}")
    for name, texts in shapes.items():
        model = scoring.make_model(name, "cpu", torch.float32)
        tokens = scoring.make_tokens(texts)
        times: dict[str, list[float]] = {way: [] for way in WAYS}
        scoring.engine(model, tokens, layers=True)  # warms up
        for turn in range(given.turns or (1 if given.quick else 3)):
            for way in sorted(WAYS, reverse=bool(turn % 2)):
                took = scoring.seconds(functools.partial(WAYS[way], model, tokens))
                times[way].append(took)
        rows = model.config.num_hidden_layers + 1
        for way, took in times.items():
            faster = _ratio(times["plain lens"], took) if way == "lens" else ""
            longer = "" if way == "one row" else _ratio(took, times["one row"])
            count = 1 if way == "one row" else rows
            line = f"{name:6}{texts:>6}  {way:11}{statistics.median(took):>9.2f}{faster:>12}"
            print(f"{line}{longer:>15}{count:>6}{peak(name, way, texts):>9,.0f}", flush=True)


def _ratio(one: list[float], other: list[float]) -> str:
    return f"{statistics.median(a / b for a, b in zip(one, other, strict=True)):.2f}x"


if __name__ == "__main__":
    main()
