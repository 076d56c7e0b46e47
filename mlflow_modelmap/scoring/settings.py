"""Scoring (no torch here): every choice that can change a score, and what a score is."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from mlflow_modelmap.errors import InputError

PRECISIONS = ("auto", "float32", "bfloat16", "float16", "int8", "nf4", "fp4")
BOS_POLICIES = ("auto", "always", "never")
OVERLONG_POLICIES = ("error", "truncate")
MATMUL_PRECISIONS = ("float32", "bfloat16")


@dataclass(frozen=True)
class ScoringSettings:
    """How a model is scored.

    Parameters
    ----------
    precision
        ``auto`` is the stored half precision on an accelerator and float32 on CPU; ``int8``,
        ``nf4`` and ``fp4`` quantise the weights with bitsandbytes.
    device
        ``auto``, ``cpu``, ``cuda``, ``cuda:1`` or ``mps``.
    device_map
        Passed on to transformers (for example ``auto``) for models larger than one device.
    batch_tokens
        How many tokens, padding included, go through the model at once.
    bos
        Whether a BOS token comes first: as the tokenizer does by default, always, or never.
    overlong
        What to do with texts longer than the model's positions.
    split_special_tokens
        Whether ``<|endoftext|>`` inside a text is read as plain characters.
    matmul
        ``bfloat16`` lets float32 matrix products on CPU round their factors: faster, with a noise
        of about 0.05 nats a text.
    layers
        Whether every layer is scored too, by the logit lens.
    double_quantization
        Whether the 4-bit block scales are quantised as well (nf4 and fp4).
    int8_threshold
        Outlier threshold of LLM.int8; 0 (none) makes a text's value independent of its batch.
    trust_remote_code
        Whether code that comes with the model may run.

    Raises
    ------
    InputError
        If a value is not one of those above.
    """

    precision: str = "auto"
    device: str = "auto"
    device_map: str | None = None
    batch_tokens: int = 2048
    bos: str = "auto"
    overlong: str = "error"
    split_special_tokens: bool = False
    matmul: str = "float32"
    layers: bool = False
    double_quantization: bool = False
    int8_threshold: float = 0.0
    trust_remote_code: bool = False

    def __post_init__(self) -> None:
        for label, value, choices in (
            ("precision", self.precision, PRECISIONS),
            ("bos", self.bos, BOS_POLICIES),
            ("overlong", self.overlong, OVERLONG_POLICIES),
            ("matmul", self.matmul, MATMUL_PRECISIONS),
        ):
            if value not in choices:
                raise InputError(f"Unknown {label} {value!r}; choose one of {', '.join(choices)}.")
        if self.batch_tokens < 1:
            raise InputError(f"batch_tokens is {self.batch_tokens}; it must be 1 or more.")
        if self.double_quantization and self.precision not in ("nf4", "fp4"):
            raise InputError(
                f"double_quantization goes with precision nf4 or fp4, not {self.precision!r}."
            )


@dataclass(frozen=True, eq=False)
class ScoreResult:
    """The log-likelihood vector of one model on one text set, and how it came about.

    Attributes
    ----------
    log_likelihoods
        Nats, float64, shape (N,); all finite.
    scored_tokens
        Tokens that contributed to each value, int64, shape (N,).
    bytes
        UTF-8 bytes of what was scored of each text, int64, shape (N,). Differs from the text's
        own length only for truncated texts.
    layer_log_likelihoods
        Nats, float64, shape (layers + 1, N), row 0 the embeddings; None without the lens.
    provenance
        Flat facts fit for run params: resolved precision, device, versions, seconds, ...
    """

    log_likelihoods: np.ndarray
    scored_tokens: np.ndarray
    bytes: np.ndarray
    layer_log_likelihoods: np.ndarray | None = None
    provenance: dict[str, str | int | float | bool] = field(default_factory=dict)
