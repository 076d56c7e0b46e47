"""What is measured on a GPU, part by part (`gpu.py` runs each in a process of its own)."""

from __future__ import annotations

import copy
import gc
import importlib.util
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable
from typing import Any

import scoring
import torch
from gpu_shapes import (
    CUDA,
    DEVICE,
    GOALS,
    Bench,
    Row,
    in_float64,
    plain_lens,
    scored,
    speed_of,
    tf32,
    work_of,
)

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
    _, plain_seconds, plain_memory = bench.timed(lambda: scoring.plain(model, few))
    plain_speed = int(few.lengths.sum()) / plain_seconds
    word = str(dtype).removeprefix("torch.")
    rows = [Row(f"{name} {word}, plain", plain_speed, 1.0, memory=plain_memory)]
    for batch in (None, 2048) if not bench.tiny else (None,):
        result, seconds, memory = bench.timed(lambda b=batch: scored(model, tokens, batch_tokens=b))
        facts, speed = result.provenance, speed_of(result)
        share = work_of(model, tokens) / int(tokens.lengths.sum()) * speed / bench.rates[dtype]
        proof = seconds - float(facts["seconds"])
        note = f"batches of {facts['batch_tokens']}; head {facts.get('head_kernel', 'on CPU')}"
        note += f"; and {proof:.1f} s of proof"
        if batch is None and not bench.tiny:
            note += f"; goal {GOALS[name]}%"
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
            result, _, memory = bench.timed(
                lambda m=copied, s=settings, p=precision: score_model(m, tokens, s, precision=p)
            )
            moved = float((result.log_likelihoods - base).std())
            note = f"moves a text by {moved:.2f} nats; computes in {result.provenance['dtype']}"
            rows.append(Row(f"410M {precision}", speed_of(result), memory=memory, note=note))
    return rows


def lens(bench: Bench) -> list[Row]:
    """Every layer by the logit lens."""
    model, tokens = bench.model("410M", bench.half), bench.tokens(max(3, bench.texts // 8))
    few = bench.tokens(3 if bench.tiny else 8)
    _, plain_seconds, plain_memory = bench.timed(lambda: plain_lens(model, few))
    plain_speed = int(few.lengths.sum()) / plain_seconds
    once, _, _ = bench.timed(lambda: scored(model, tokens))
    result, _, memory = bench.timed(lambda: scored(model, tokens, layers=True))
    speed = speed_of(result)
    note = f"{model.config.num_hidden_layers + 1} rows for {speed_of(once) / speed:.1f} times one"
    return [
        Row("410M lens, plain", plain_speed, 1.0, memory=plain_memory),
        Row("410M lens", speed, speed / plain_speed, memory=memory, note=f"{note}; goal 5x"),
    ]


def batches(bench: Bench) -> list[Row]:
    """How many tokens a batch should have."""
    rows: list[Row] = []
    for name in ("410M",) if bench.tiny else ("410M", "6.9B"):
        model, tokens = bench.model(name, bench.half), bench.tokens(bench.texts)
        for size in (60, 120) if bench.tiny else (2048, 4096, 8192, 16_384, 32_768):
            result, _, memory = bench.timed(lambda m=model, t=tokens, s=size: _of(m, t, s))
            rows.append(Row(f"{name}, batches of {size:,}", speed_of(result), memory=memory))
        del model
        gc.collect()
    return rows


def compiled(bench: Bench) -> list[Row]:
    """The decoder's layers compiled one by one, beside the same as they are written."""
    rows = []
    for name in ("410M",) if bench.tiny else ("410M", "6.9B"):
        model, tokens = bench.model(name, bench.half), bench.tokens(bench.texts)
        base, _, _ = bench.timed(lambda m=model, t=tokens: scored(m, t))
        layers = next(m for m in model.modules() if isinstance(m, torch.nn.ModuleList))
        how = {} if CUDA else {"backend": "eager"}
        for layer in layers:  # not the module, whose hooks take the layers' outputs
            layer.forward = torch.compile(layer.forward, dynamic=True, **how)
        started = time.perf_counter()
        scored(model, tokens)
        first = time.perf_counter() - started
        result, _, memory = bench.timed(lambda m=model, t=tokens: scored(m, t))
        noise = float((result.log_likelihoods - base.log_likelihoods).std())
        ratio = speed_of(result) / speed_of(base)
        note = f"ratio to not compiled; the first score took {first:.0f} s; noise against it"
        rows.append(
            Row(f"{name}, layers compiled", speed_of(result), ratio, None, memory, noise, note)
        )
        del model, layers
        torch._dynamo.reset()
        gc.collect()
    return rows


def waits(bench: Bench) -> list[Row]:
    """Where the host waits for the device in a score, as CUDA itself tells."""
    model, tokens = bench.model("410M", bench.half), bench.tokens(24 if CUDA else 3)
    scored(model, tokens, batch_tokens=2048)
    if not CUDA:
        return [Row("waits of the host", note="only CUDA tells")]
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        try:
            scored(model, tokens, batch_tokens=2048)
        finally:
            torch.cuda.set_sync_debug_mode("default")
    where = Counter(f"{'/'.join(w.filename.split('/')[-2:])}:{w.lineno}" for w in told)
    count = -(-int(tokens.lengths.sum()) // 2048)
    return [
        Row("waits of the host", note=f"{sum(where.values())} in a score of about {count} batches"),
        *(Row(f"  {times}", note=place) for place, times in where.most_common(12)),
    ]


def memory(bench: Bench) -> list[Row]:
    """A device on which memory runs out in the first batch: how it ends."""
    model, tokens = bench.model("410M", bench.half), bench.tokens(bench.texts)
    base = scored(model, tokens).log_likelihoods
    if not CUDA:
        return [Row("memory runs out", note="only of a GPU's own")]
    whole = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.empty_cache()
    room = torch.cuda.memory_allocated() + 1.5 * 2**30
    torch.cuda.set_per_process_memory_fraction(room / whole)
    result = scored(model, tokens, batch_tokens=262_144)
    facts = result.provenance
    note = f"halved {facts['batch_shrunk']} times, to batches of {facts['batch_tokens']}"
    noise = float((result.log_likelihoods - base).std())
    return [Row("memory runs out", speed_of(result), noise=noise, note=note)]


def _of(model: Any, tokens: Any, batch_tokens: int) -> Any:
    return scored(model, tokens, batch_tokens=batch_tokens)


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
    "waits": waits,
    "memory": memory,
    "batches": batches,
    "lens": lens,
    "exact": exact,
    "quantised": quantised,
    "monitor": monitor,
    "6.9B": lambda bench: shape(bench, "6.9B"),
    "8B": lambda bench: shape(bench, "Llama 8B"),
    "compiled": compiled,
    "vllm": vllm,
}
"""The likeliest to fail last: a part that has no time left is not begun."""
