"""Speed, memory and noise of scoring on a GPU: prints one table (`gpu.sh` runs it).

    python benchmarks/gpu.py [--tiny] [--minutes 10] [--only PART ...]

All models have random weights: GPT-NeoX of 410M and 6.9B in float16, and the shape of Llama 3 8B
(128,256 entries) in bfloat16. "Ratio" is to the plain way, one text at a time with a full
log-softmax. "Of peak" is the time that the model's matrix products alone would take at this
device's best rate, over the time taken. "Noise" is the standard deviation over texts of a score
less that of the same weights in float64. A part that finds no time left, or fails, says so and the
others go on.
"""

from __future__ import annotations

import argparse
import copy
import gc
import importlib.util
import tempfile
import time
from collections.abc import Callable
from typing import Any

import scoring
import torch
from gpu_shapes import CUDA, DEVICE, GOALS, HEAD, Bench, Row, in_float64, scored, tf32, work_of

from mlflow_modelmap.scoring.accelerator.one_read import HeadRows, kernels_for, kernels_said
from mlflow_modelmap.scoring.engine.live import score_live
from mlflow_modelmap.scoring.engine.score_texts import score_model
from mlflow_modelmap.scoring.exact.compare_with_states import compare_with_states
from mlflow_modelmap.scoring.exact.head_states import keep_head_states
from mlflow_modelmap.scoring.load.load import load_model
from mlflow_modelmap.scoring.settings import ScoringSettings


def shape(bench: Bench, name: str) -> list[Row]:
    """Speed, ratio, share of peak and memory of one shape."""
    dtype = torch.bfloat16 if name == "Llama 8B" else bench.half
    model = bench.model(name, dtype)
    tokens = bench.tokens(bench.texts, model.config.vocab_size)
    few = bench.tokens(3 if bench.tiny else 24, model.config.vocab_size)
    total = int(tokens.lengths.sum())
    _, plain_seconds, plain_memory = bench.timed(lambda: scoring.plain(model, few))
    plain_speed = int(few.lengths.sum()) / plain_seconds
    word = str(dtype).removeprefix("torch.")
    rows = [Row(f"{name} {word}, plain", plain_speed, 1.0, memory=plain_memory)]
    for batch in (None, 2048) if not bench.tiny else (None,):
        result, seconds, memory = bench.timed(lambda b=batch: scored(model, tokens, batch_tokens=b))
        share = work_of(model, tokens) / seconds / bench.rates[dtype]
        facts = result.provenance
        note = f"batches of {facts['batch_tokens']}; head {facts.get('head_kernel', 'on CPU')}"
        if batch is None and not bench.tiny:
            note += f"; goal {GOALS[name]}%"
        speed = total / seconds
        rows.append(Row(f"{name} {word}", speed, speed / plain_speed, share, memory, note=note))
    return rows


def head(bench: Bench) -> list[Row]:
    """The head alone: the kernel and the plain way, against its product."""
    count, width, vocabulary = (64, 64, 2048) if bench.tiny else (8192, 4096, 128_256)
    hidden = torch.randn(count, width, device=DEVICE, dtype=torch.bfloat16)
    weight = torch.randn(vocabulary, width, device=DEVICE, dtype=torch.bfloat16) * 0.05
    targets = torch.randint(vocabulary, (count,), device=DEVICE)
    rows = HeadRows(weight)
    ways = {"plain": None}
    kernels = kernels_for(weight.device)
    if kernels is not None:
        ways["kernel"] = kernels
    found, out = {}, []
    for name, module in ways.items():
        found[name], seconds, memory = bench.timed(
            lambda m=module: rows.log_likelihoods(hidden, targets, m)
        )
        share = 2 * count * width * vocabulary / seconds / bench.rates[torch.bfloat16]
        out.append(Row(f"head alone, {name}", count / seconds, None, share, memory))
    if kernels is None:
        out.append(Row("head alone, kernel", note=kernels_said(weight.device)))
    else:
        out[-1].noise = float((found["kernel"] - found["plain"]).std())
        out[-1].note = "noise against the plain way, a token"
    return out


def noise(bench: Bench) -> list[Row]:
    """What each arithmetic is off by, of the same weights in float64."""
    tokens, rows = bench.tokens(3 if bench.tiny else 24), []
    for dtype in (torch.float32, torch.float16, torch.bfloat16):
        model = bench.model("410M", dtype)
        exact = in_float64(model, tokens)
        word = str(dtype).removeprefix("torch.")
        found = scored(model, tokens).log_likelihoods - exact
        rows.append(Row(f"noise of {word}", noise=float(found.std())))
        if dtype == torch.float32:
            with tf32():
                allowed = scored(model, tokens).log_likelihoods - exact
                rounded = scoring.plain(model, tokens) - exact
            note = "must be that of float32"
            rows.append(Row("  the process allows TF32", noise=float(allowed.std()), note=note))
            rows.append(Row("  plain under TF32", noise=float(rounded.std())))
        else:
            rounded = scoring.plain(model, tokens) - exact
            rows.append(Row(f"  plain in {word}", noise=float(rounded.std())))
    return rows


def quantised(bench: Bench) -> list[Row]:
    """8 and 4 bits by bitsandbytes, and how far they move a text."""
    if importlib.util.find_spec("bitsandbytes") is None:
        return [Row("int8, nf4", note="bitsandbytes is not installed")]
    model, tokens = bench.model("410M", torch.bfloat16), bench.tokens(bench.texts)
    base, rows = scored(model, tokens).log_likelihoods, []
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        del model
        for precision in ("int8", "nf4"):
            settings = ScoringSettings(precision=precision, device=DEVICE)
            copied = load_model(folder, precision, DEVICE, settings)
            result, seconds, memory = bench.timed(
                lambda m=copied, s=settings, p=precision: score_model(m, tokens, s, precision=p)
            )
            moved = float((result.log_likelihoods - base).std())
            note = f"moves a text by {moved:.2f} nats; computes in {result.provenance['dtype']}"
            speed = int(tokens.lengths.sum()) / seconds
            rows.append(Row(f"410M {precision}", speed, memory=memory, note=note))
    return rows


def lens(bench: Bench) -> list[Row]:
    """Every layer by the logit lens."""
    model, tokens = bench.model("410M", bench.half), bench.tokens(max(3, bench.texts // 8))
    _, once, _ = bench.timed(lambda: scored(model, tokens))
    _, seconds, memory = bench.timed(lambda: scored(model, tokens, layers=True))
    note = f"{model.config.num_hidden_layers + 1} rows for {seconds / once:.1f} times one"
    return [Row("410M lens", int(tokens.lengths.sum()) / seconds, memory=memory, note=note)]


def monitor(bench: Bench) -> list[Row]:
    """A record of a training beside a step of it."""
    model = bench.model("410M", torch.float32).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5)
    rows = torch.randint(scoring.VOCABULARY, (2, 32) if bench.tiny else (8, 512), device=DEVICE)

    def step() -> None:
        model(input_ids=rows, labels=rows).loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    tokens = bench.tokens(3 if bench.tiny else 100)
    _, a_step, _ = bench.timed(step)
    kept = torch.cuda.memory_reserved() if CUDA else 0
    _, seconds, memory = bench.timed(lambda: score_live(model, tokens, ScoringSettings()))
    less = (kept - torch.cuda.memory_reserved()) / 2**30 if CUDA else 0.0
    note = f"{seconds / a_step:.1f} steps of training; {max(less, 0.0):.1f} GiB of its cache lost"
    speed = int(tokens.lengths.sum()) / seconds
    return [Row("410M monitor, float32", speed, memory=memory, note=note)]


def exact(bench: Bench) -> list[Row]:
    """Exact KL of two models, as times of one score."""
    first, tokens = bench.model("410M", bench.half), bench.tokens(max(3, bench.texts // 4))
    second = copy.deepcopy(first)
    with torch.no_grad():
        for parameter in second.parameters():
            parameter.add_(parameter.abs().mean() * 0.01 * torch.randn_like(parameter))
    word, settings = str(bench.half).removeprefix("torch."), ScoringSettings()
    _, once, _ = bench.timed(lambda: scored(first, tokens))

    def work() -> Any:
        with tempfile.TemporaryDirectory() as folder:
            states = keep_head_states(first, tokens, settings, folder, precision=word)
            return compare_with_states(states, second, tokens, settings, precision=word)

    found, seconds, memory = bench.timed(work)
    note = f"{seconds / once:.1f} times one score; {found.forward.mean():.1e} nats a token"
    speed = int(tokens.lengths.sum()) / seconds
    return [Row("410M exact KL", speed, memory=memory, note=note)]


def vllm(bench: Bench) -> list[Row]:
    """vLLM's log-probabilities of prompts, where it is installed."""
    if importlib.util.find_spec("vllm") is None or not CUDA:
        return [Row("410M vLLM prompt_logprobs", note="vLLM is not installed, or there is no GPU")]
    from vllm import LLM, SamplingParams

    tokens = bench.tokens(bench.texts)
    with tempfile.TemporaryDirectory() as folder:
        bench.model("410M", bench.half).save_pretrained(folder)
        gc.collect()
        torch.cuda.empty_cache()
        engine = LLM(folder, skip_tokenizer_init=True, gpu_memory_utilization=0.5, seed=0)
        sampling = SamplingParams(max_tokens=1, prompt_logprobs=0, detokenize=False)
        prompts: list[Any] = [{"prompt_token_ids": row.tolist()} for row in tokens.ids]
        _, seconds, _ = bench.timed(lambda: engine.generate(prompts, sampling, use_tqdm=False))
    return [Row("410M vLLM prompt_logprobs", int(tokens.lengths.sum()) / seconds)]


PARTS: dict[str, Callable[[Bench], list[Row]]] = {
    "410M": lambda bench: shape(bench, "410M"),
    "head": head,
    "noise": noise,
    "lens": lens,
    "exact": exact,
    "quantised": quantised,
    "monitor": monitor,
    "6.9B": lambda bench: shape(bench, "6.9B"),
    "8B": lambda bench: shape(bench, "Llama 8B"),
    "vllm": vllm,
}


def main(arguments: list[str] | None = None) -> list[Row]:
    """Measure part after part, and print the table as it grows."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tiny", action="store_true", help="tiny shapes, also on CPU")
    parser.add_argument("--minutes", type=float, default=10, help="no part begins later")
    parser.add_argument("--only", nargs="*", choices=PARTS, default=list(PARTS))
    given = parser.parse_args(arguments)
    if not CUDA and not given.tiny:
        parser.error("PyTorch sees no CUDA device here; --tiny tries the script on CPU.")
    bench = Bench(given.tiny, given.minutes)
    place = torch.cuda.get_device_name() if CUDA else "CPU: these speeds say nothing of a GPU"
    print(f"{place}; torch {torch.__version__}")
    for dtype, rate in bench.rates.items():
        print(f"best {dtype} product rate {rate / 1e12:,.2f} TFLOP/s")
    if given.tiny:
        print("tiny shapes under the names of the large ones: only that it runs is shown")
    print(f"\n{HEAD}", flush=True)
    table: list[Row] = []
    for name in given.only:
        if time.monotonic() > bench.until:
            rows = [Row(name, note="no time left")]
        else:
            try:
                rows = PARTS[name](bench)
            except Exception as error:
                rows = [Row(name, note=f"failed: {type(error).__name__}: {str(error)[:120]}")]
        for row in rows:
            print(row, flush=True)
        table += rows
        gc.collect()
        if CUDA:
            torch.cuda.empty_cache()
    return table


if __name__ == "__main__":
    main()
