"""Shapes, sizes and arithmetic of the measurement on GPUs (`gpu.py`), and a line of its table."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import scoring
import torch

from mlflow_modelmap.scoring.engine.score_texts import score_model
from mlflow_modelmap.scoring.settings import ScoreResult, ScoringSettings
from mlflow_modelmap.scoring.tokenizer.tokenize import TokenizedTexts

CUDA = torch.cuda.is_available()
DEVICE = "cuda" if CUDA else "cpu"
GOALS = {"410M": 54, "6.9B": 80, "Llama 8B": 80}
"""Percent of peak that a shape should reach, as reckoned; not measured yet."""
_LLAMA = (
    *("hidden_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads"),
    *("intermediate_size", "vocab_size"),
)
LLAMA = dict(zip(_LLAMA, (4096, 32, 32, 8, 14_336, 128_256), strict=True))
TINY_LLAMA = dict(zip(_LLAMA, (128, 2, 4, 2, 256, 2048), strict=True))


@dataclass
class Row:
    """A line of the table."""

    what: str
    speed: float | None = None
    ratio: float | None = None
    share: float | None = None
    memory: float | None = None
    noise: float | None = None
    note: str = ""

    def __str__(self) -> str:
        cells = (
            (self.speed, 11, "{:,.0f}"),
            (self.ratio, 8, "{:.2f}x"),
            (self.share, 9, "{:.0%}"),
            (self.memory, 9, "{:.1f}"),
            (self.noise, 9, "{:.4f}"),
        )
        values = "".join(
            f"{'' if value is None else shape.format(value):>{width}}"
            for value, width, shape in cells
        )
        return f"{self.what:<34}{values}  {self.note}"


HEAD = f"{'':<34}{'tokens/s':>11}{'ratio':>8}{'of peak':>9}{'GiB':>9}{'noise':>9}"


class Bench:
    """What all parts share: sizes, and the best rate of each dtype."""

    def __init__(self, tiny: bool) -> None:
        self.tiny = tiny
        self.half = torch.float16 if CUDA else torch.bfloat16
        self.texts = 6 if tiny else 400
        self.turns = 1 if tiny else 3

    @functools.cached_property
    def rates(self) -> dict[torch.dtype, float]:
        """Floating-point operations a second of the best product, by dtype."""
        size = 256 if self.tiny else 8192
        kinds = (self.half, torch.bfloat16)
        return {dtype: scoring.best_rate(DEVICE, dtype, size) for dtype in kinds}

    def tokens(self, count: int, vocabulary: int = scoring.VOCABULARY) -> TokenizedTexts:
        """Random texts of about 354 tokens, or short ones."""
        made = scoring.make_tokens(count)
        longest = 40 if self.tiny else 2000
        ids = tuple(row[:longest] % vocabulary for row in made.ids)
        return TokenizedTexts(ids, ids, made.bytes, 1, False, (), "", "auto", False)

    def model(self, name: str, dtype: torch.dtype) -> Any:
        """A shape with random weights, on the device."""
        if name == "Llama 8B":
            return _llama(TINY_LLAMA if self.tiny else LLAMA, dtype)
        if self.tiny:
            name = "14M"
        return scoring.make_model(name, DEVICE, dtype)

    def timed(self, work: Callable[[], Any]) -> tuple[Any, float, float | None]:
        """What its median turn gives after a first one, those seconds, and peak memory in GiB."""
        work()
        if CUDA:
            torch.cuda.reset_peak_memory_stats()
        turns: list[tuple[float, int, Any]] = []
        for number in range(self.turns):
            found: list[Any] = []
            seconds = scoring.seconds(lambda kept=found: kept.append(work()))
            turns.append((seconds, number, found[0]))
        seconds, _, result = sorted(turns)[len(turns) // 2]
        peak = torch.cuda.max_memory_allocated() / 2**30 if CUDA else None
        return result, seconds, peak


def _llama(shape: dict[str, int], dtype: torch.dtype) -> Any:
    from transformers import AutoModelForCausalLM, LlamaConfig

    config = LlamaConfig(**shape, max_position_embeddings=8192, tie_word_embeddings=False)
    torch.manual_seed(0)
    with torch.device(DEVICE):
        model = AutoModelForCausalLM.from_config(config, dtype=dtype)
    with torch.no_grad():
        model.get_output_embeddings().weight.mul_(5)
    return model.eval()


def work_of(model: Any, tokens: TokenizedTexts) -> float:
    """Floating-point operations of a model's matrix products (half of attention: causal)."""
    lengths = tokens.lengths.astype(float)
    ends = {id(model.get_input_embeddings().weight), id(model.get_output_embeddings().weight)}
    body = sum(p.numel() for p in model.parameters() if p.dim() == 2 and id(p) not in ends)
    width, layers = model.config.hidden_size, model.config.num_hidden_layers
    head = 2 * model.get_output_embeddings().weight.numel() * tokens.scored.sum()
    return float(2 * body * lengths.sum() + 2 * layers * width * (lengths**2).sum() + head)


def scored(model: Any, tokens: TokenizedTexts, **settings: Any) -> ScoreResult:
    """This package's score of a model that was loaded to be scored."""
    precision = str(model.dtype).removeprefix("torch.")
    return score_model(model, tokens, ScoringSettings(**settings), precision=precision)


def speed_of(result: ScoreResult) -> float:
    """Tokens a second once the way to the logits is proved, which takes the same of any texts."""
    return float(result.provenance["tokens_per_second"])


@torch.inference_mode()
def plain_lens(model: Any, tokens: TokenizedTexts) -> np.ndarray:
    """Every layer's log-likelihoods, one text at a time: norm, head, full log-softmax."""
    body = model.get_decoder()
    norm = getattr(body, "final_layer_norm", None) or body.norm
    head, values = model.get_output_embeddings(), []
    for ids in tokens.ids:
        row = torch.from_numpy(ids)[None].to(DEVICE)
        states = model(row, use_cache=False, output_hidden_states=True).hidden_states
        sums = []
        for place, state in enumerate(states):
            state = state if place == len(states) - 1 else norm(state)
            scores = head(state[0, :-1]).float().log_softmax(-1)
            sums.append(float(scores.gather(1, row[0, 1:, None]).double().sum()))
        values.append(sums)
    return np.array(values).T


def in_float64(model: Any, tokens: TokenizedTexts) -> np.ndarray:
    """The same weights in float64, one text at a time."""
    model = copy.deepcopy(model).double()
    sums = []
    with torch.inference_mode():
        for ids in tokens.ids:
            row = torch.from_numpy(ids)[None].to(DEVICE)
            scores = model(row, use_cache=False).logits.double().log_softmax(-1)
            sums.append(float(scores[0, :-1].gather(1, row[0, 1:, None]).sum()))
    return np.array(sums)


@contextmanager
def tf32() -> Iterator[None]:
    """The process lets products of float32 be rounded to TF32."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)
