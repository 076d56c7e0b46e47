"""What monitoring a training costs, on this machine: prints a table.

    python benchmarks/monitoring.py            # GPT-NeoX of 14M, and of 70M with --large

A step of training (8 texts of 512 tokens, AdamW, float32) and one record of so many texts of about
354 tokens, in turns in one process; each record scores, measures and logs into a sqlite store on
disk. The first share is that of a training with a record every 100 steps, the second of one that
saves every 1,000 steps of half a second, which is to stay at 1 % with 200 texts; "plain" is what
scoring one text at a time with a full log-softmax alone would take. On CPU and, where there is one,
on CUDA.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
from typing import Any

import mlflow
import torch
from scoring import make_model, make_tokens, plain, seconds
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from mlflow_modelmap import Monitor, TextSet

TEXTS = (50, 100, 200)
EVERY = 100
SAVED_EVERY, STEP = 1_000, 0.5
"""Steps between saves, and seconds of each, of the training that monitoring is to cost 1 % of."""


def word_tokenizer() -> PreTrainedTokenizerFast:
    """A token a word: the word is its number."""
    vocabulary = {str(number): number for number in range(50_304)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="0"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer)


def text_set(count: int) -> TextSet:
    """The scoring benchmark's random texts, as words."""
    rows = make_tokens(count).ids
    return TextSet(f"{count} texts", tuple(" ".join(map(str, row)) for row in rows))


def measure(name: str, device: str, turns: int) -> None:
    """Print the table of one shape of model."""
    model: Any = make_model(name, device, torch.float32)
    model.train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
    rows = torch.randint(50_304, (8, 512), device=device)

    def step() -> None:
        model(input_ids=rows, labels=rows).loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    tokenizer = word_tokenizer()
    monitors = {n: Monitor(text_set(n), tokenizer=tokenizer, raise_errors=True) for n in TEXTS}
    step()
    for monitor in monitors.values():
        monitor.record(model, 0)
    times: dict[Any, list[float]] = {"step": [], "plain": [], **{n: [] for n in TEXTS}}
    few = make_tokens(TEXTS[0])
    for turn in range(1, turns + 1):
        times["step"].append(seconds(step))
        for n, monitor in monitors.items():
            times[n].append(seconds(lambda m=monitor, t=turn: m.record(model, t)))
        model.eval()
        times["plain"].append(seconds(lambda: plain(model, few)) / TEXTS[0])
        model.train()
    for monitor in monitors.values():
        monitor.close()
    middle = {key: statistics.median(values) for key, values in times.items()}
    one = middle["step"]
    print(f"\nGPT-NeoX {name} on {device}: {one:.2f} s a training step (median of {turns} turns)")
    print(
        f"{'texts':>6} {'s a record':>11} {'steps':>7} {'share':>7} {'at saves':>9} "
        f"{'plain scoring':>14}"
    )
    for n in TEXTS:
        share = middle[n] / (middle[n] + EVERY * one)
        ratio = n * middle["plain"] / middle[n]
        at_saves = middle[n] / (middle[n] + SAVED_EVERY * STEP)
        print(
            f"{n:6} {middle[n]:11.2f} {middle[n] / one:7.1f} {share:7.1%} {at_saves:9.2%} "
            f"{ratio:12.2f} x"
        )


def main() -> None:
    """Measure on each device there is."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--large", action="store_true", help="also 70M (and 410M on CUDA)")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{folder}/mlflow.db"
        mlflow.create_experiment("b", artifact_location=f"file://{folder}/artifacts")
        mlflow.set_experiment("b")
        devices = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
        for device in devices:
            names = ["14M", *(["70M"] if asked.large else [])]
            names += ["410M"] if asked.large and device == "cuda" else []
            for name in names:
                measure(name, device, asked.turns)


if __name__ == "__main__":
    main()
