"""Scoring speed and memory beside the plain way, on this machine: prints a table.

    python benchmarks/scoring.py            # 14M, 70M and 160M on CPU; 410M and 6.9B on CUDA
    python benchmarks/scoring.py --quick    # a minute

The plain way is one text at a time: all logits, a full log-softmax in float32, gather, sum. All
ways score the same random tokens under the same random weights, as loaded to be scored, in turns;
ratios are medians over the turns. "Bfloat16 model" is the same model rounded to bfloat16, with what
that changes; "PyTorch's products" is this package without oneDNN's float32 products, where it takes
them. "Of best rate" is the time that the model's matrix products alone would take, at the best rate
at which this machine multiplies large float32 matrices, over the time taken. On a machine that
others use as well, `OMP_NUM_THREADS=1 ... --cpu-time` counts the process's own time.
"""

from __future__ import annotations

import argparse
import copy
import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from mlflow_modelmap.scoring.engine.score_texts import score_model
from mlflow_modelmap.scoring.load.precision import precision_in_memory
from mlflow_modelmap.scoring.processor import onednn
from mlflow_modelmap.scoring.settings import ScoringSettings
from mlflow_modelmap.scoring.tokenizer.tokenize import TokenizedTexts

VOCABULARY = 50_304
MEAN_TOKENS, SD_TOKENS, BYTES = 354, 60, 1024
CLOCK = [time.perf_counter]
# Width, layers, heads: GPT-NeoX as in the Pythia suite.
SHAPES = {
    "14M": (128, 6, 4),
    "70M": (512, 6, 8),
    "160M": (768, 12, 12),
    "410M": (1024, 24, 16),
    "6.9B": (4096, 32, 32),
}
TEXTS = {"14M": 40, "70M": 24, "160M": 12}
"""So many a turn on CPU, where more take minutes; 4 of larger ones, and 400 of all on CUDA."""


def make_model(name: str, device: str, dtype: torch.dtype) -> Any:
    """A GPT-NeoX of a shape above with random weights."""
    from transformers import AutoModelForCausalLM, GPTNeoXConfig

    width, layers, heads = SHAPES[name]
    config = GPTNeoXConfig(
        vocab_size=VOCABULARY,
        hidden_size=width,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        intermediate_size=4 * width,
        max_position_embeddings=2048,
        bos_token_id=0,
        eos_token_id=0,
    )
    torch.manual_seed(0)
    with torch.device(device):
        model = AutoModelForCausalLM.from_config(config, dtype=dtype)
    with torch.no_grad():
        # Logits as far apart as a trained model's, so that rounding has something to change.
        model.get_output_embeddings().weight.mul_(5)
    return model.eval()


def make_tokens(count: int) -> TokenizedTexts:
    """Random texts of about 354 tokens, as 1,024 bytes of the Pile have."""
    rng = np.random.default_rng(0)
    lengths = np.clip(rng.normal(MEAN_TOKENS, SD_TOKENS, count).astype(int), 32, 2000)
    ids = tuple(rng.integers(0, VOCABULARY, length) for length in lengths)
    return TokenizedTexts(
        ids, ids, np.full(count, BYTES), 1, False, (), text_digest="", bos="auto",
        split_special_tokens=False,
    )  # fmt: skip


@torch.inference_mode()
def plain(model: Any, tokens: TokenizedTexts) -> np.ndarray:
    """One text at a time, the full log-softmax."""
    sums = []
    for row in tokens.ids:
        ids = torch.from_numpy(row)[None].to(model.device)
        scores = torch.log_softmax(model(ids, use_cache=False).logits.float(), dim=-1)
        sums.append(scores[0, :-1].gather(1, ids[0, 1:, None]).double().sum().item())
    return np.array(sums)


def engine(model: Any, tokens: TokenizedTexts, **settings: Any) -> np.ndarray:
    """This package, on a model that was loaded to be scored."""
    given, precision = ScoringSettings(**settings), precision_in_memory(model)
    return score_model(model, tokens, given, precision=precision).log_likelihoods


def as_pytorch(model: Any, tokens: TokenizedTexts) -> np.ndarray:
    """This package with the products that PyTorch takes by itself."""
    products, onednn._is_better = onednn._is_better, lambda: False
    try:
        return engine(model, tokens)
    finally:
        onednn._is_better = products


def seconds(work: Callable[[], Any]) -> float:
    """Time of a piece of work, the accelerator's included."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    started = CLOCK[0]()
    work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return CLOCK[0]() - started


def best_rate(device: str, dtype: torch.dtype, size: int) -> float:
    """Floating-point operations a second of a large square product, the best of ten."""
    left, right = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
    out = torch.empty_like(left)
    ways: list[Callable[[], Any]] = [lambda: torch.mm(left, right, out=out)]
    if device == "cpu":
        ways.append(lambda: onednn.product_of_rows(left, right))
    with torch.no_grad():
        return 2 * size**3 / min(seconds(way) for way in ways for _ in range(10))


def product_work(name: str, tokens: TokenizedTexts) -> float:
    """Floating-point operations of a model's matrix products (half of attention: causal)."""
    width, layers, _ = SHAPES[name]
    lengths = tokens.lengths.astype(float)
    body = layers * (24 * width**2 * lengths.sum() + 2 * width * (lengths**2).sum())
    return float(body + 2 * width * VOCABULARY * tokens.scored.sum())


def compare(
    name: str, count: int, turns: int, device: str, dtype: torch.dtype, rate: float
) -> dict[str, Any]:
    """Speeds of both ways, and what bfloat16 products do, for one shape."""
    model, tokens = make_model(name, device, dtype), make_tokens(count)
    ways: dict[str, Callable[[], np.ndarray]] = {
        "plain": lambda: plain(model, tokens),
        "engine": lambda: engine(model, tokens),
    }
    if device == "cpu":
        half = copy.deepcopy(model).to(torch.bfloat16)
        ways["bfloat16 model"] = lambda: engine(half, tokens)
        if onednn.by_onednn():
            ways["PyTorch's products"] = lambda: as_pytorch(model, tokens)
        if bfloat16_products() == "AMX":
            ways["bfloat16 products"] = lambda: engine(model, tokens, matmul="bfloat16")
    values = {way: work() for way, work in ways.items()}  # Also warms up.
    times: dict[str, list[float]] = {way: [] for way in ways}
    for turn in range(turns):
        for way in sorted(ways, reverse=bool(turn % 2)):
            times[way].append(seconds(ways[way]))
    total, work = int(tokens.lengths.sum()), product_work(name, tokens)
    rows = {}
    for way in ways:
        ratios = [p / t for p, t in zip(times["plain"], times[way], strict=True)]
        noise = values[way] - values["engine"]
        rows[way] = {
            "tokens_per_second": total / statistics.median(times[way]),
            "ratio": statistics.median(ratios),
            "share_of_best_rate": work / statistics.median(times[way]) / rate,
            "noise_nats": float(noise.std()),
            "kl_floor": float(noise.var() / (2 * BYTES * np.log(2))),
        }
    return rows


def peak_memory(name: str, way: str, count: int, device: str, dtype: str) -> float:
    """Peak memory in MB of a process that loads a model and scores with it one way."""
    command = [sys.executable, __file__, "--child", name, way, str(count), device, dtype]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(json.loads(done.stdout.splitlines()[-1]))


def child(name: str, way: str, count: str, device: str, dtype: str) -> None:
    """Score one way and print the peak memory in MB: of the process, or of the accelerator."""
    model, tokens = make_model(name, device, getattr(torch, dtype)), make_tokens(int(count))
    if way != "model alone":
        {"plain": plain, "engine": engine}[way](model, tokens)
    if device == "cpu":
        print(json.dumps(_peak_resident()))
    else:
        print(json.dumps(torch.cuda.max_memory_allocated() / 2**20))


def _peak_resident() -> float:
    """Peak resident memory of this process in MB."""
    try:
        with open("/proc/self/status", encoding="utf-8") as file:
            # Not getrusage: that would count the parent that this process was forked from.
            return int(next(line for line in file if line.startswith("VmHWM")).split()[1]) / 1024
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def bfloat16_products() -> str:
    """What this processor has for bfloat16 products, as Linux tells."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            flags = set(next(line for line in file if line.startswith("flags")).split())
    except (OSError, StopIteration):
        return "unknown"
    if "amx_bf16" in flags:
        return "AMX"
    return "AVX-512 (no AMX)" if "avx512_bf16" in flags else "none"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="few texts, the smallest shape")
    parser.add_argument("--shapes", nargs="*", choices=SHAPES, help="which shapes")
    parser.add_argument("--texts", type=int, help="texts a turn")
    parser.add_argument("--turns", type=int, help="how often each way is timed")
    parser.add_argument("--cpu-time", action="store_true", help="count processor time")
    parser.add_argument("--child", nargs=5, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        child(*given.child)
        return
    if given.cpu_time:
        CLOCK[0] = time.process_time
    cuda = torch.cuda.is_available()
    device, dtype = ("cuda", torch.float16) if cuda else ("cpu", torch.float32)
    shapes = given.shapes or (["14M"] if given.quick else None)
    shapes = shapes or (["410M", "6.9B"] if cuda else ["14M", "70M", "160M"])
    most = dict.fromkeys(SHAPES, 400) if cuda else TEXTS
    counts = {name: given.texts or (8 if given.quick else most.get(name, 4)) for name in shapes}
    turns = given.turns or (2 if given.quick else 5)
    rate = best_rate(device, dtype, 8192 if cuda else 2048)
    place = torch.cuda.get_device_name() if cuda else f"CPU, {torch.get_num_threads()} threads"
    print(
        f"{place}; best {dtype} product rate {rate / 1e9:,.0f} GFLOP/s; torch {torch.__version__}"
    )
    if not cuda:
        print(f"float32 products by {onednn.library()}; bfloat16: {bfloat16_products()}")
    print(f"Texts of about {MEAN_TOKENS} tokens, vocabulary {VOCABULARY:,}, {turns} turns\n")
    head = f"{'shape':6}{'texts':>6}  {'way':19}{'tokens/s':>10}{'ratio':>8}{'of best rate':>14}"
    print(head + f"{'peak MB':>10}{'noise, nats':>13}{'KL floor, bits/byte':>21}")
    for name, count in counts.items():
        word = str(dtype).removeprefix("torch.")
        alone = peak_memory(name, "model alone", count, device, word)
        for way, row in compare(name, count, turns, device, dtype, rate).items():
            line = f"{name:6}{count:6}  {way:19}{row['tokens_per_second']:>10,.0f}"
            line += f"{row['ratio']:>7.2f}x"
            line += f"{row['share_of_best_rate']:>13.0%} "
            if way in ("plain", "engine"):
                line += f"{peak_memory(name, way, count, device, word):>10,.0f}"
            if way not in ("plain", "engine"):
                line += f"{'':>10}{row['noise_nats']:>13.5f}{row['kl_floor']:>21.1e}"
            print(line, flush=True)
        print(f"{name:6}{'':8}{'model alone':19}{'':>32}{alone:>11,.0f}", flush=True)


if __name__ == "__main__":
    main()
