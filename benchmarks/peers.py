"""Scoring speed on a real model beside the peers: prints a table of tokens a second and ratios.

    python benchmarks/peers.py MODEL [--texts N] [--turns N]
        [--llama-perplexity PATH --gguf FILE --gguf-bfloat16 FILE]

MODEL is a folder with a causal language model and its tokenizer. The ways are this package, the
plain way (one text at a time, full log-softmax), lm-evaluation-harness' ``loglikelihood_rolling``
where `lm_eval` is installed (one text at a time, and eight), and llama.cpp's `llama-perplexity` on
a GGUF file of the same weights where its path is given. All read the same texts in turns; models
are loaded once and not timed. lm-evaluation-harness scores one token a text more, and
llama-perplexity runs its head on half of the positions.
`make bench-peers MODEL=FOLDER` installs lm_eval apart.
"""

from __future__ import annotations

import argparse
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parent.parent))

from mlflow_modelmap.scoring.engine.kept_heap import kept_heap
from mlflow_modelmap.scoring.engine.score_texts import score_model
from mlflow_modelmap.scoring.load.precision import precision_in_memory
from mlflow_modelmap.scoring.settings import ScoringSettings
from mlflow_modelmap.scoring.tokenizer.tokenize import tokenize
from mlflow_modelmap.texts.sources.python_docs import python_docs
from mlflow_modelmap.texts.text_set import TextSet

OURS = "modelmap"


def ours(folder: str, model: Any, texts: TextSet) -> Callable[[], float]:
    """This package: log-likelihoods of the texts, as a sweep computes them."""
    settings = ScoringSettings(device="cpu")
    tokens = tokenize(folder, texts, settings)
    precision = precision_in_memory(model)

    def work() -> float:
        with kept_heap():
            score = score_model(model, tokens, settings, precision=precision)
        return float(score.log_likelihoods.sum())

    return work


def plain(folder: str, model: Any, texts: TextSet) -> Callable[[], float]:
    """One text at a time, the full log-softmax in float32."""
    tokens = tokenize(folder, texts, ScoringSettings(device="cpu"))

    @torch.inference_mode()
    def work() -> float:
        total = 0.0
        for row in tokens.ids:
            ids = torch.from_numpy(row)[None]
            scores = torch.log_softmax(model(ids, use_cache=False).logits.float(), dim=-1)
            total += scores[0, :-1].gather(1, ids[0, 1:, None]).double().sum().item()
        return total

    return work


def harness(folder: str, model: Any, texts: TextSet, batch: int) -> Callable[[], float] | None:
    """lm-evaluation-harness, or None where it is not installed."""
    try:
        from lm_eval.api.instance import Instance
        from lm_eval.models.huggingface import HFLM
    except ImportError:
        return None
    from transformers import AutoTokenizer

    peer = HFLM(pretrained=model, tokenizer=AutoTokenizer.from_pretrained(folder), batch_size=batch)
    requests = [
        Instance(request_type="loglikelihood_rolling", doc={}, arguments=(text,), idx=0)
        for text in texts.texts
    ]
    return lambda: float(np.sum(peer.loglikelihood_rolling(requests, disable_tqdm=True)))


def llama_perplexity(program: str, gguf: str, texts: TextSet) -> float:
    """Tokens a second that llama-perplexity says of itself on the texts one after another."""
    with tempfile.NamedTemporaryFile("w", suffix=".txt", encoding="utf-8") as file:
        file.write("\n".join(texts.texts))
        file.flush()
        threads = str(torch.get_num_threads())
        command = [program, "-m", gguf, "-f", file.name, "-c", "512", "-t", threads]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    told = done.stdout + done.stderr
    found = re.search(r"prompt eval time =.*?([\d.]+) tokens per second", told)
    if found is not None:
        return float(found[1])
    # Later versions say how long a pass over some windows took, and no more.
    windows = re.search(r"n_ctx=(\d+), batch_size=\d+, n_seq=(\d+)", told)
    seconds = re.search(r"([\d.]+) seconds per pass", told)
    if windows is None or seconds is None:
        raise SystemExit(f"{program} told no speed; see what it prints for {gguf}.")
    return int(windows[1]) * int(windows[2]) / float(seconds[1])


def measure(folder: str, dtype: torch.dtype, texts: TextSet, turns: int) -> dict[str, float]:
    """Tokens a second of every way, medians over turns; all are told in tokens of ours."""
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype).eval()
    ways = {
        OURS: ours(folder, model, texts),
        "plain": plain(folder, model, texts),
        "lm-evaluation-harness, one text": harness(folder, model, texts, 1),
        "lm-evaluation-harness, eight": harness(folder, model, texts, 8),
    }
    there = {name: way for name, way in ways.items() if way is not None}
    total = int(tokenize(folder, texts, ScoringSettings(device="cpu")).lengths.sum())
    for way in there.values():
        way()  # Warms up.
    times: dict[str, list[float]] = {name: [] for name in there}
    for turn in range(turns):
        for name in sorted(there, reverse=bool(turn % 2)):
            started = time.perf_counter()
            there[name]()
            times[name].append(time.perf_counter() - started)
    return {name: total / statistics.median(took) for name, took in times.items()}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", help="folder of a model and its tokenizer")
    parser.add_argument("--texts", type=int, default=16, help="how many texts of python-docs")
    parser.add_argument("--turns", type=int, default=5, help="how often each way is timed")
    parser.add_argument("--dtypes", nargs="*", default=["float32", "bfloat16"])
    parser.add_argument("--llama-perplexity", help="path of llama.cpp's program")
    parser.add_argument("--gguf", help="the same weights as a GGUF file, in float32")
    parser.add_argument("--gguf-bfloat16", help="and in bfloat16")
    given = parser.parse_args()
    if bool(given.llama_perplexity) != bool(given.gguf or given.gguf_bfloat16):
        raise SystemExit("--llama-perplexity and --gguf go together: give both or none.")
    files = {"float32": given.gguf, "bfloat16": given.gguf_bfloat16}
    texts = python_docs(given.texts)
    print(f"CPU, {torch.get_num_threads()} threads; torch {torch.__version__}")
    print(f"{given.texts} texts of {texts.mean_bytes:,.0f} bytes, {given.turns} turns\n")
    print(f"{'dtype':10}{'way':34}{'tokens/s':>10}{OURS + ' is':>16}")
    for dtype in given.dtypes:
        found = measure(given.model, getattr(torch, dtype), texts, given.turns)
        if files.get(dtype):
            program, file = given.llama_perplexity, files[dtype]
            found["llama-perplexity"] = llama_perplexity(program, file, texts)
        for name, rate in found.items():
            ratio = "" if name == OURS else f"{found[OURS] / rate:.2f} times"
            print(f"{dtype:10}{name:34}{rate:>10,.0f}{ratio:>16}", flush=True)


if __name__ == "__main__":
    main()
