"""Speed, memory and noise of scoring on a GPU: prints one table (`gpu.sh` runs it).

    python benchmarks/gpu.py [--tiny] [--minutes 10] [--only PART ...]

All models have random weights: GPT-NeoX of 410M and 6.9B in float16, and the shape of Llama 3 8B
(128,256 entries) in bfloat16. "Tokens/s" is of the batches alone: what the proof before them takes
is said beside it. "Ratio" is to the plain way, one text at a time with a full log-softmax. "Of
peak" is the time that the model's matrix products alone would take at this device's best rate, over
the time taken. "Noise" is the standard deviation over texts of a score less that of the same
weights in float64. Each part has a process of its own, as a device that has failed once fails to
the end of its process: one that finds no time left, fails or dies says so, and the others go on.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from dataclasses import asdict

import torch
from gpu_parts import PARTS
from gpu_shapes import CUDA, HEAD, Bench, Row

_ROWS = "rows: "
"""Begins the line in which a part's process says what it found."""


def main(arguments: list[str] | None = None) -> list[Row]:
    """Measure part after part, and print the table as it grows."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--tiny", action="store_true", help="tiny shapes, also on CPU")
    parser.add_argument("--minutes", type=float, default=10, help="no part goes on longer")
    parser.add_argument("--only", nargs="*", choices=PARTS, default=list(PARTS))
    parser.add_argument("--part", choices=["rates", *PARTS], help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    if not CUDA and not given.tiny:
        parser.error("PyTorch sees no CUDA device here; --tiny tries the script on CPU.")
    if given.part:
        found = (
            _rates(given.tiny) if given.part == "rates" else PARTS[given.part](Bench(given.tiny))
        )
        print(_ROWS + json.dumps([asdict(row) for row in found]), flush=True)
        return found
    until = time.monotonic() + 60 * given.minutes
    for row in _apart("rates", given.tiny, until):
        print(f"{row.what} {row.note}".rstrip())
    if given.tiny:
        print("tiny shapes under the names of the large ones: only that it runs is shown")
    print(f"\n{HEAD}", flush=True)
    table: list[Row] = []
    for name in given.only:
        rows = _apart(name, given.tiny, until)
        for row in rows:
            print(row, flush=True)
        table += rows
    return table


def _apart(part: str, tiny: bool, until: float) -> list[Row]:
    """What a part finds in a process of its own, or why nothing."""
    left = until - time.monotonic()
    if left <= 0:
        return [Row(part, note="no time left")]
    command = [sys.executable, __file__, "--part", part, *(["--tiny"] if tiny else [])]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=left)
    except subprocess.TimeoutExpired:
        return [Row(part, note="failed: it was not done when the time was over")]
    said = [line for line in done.stdout.splitlines() if line.startswith(_ROWS)]
    if done.returncode == 0 and said:
        return [Row(**row) for row in json.loads(said[-1].removeprefix(_ROWS))]
    last = (done.stderr.strip().splitlines() or [f"it ended with {done.returncode}"])[-1]
    return [Row(part, note=f"failed: {last[:160]}")]


def _rates(tiny: bool) -> list[Row]:
    """The device, and the best rates of its products."""
    place = torch.cuda.get_device_name() if CUDA else "CPU: these speeds say nothing of a GPU"
    return [
        Row(f"{place}; torch {torch.__version__}"),
        *(
            Row(f"best {dtype} product rate {rate / 1e12:,.2f} TFLOP/s")
            for dtype, rate in Bench(tiny).rates.items()
        ),
    ]


if __name__ == "__main__":
    main()
