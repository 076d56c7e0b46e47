"""Exact KL of two models: seconds and memory against the plain way, and what the values are.

The plain way loads both models, makes both full logits of a text in float32, and sums
p (log p - log q) over them, text by text. The tool keeps the first model's head inputs in a file
and runs both heads block by block. The last columns divide the tool's seconds by those of one
score of each model in the same run (the aim is 2.2 at most), and by the plain way's.

    python benchmarks/exact.py                          two tiny models, made on the spot
    python benchmarks/exact.py MODEL --texts T.jsonl    a real one against its int8, nf4, fp4 copies
    python benchmarks/exact.py MODEL --against OTHER    two models of one vocabulary
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from mlflow_modelmap.drivers.exact.measure import exact_reference  # noqa: E402
from mlflow_modelmap.drivers.score.prepare import Prepared, prepare  # noqa: E402
from mlflow_modelmap.drivers.score.request import ScoreRequest  # noqa: E402
from mlflow_modelmap.drivers.score.token_cache import TokenCache  # noqa: E402
from mlflow_modelmap.numerics.divergence.kl import kl_between  # noqa: E402
from mlflow_modelmap.scoring.engine.score_texts import score_texts  # noqa: E402
from mlflow_modelmap.scoring.load.load import load_model  # noqa: E402
from mlflow_modelmap.scoring.model.reference import ModelReference  # noqa: E402
from mlflow_modelmap.scoring.settings import ScoringSettings  # noqa: E402
from mlflow_modelmap.texts.read import read_texts  # noqa: E402
from mlflow_modelmap.texts.text_set import TextSet  # noqa: E402


def prepared(model: str | Path, texts: TextSet, precision: str) -> Prepared:
    """A model ready to be run on CPU or the accelerator that is there."""
    settings = ScoringSettings(precision=precision)
    return prepare(
        ScoreRequest(reference=ModelReference.parse(str(model)), settings=settings), texts
    )


def timed(work: Callable[[], Any]) -> tuple[Any, float]:
    """What it gives, and its seconds."""
    started = time.perf_counter()
    found = work()
    return found, time.perf_counter() - started


def scored(one: Prepared) -> tuple[np.ndarray, float]:
    """Log-likelihoods, and seconds with loading."""
    result, seconds = timed(lambda: score_texts(one.files, one.texts, one.request.settings))
    return result.log_likelihoods, seconds


def plain(first: Prepared, second: Prepared) -> tuple[float, float]:
    """KL(A || B) in bits/byte by both full logits, float32, and seconds."""

    def work() -> float:
        tokens = TokenCache().tokens_for(first)
        models = [
            load_model(one.files.model_path, one.precision, device(), one.request.settings)
            for one in (first, second)
        ]
        total = 0.0
        with torch.no_grad():
            for ids in tokens.ids:
                row = torch.as_tensor(ids, device=device())[None]
                p, q = (
                    m(row, use_cache=False).logits[0, tokens.first - 1 : -1].float().log_softmax(-1)
                    for m in models
                )
                total += float((p.exp() * (p - q)).double().sum())
        return total / (float(tokens.bytes.sum()) * np.log(2.0))

    return timed(work)


def device() -> str:
    """Where the models run."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def tiny(folder: Path) -> tuple[Path, Path]:
    """A tiny model and a copy that was pushed."""
    from tests.scoring import architectures

    wide = {"hidden_size": 256, "intermediate_size": 512, "vocab_size": 8192}
    first = architectures.make(folder / "a", "llama", 1, max_position_embeddings=512, **wide)
    return first, architectures.pushed(first, folder / "b")


def main() -> None:
    """Print one row a pair."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("model", nargs="?")
    parser.add_argument("--against", help="another model of the same vocabulary")
    parser.add_argument("--texts", default="python-docs:60")
    parser.add_argument("--precisions", default="bfloat16,int8,nf4,fp4")
    parser.add_argument("--no-plain", action="store_true", help="leave the plain way out")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if asked.model is None:
            first, other = tiny(Path(folder))
            texts = read_texts("python-docs:24")
            short = TextSet("short", tuple(text[:300] for text in texts.texts))
            a, others = prepared(first, short, "float32"), [prepared(other, short, "float32")]
        else:
            texts = read_texts(asked.texts)
            a = prepared(asked.model, texts, "float32")
            if asked.against:
                others = [prepared(asked.against, texts, "float32")]
            else:
                others = [prepared(asked.model, texts, p) for p in asked.precisions.split(",")]
        report(a, others, not asked.no_plain)


def report(a: Prepared, others: list[Prepared], with_plain: bool) -> None:
    """One row a pair, all timed in this run."""
    mine, seconds_a = scored(a)
    size = np.array(a.texts.bytes)
    reference = exact_reference(a, progress=False)
    kept, seconds_kept = timed(reference.__enter__)
    print(f"{len(a.texts)} texts; score of A {seconds_a:.1f} s, its states {seconds_kept:.1f} s")
    print(
        "| B | estimate | exact | reverse | same top token | score of B (s) | exact (s) "
        "| over both scores | plain KL | plain (s) | exact over plain |"
    )
    print("|---" * 11 + "|")
    try:
        for b in others:
            theirs, seconds_b = scored(b)
            estimate, _ = kl_between(mine, theirs, float(size.mean()))
            found, seconds = timed(lambda b=b: kept.against(b))
            told, whole = found.summary, seconds + seconds_kept
            by_hand, slow = plain(a, b) if with_plain else (float("nan"), float("nan"))
            print(
                f"| {b.precision} | {estimate:.5f} | {told.forward:.5f} ± {told.forward_se:.5f} "
                f"| {told.reverse:.5f} | {100 * told.top1:.1f} % | {seconds_b:.1f} | {whole:.1f} "
                f"| {whole / (seconds_a + seconds_b):.2f} | {by_hand:.5f} | {slow:.1f} "
                f"| {whole / slow:.2f} |",
                flush=True,
            )
    finally:
        reference.__exit__(None, None, None)


if __name__ == "__main__":
    main()
