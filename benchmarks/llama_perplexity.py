"""Exact KL against llama-perplexity, on the same GGUF copies and the same positions.

A GGUF file is written out as float32 and quantised by `llama-quantize`; `llama-perplexity` then
compares each copy with the float32 file on a text (windows of 512 tokens, the second half of each
scored). The same files are loaded with transformers, and `scoring.exact` compares them at the same
positions. llama.cpp multiplies quantised weights with activations that it rounds to 8 bits, and
keeps the first model's log-probabilities in 16 bits; transformers multiplies the same weights in
float32. So each copy is also written out as float32 and given to llama-perplexity again: then both
multiply the same numbers, and what is left between the two is the 16 bits.

    python benchmarks/llama_perplexity.py MODEL.gguf --bin llama.cpp/build/bin --text TEXT.txt

Needs `llama-perplexity` and `llama-quantize` (cmake, target of those names) and `pip install gguf`.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parent.parent))

from mlflow_modelmap.numerics.exact.summary import ExactKL, summary
from mlflow_modelmap.scoring.exact.compare_with_states import compare_with_states
from mlflow_modelmap.scoring.exact.head_states import keep_head_states
from mlflow_modelmap.scoring.settings import ScoringSettings
from mlflow_modelmap.scoring.tokenizer.tokenize import TokenizedTexts

WINDOW = 512
SETTINGS = ScoringSettings(device="cpu", batch_tokens=2 * WINDOW)
_NUMBER = r"\s*:?\s*(-?[\d.]+)"
THEIRS = {
    "mean": r"Mean\s+KLD" + _NUMBER,
    "median": r"Median\s+KLD" + _NUMBER,
    "99 %": r"99\.0%\s+KLD" + _NUMBER,
    "99.9 %": r"99\.9%\s+KLD" + _NUMBER,
    "largest": r"Maximum\s+KLD" + _NUMBER,
    "same top token, %": r"Same top p:" + _NUMBER,
    "perplexity ratio": r"Mean PPL\(Q\)/PPL\(base\)" + _NUMBER,
}


def model_in(file: Path) -> Any:
    """A GGUF file as transformers loads it, float32."""
    from transformers import AutoModelForCausalLM

    loaded = AutoModelForCausalLM.from_pretrained(
        file.parent, gguf_file=file.name, dtype=torch.float32
    )
    return loaded.eval()


def windows(file: Path, text: str, most: int) -> TokenizedTexts:
    """The windows that llama-perplexity scores, their first half only read."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)
    ids = np.array(tokenizer(text, add_special_tokens=False)["input_ids"], dtype=np.int64)
    count = min(most, len(ids) // WINDOW)
    rows = tuple(ids[: count * WINDOW].reshape(count, WINDOW))
    return TokenizedTexts(
        ids=rows,
        ends=tuple(np.arange(1, WINDOW + 1) for _ in rows),
        bytes=np.full(count, WINDOW),  # a token is called a byte here: nats a token are compared
        first=WINDOW // 2 + 1,
        bos_applied=False,
        truncated=(),
        text_digest="",
        bos="never",
        split_special_tokens=False,
    )


def ours(base: Path, copies: list[Path], tokens: TokenizedTexts) -> list[tuple[ExactKL, float]]:
    """KL(base || copy) and the rest of each copy, and seconds with loading."""
    found = []
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        states = keep_head_states(model_in(base), tokens, SETTINGS, folder, precision="float32")
        kept = time.perf_counter() - started
        for copy in copies:
            started = time.perf_counter()
            made = compare_with_states(
                states, model_in(copy), tokens, SETTINGS, precision="float32"
            )
            told = summary(
                tokens=made.tokens,
                size=made.bytes,
                forward=made.forward,
                reverse=made.reverse,
                js=made.js,
                first=made.first,
                second=made.second,
                agree=made.agree,
                vocabulary=made.vocabulary,
            )
            found.append((told, kept + time.perf_counter() - started))
    return found


def theirs(run: Path, copy: Path, kept: Path, text: Path, count: int) -> tuple[dict, float]:
    """What llama-perplexity prints of a copy, and its seconds."""
    command = [run, "-m", copy, "-f", text, "-c", WINDOW, "--chunks", count, "--kl-divergence"]
    started = time.perf_counter()
    done = subprocess.run(
        [*map(str, command), "--kl-divergence-base", str(kept)],
        capture_output=True,
        text=True,
        check=True,
    )
    said = done.stdout + done.stderr
    values = {}
    for name, pattern in THEIRS.items():
        match = re.search(pattern, said)
        values[name] = float(match[1]) if match else float("nan")
    return values, time.perf_counter() - started


def main() -> None:
    """Print one table a copy."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("gguf", type=Path)
    parser.add_argument("--bin", type=Path, required=True, help="folder of llama-perplexity")
    parser.add_argument("--text", type=Path, required=True)
    parser.add_argument("--types", default="Q8_0,Q4_K_M,Q2_K")
    parser.add_argument("--windows", type=int, default=16)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        base, kept = folder / "base-F32.gguf", folder / "base.kld"
        quantize = [str(asked.bin / "llama-quantize"), "--allow-requantize"]
        subprocess.run(
            [*quantize, str(asked.gguf), str(base), "F32"], capture_output=True, check=True
        )
        copies = []
        for kind in asked.types.split(","):
            copies.append(folder / f"copy-{kind}.gguf")
            subprocess.run(
                [*quantize, str(base), str(copies[-1]), kind], capture_output=True, check=True
            )
        tokens = windows(base, asked.text.read_text(encoding="utf-8"), asked.windows)
        run = asked.bin / "llama-perplexity"
        started = time.perf_counter()
        subprocess.run(
            [
                *(str(run), "-m", str(base), "-f", str(asked.text), "-c", str(WINDOW)),
                *("--chunks", str(len(tokens)), "--kl-divergence-base", str(kept)),
            ],
            capture_output=True,
            check=True,
        )
        of_base = time.perf_counter() - started
        print(f"{len(tokens)} windows, {tokens.scored.sum():,} positions; nats a token")
        for copy, (told, seconds) in zip(copies, ours(base, copies, tokens), strict=True):
            their, their_seconds = theirs(run, copy, kept, asked.text, len(tokens))
            plain = copy.with_name(f"{copy.stem}-as-F32.gguf")
            subprocess.run(
                [*quantize, str(copy), str(plain), "F32"], capture_output=True, check=True
            )
            same, _ = theirs(run, plain, kept, asked.text, len(tokens))
            plain.unlink()
            own = {
                "mean": told.token_mean,
                "median": told.token_percentiles[50.0],
                "99 %": told.token_percentiles[99.0],
                "99.9 %": told.token_percentiles[99.9],
                "largest": told.token_percentiles[100.0],
                "same top token, %": 100 * told.top1,
                "perplexity ratio": told.perplexity_ratio,
            }
            print(f"\n{copy.stem}: ours {seconds:.1f} s, theirs {their_seconds + of_base:.1f} s\n")
            print(
                "| | ours | llama-perplexity, weights as F32 | ratio | llama-perplexity | ratio |"
            )
            print("| --- | --- | --- | --- | --- | --- |")
            for key, value in own.items():
                both = (f"{of[key]:.5g} | {value / of[key]:.3f}" for of in (same, their))
                print(f"| {key} | {value:.5g} | {' | '.join(both)} |")


if __name__ == "__main__":
    main()
