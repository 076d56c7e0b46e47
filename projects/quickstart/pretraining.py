"""Train the models, as many at a time as there are cores: the family on Python's documentation,
the child, from its parent on, on the standard library's code."""

from __future__ import annotations

import argparse
import multiprocessing
import sys
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from pathlib import Path
from typing import Any

from cores import cores
from family import Member, family
from library_code import library_code
from tqdm import tqdm

from mlflow_modelmap.texts.sources.python_docs import python_docs_corpus

_steps_done: Any = None


def pretrain(members: Sequence[Member], cache: Path, *, silent: bool = False) -> None:
    """Make what is missing of the tokenizer and the checkpoints, with a progress bar."""
    missing = [member for member in members if not member.last_checkpoint(cache).exists()]
    cache.mkdir(parents=True, exist_ok=True)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["training"])  # torch is imported once, not once a process
    counter = context.Value("i", 0)
    bar = tqdm(
        total=sum(member.last_step for member in missing),
        desc=f"Training {len(missing)} models",
        unit=" steps",
        disable=silent,
        mininterval=0.5 if sys.stderr.isatty() else 15,
    )
    with (
        bar,
        ProcessPoolExecutor(cores(), context, initializer=_share, initargs=(counter,)) as pool,
    ):
        pool.submit(_make_tokens, cache).result()
        running: dict[Future[None], Member] = {}
        while missing or running:
            for member in [m for m in missing if _can_start(m, cache)]:
                missing.remove(member)
                running[pool.submit(_train_member, member, cache)] = member
            done, _ = wait(running, timeout=0.5, return_when=FIRST_COMPLETED)
            bar.update(counter.value - bar.n)
            for job in done:
                del running[job]
                job.result()


def _can_start(member: Member, cache: Path) -> bool:
    return member.parent is None or member.parent.last_checkpoint(cache).exists()


def _share(counter: Any) -> None:
    global _steps_done
    _steps_done = counter


def _count(steps: int) -> None:
    with _steps_done.get_lock():
        _steps_done.value += steps


def _make_tokens(cache: Path) -> None:
    """The tokenizer and what it makes of all text; here too, torch is loaded already."""
    from training import encode, train_tokenizer

    documents = python_docs_corpus()
    train_tokenizer(documents, cache / "tokenizer")
    encode(documents, cache / "tokenizer", cache / "documentation.safetensors")
    encode(library_code(), cache / "tokenizer", cache / "code.safetensors")


def _train_member(member: Member, cache: Path) -> None:
    """One model, in a process and with a thread of its own."""
    from training import train

    child_of = member.parent
    train(
        member.folder(cache),
        cache / f"{'code' if child_of else 'documentation'}.safetensors",
        cache / "tokenizer",
        member.steps,
        seed=member.seed,
        width=member.width,
        parent=child_of.last_checkpoint(cache) if child_of else None,
        peak=3e-4 if child_of else 3e-3,
        progress=_count,
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cache", type=Path)
    parser.add_argument("steps", type=int)
    parser.add_argument("--silent", action="store_true")
    given = parser.parse_args()
    pretrain(family(given.steps), given.cache, silent=given.silent)
