"""Run the scripts in benchmarks/ and write what they print into docs/benchmarks.md.

    python docs/make_benchmarks.py                 # all of them: an hour or more
    python docs/make_benchmarks.py scoring map     # these again; what others gave stays

Each part says on which machine, when, with which versions and how busy the machine was.
"""

from __future__ import annotations

import ast
import datetime
import os
import platform
import re
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).parent.parent
SCRIPTS, PAGE = ROOT / "benchmarks", ROOT / "docs" / "benchmarks.md"
APART = ("coverage", "llama_perplexity", "peers", "gpu", "page_unwatched")
"""Begin the names of scripts that have a command of their own, need more than this machine, or are
a part of another."""
PACKAGES = ("torch", "transformers", "mlflow", "numpy", "scipy", "scikit-learn", "pandas")
HEAD = """# Benchmarks

`make bench` writes this page: what every script in `benchmarks/` printed, beside a
plain baseline in the same run. On a machine that others use as well only ratios count.
`make bench ONLY="scoring map"` makes some parts again. Apart are `make coverage` (what intervals
cover), `make bench-peers` (other tools on a real model), `benchmarks/llama_perplexity.py` and
`benchmarks/gpu.sh`.
"""


def names() -> list[str]:
    """The scripts that run by themselves."""
    found = (
        path.stem
        for path in SCRIPTS.glob("*.py")
        if re.search(r"^if __name__ ==", path.read_text(encoding="utf-8"), re.MULTILINE)
    )
    return sorted(name for name in found if not name.startswith(APART))


def purpose(name: str) -> str:
    """The first sentence of a script's docstring."""
    written = ast.get_docstring(ast.parse((SCRIPTS / f"{name}.py").read_text(encoding="utf-8")))
    return (written or "").split("\n\n")[0].replace("\n", " ")


def machine() -> str:
    """Processor, cores and load, in a line."""
    processor = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8")
        processor = re.findall(r"^model name\s*:\s*(.+)$", lines, re.MULTILINE)[0]
    except (OSError, IndexError):
        pass
    load = f", load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    return f"{processor}, {os.cpu_count()} cores{load}"


def part(name: str) -> str:
    """Run a script; its part of the page.

    Raises
    ------
    RuntimeError
        If it fails.
    """
    here, started = machine(), time.monotonic()
    done = subprocess.run(
        [sys.executable, str(SCRIPTS / f"{name}.py")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore"},
    )
    if done.returncode:
        raise RuntimeError(f"{name} failed: {(done.stderr.strip().splitlines() or [''])[-1]}")
    versions = ", ".join(f"{package} {version(package)}" for package in PACKAGES)
    told = (
        f"{datetime.date.today()}, {time.monotonic() - started:,.0f} s; {here}; "
        f"Python {platform.python_version()}, {versions}."
    )
    return f"{purpose(name)}\n\n{told}\n\n```text\n{done.stdout.rstrip().lstrip(chr(10))}\n```\n"


def written() -> dict[str, str]:
    """The parts that the page has."""
    if not PAGE.exists():
        return {}
    parts = re.split(r"^## (\S+)\n\n", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {
        name: text.rstrip("\n") + "\n" for name, text in zip(parts[1::2], parts[2::2], strict=True)
    }


def page(parts: Mapping[str, str]) -> str:
    """The whole page, which says what it lacks."""
    there = [name for name in names() if name in parts]
    missing = [f"`{name}`" for name in names() if name not in parts]
    lacks = f"\nNot run for this page yet: {', '.join(missing)}.\n" if missing else ""
    return "\n".join([f"{HEAD}{lacks}", *(f"## {name}\n\n{parts[name]}" for name in there)])


def main(wanted: Sequence[str]) -> None:
    """Run what is wanted, and write the page after each."""
    unknown = sorted(set(wanted) - set(names()))
    if unknown:
        raise SystemExit(f"No benchmark {unknown[0]!r}; there are {', '.join(names())}.")
    parts, failed = written(), []
    for name in wanted or names():
        print(f"benchmarks/{name}.py", flush=True)
        try:
            parts[name] = part(name)
        except RuntimeError as error:
            failed.append(str(error))
            continue
        PAGE.write_text(page(parts), encoding="utf-8")
    if failed:
        raise SystemExit("\n".join(failed))


if __name__ == "__main__":
    main(sys.argv[1:])
