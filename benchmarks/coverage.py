"""Every interval and verdict against what it promises: all coverage_*.py in one table.

python benchmarks/coverage.py                     everything at full size: an hour or more
python benchmarks/coverage.py --reduced           few repeats, some minutes
python benchmarks/coverage.py kl gate exact       some parts
"""

from __future__ import annotations

import argparse
import importlib
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from coverage_table import table

PARTS = ("kl", "exact", "documents", "gate", "exponents", "anomalies", "lineage", "predict")


def joint() -> None:
    """Print the parts that are asked for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("parts", nargs="*", default=PARTS, help=f"of {', '.join(PARTS)}")
    parser.add_argument("--reduced", action="store_true", help="few repeats, as the tests do")
    asked = parser.parse_args()
    unknown = set(asked.parts) - set(PARTS)
    if unknown:
        parser.error(f"there is no part {', '.join(sorted(unknown))}; choose of {', '.join(PARTS)}")
    for part in asked.parts:
        made = importlib.import_module(f"coverage_{part}").rows(asked.reduced)
        print(f"\n{part}\n\n{table(made)}", flush=True)


if __name__ == "__main__":
    joint()
