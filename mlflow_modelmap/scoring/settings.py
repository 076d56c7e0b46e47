"""Scoring (no torch here): every choice that can change a score, and what a score is."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar

import numpy as np
from pydantic import AfterValidator, Field, model_validator

from mlflow_modelmap.errors import InputError
from mlflow_modelmap.scoring.model.reference import tag_name
from mlflow_modelmap.scoring.served.address import checked_url
from mlflow_modelmap.scoring.strict import Checked, OneOf, Strict, Text, Whole

FOUR_BIT = ("nf4", "fp4")
TRANSFORMERS, VLLM, ENDPOINT, LLAMA_CPP = "transformers", "vllm", "endpoint", "llama.cpp"
ENGINES = (TRANSFORMERS, VLLM, ENDPOINT, LLAMA_CPP)
"""What computes a score."""
NOISE_TEXTS = 20
"""Texts that are scored twice where numbers are rounded and nobody says how many."""
GOES_WITH = {
    **dict.fromkeys(("url", "served_model", "concurrency", "requests_per_minute"), (ENDPOINT,)),
    "tensor_parallel": (VLLM,),
    **dict.fromkeys(("device_map", "matmul", "layers", "int8_threshold"), (TRANSFORMERS,)),
    "double_quantization": (TRANSFORMERS,),
}
"""Settings that only some engines know."""
Precision = Annotated[str, OneOf(("auto", "float32", "bfloat16", "float16", "int8", *FOUR_BIT))]


class SettingsFields(Strict):
    """Every setting of a score, its kind and its default: what plans and configurations hold too.

    `ScoringSettings` says what they mean. A new setting is written here and there, and nowhere
    else; the command line, plans and the evaluator's configuration take it from here.
    """

    engine: Annotated[str, OneOf(ENGINES)] = TRANSFORMERS
    url: Annotated[Text, AfterValidator(checked_url)] | None = None
    served_model: Text | None = None
    concurrency: Annotated[Whole, Field(ge=1, le=1024)] = 8
    requests_per_minute: Annotated[Whole, Field(ge=1)] | None = None
    tensor_parallel: Annotated[Whole, Field(ge=1)] = 1
    agreement: Annotated[Whole, Field(ge=0)] = 10
    precision: Precision = "auto"
    device: str = "auto"
    device_map: Text | None = None
    batch_tokens: Annotated[Whole, Field(ge=1)] | None = None
    bos: Annotated[str, OneOf(("auto", "always", "never"))] = "auto"
    eos: Annotated[str, OneOf(("never", "auto", "always"))] = "never"
    tokens_from: Annotated[str, OneOf(("file", "class"))] = "file"
    tokenizer: Annotated[Text, AfterValidator(tag_name)] | None = None
    template: Text = "auto"
    system_prompt: Text | None = None
    end_of_turn: bool = False
    unconditional: bool = False
    unspelled: Annotated[float, Field(ge=0, le=1)] = 0.1
    overlong: Annotated[str, OneOf(("error", "truncate", "window"))] = "error"
    window_tokens: Annotated[Whole, Field(ge=2)] | None = None
    stride: Annotated[Whole, Field(ge=1)] | None = None
    split_special_tokens: bool = False
    matmul: Annotated[str, OneOf(("float32", "bfloat16"))] = "float32"
    layers: bool = False
    double_quantization: bool = False
    int8_threshold: Annotated[float, Field(ge=0)] = 0.0
    trust_remote_code: bool = False
    safetensors_only: bool = False
    noise: Annotated[Whole, Field(ge=0)] | None = None


class ScoringSettings(SettingsFields, Checked):
    """How a model is scored.

    Parameters
    ----------
    engine
        What computes: transformers, vLLM in this process, a server that shows log-probabilities of
        prompts (``endpoint``), or ``llama.cpp`` (GGUF files).
    url
        Of the server, such as ``http://localhost:8000/v1``; its key is read from
        MLFLOW_MODELMAP_ENDPOINT_KEY.
    served_model
        What the server calls the model, if not as it is written or by the only name it knows.
    concurrency
        How many requests a server has at once.
    requests_per_minute
        The most requests that a server gets in a minute; by default any number.
    tensor_parallel
        Over how many GPUs vLLM splits the model.
    agreement
        On how many texts another engine is held against transformers, where the weights are at
        hand and not too large; 0 for none.
    precision
        ``auto`` is the stored half precision on an accelerator and float32 on CPU; ``int8``,
        ``nf4`` and ``fp4`` quantise the weights with bitsandbytes. Of a server's model it says what
        its weights are.
    device
        ``auto``, ``cpu``, ``cuda``, ``cuda:1`` or ``mps``.
    device_map
        Passed on to transformers (for example ``auto``) for models larger than one device.
    batch_tokens
        How many tokens, padding included, go through the model at once; by default 2,048, and
        16,384 on CUDA as far as its memory allows (2,048 beside a training).
    bos
        Whether a BOS token comes first: as the tokenizer does by default, always, or never.
    eos
        Whether an EOS token is scored after each text: never, as the tokenizer does by default, or
        always.
    tokens_from
        Where transformers' class of a tokenizer splits text otherwise than its tokenizer.json:
        what the file says, or what the class does.
    tokenizer
        Where the tokenizer is, if not beside the model: written as a model is.
    template
        How prompts become text, where texts are responses: ``auto`` is the model's own chat
        template, or plain concatenation where it has none; ``none``; or a file with one.
    system_prompt
        What comes before every prompt as the system's message: the same prompts under another one
        are another point of the same map.
    end_of_turn
        Whether the token that ends a response's turn is scored too.
    unconditional
        Whether each response is scored without its prompt too, as a text of its own, for vectors
        log p(y) and PMI: log p(y|x) - log p(y).
    unspelled
        Share of the texts that the tokenizer may write otherwise (unknown tokens, lower case)
        before that is an error.
    overlong
        What to do with texts longer than the model's positions: refuse them, cut them, or score
        them in windows that overlap.
    window_tokens
        How long these windows are, by default as long as the model's positions.
    stride
        By how many tokens a window moves on, by default half of its length; each token of a later
        window then has at least the other half as its context.
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
    safetensors_only
        Whether weights that are there as a pickle only (pytorch_model.bin) are refused.
    noise
        How many texts are scored a second time in other batches, to measure the KL divergence that
        arithmetic alone makes; by default 20 where weights or products are not float32, else 0.

    Raises
    ------
    InputError
        If a value is not one of those above, or of another kind: text is not taken for a number.
    """

    # For `dataclasses.replace`, `asdict` and `fields`, which people use on settings.
    __dataclass_fields__: ClassVar[dict[str, dataclasses.Field[Any]]]

    @model_validator(mode="after")
    def _double_quantization_has_blocks(self) -> ScoringSettings:
        if self.double_quantization and self.precision not in FOUR_BIT:
            raise InputError(
                f"double_quantization goes with precision nf4 or fp4, not {self.precision!r}."
            )
        return self

    @model_validator(mode="after")
    def _a_variance_needs_two(self) -> ScoringSettings:
        if self.noise == 1:
            raise InputError("noise is 1; it must be 0, or 2 or more texts.")
        return self

    @model_validator(mode="after")
    def _the_engine_can(self) -> ScoringSettings:
        for name, goes_with in GOES_WITH.items():
            given = getattr(self, name) != type(self).model_fields[name].default
            if given and self.engine not in goes_with:
                raise InputError(
                    f"{name} goes with engine={' or '.join(goes_with)}, not {self.engine!r}."
                )
        if self.engine == ENDPOINT and self.url is None:
            raise InputError(
                "engine=endpoint needs the server's address; give url (--url), such as "
                "http://localhost:8000/v1."
            )
        if self.engine in (VLLM, LLAMA_CPP) and self.precision in ("int8", *FOUR_BIT):
            raise InputError(
                f"{self.engine} scores weights as they are stored and makes none {self.precision}; "
                "leave the precision at auto, or take engine=transformers."
            )
        return self

    @model_validator(mode="after")
    def _windows_are_asked_for(self) -> ScoringSettings:
        for name in ("window_tokens", "stride"):
            if getattr(self, name) is not None and self.overlong != "window":
                raise InputError(f"{name} goes with overlong=window, not {self.overlong!r}.")
        if self.window_tokens and self.stride and self.stride >= self.window_tokens:
            raise InputError(
                f"stride is {self.stride}; it must be less than window_tokens, which is "
                f"{self.window_tokens}."
            )
        return self

    def recorded(self) -> dict[str, Any]:
        """Those that mean something with this engine, for a run's params."""
        foreign = {name for name, engines in GOES_WITH.items() if self.engine not in engines}
        foreign |= {"agreement"} if self.engine == TRANSFORMERS else {"batch_tokens"}
        return self.model_dump(exclude=foreign)

    def texts_scored_twice(self, precision: str) -> int:
        """How many texts are scored twice in a precision as resolved (``float32``, ``nf4``)."""
        if self.noise is not None:
            return self.noise
        return NOISE_TEXTS if precision != "float32" or self.matmul != "float32" else 0

    def with_precision(self, precision: str) -> ScoringSettings:
        """The same in another precision; double quantisation only where there are 4 bits."""
        doubled = self.double_quantization and precision in FOUR_BIT
        return dataclasses.replace(self, precision=precision, double_quantization=doubled)


ScoringSettings.__dataclass_fields__ = {
    f.name: f
    for f in dataclasses.fields(
        dataclasses.make_dataclass(
            "Settings",
            [(n, Any, field(default=f.default)) for n, f in SettingsFields.model_fields.items()],
        )
    )
}


@dataclass(frozen=True, eq=False)
class SecondPass:
    """Some texts scored a second time by the same model, in other batches.

    Attributes
    ----------
    texts
        Which, int64, shape (n,), ascending.
    log_likelihoods
        Nats, float64, shape (n,); all finite.
    """

    texts: np.ndarray
    log_likelihoods: np.ndarray


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
    second
        What a second pass over some of the texts gave; None without one.
    unconditional
        Log-likelihoods of responses without their prompts, nats, float64, shape (N,); None where
        that was not asked for.
    """

    log_likelihoods: np.ndarray
    scored_tokens: np.ndarray
    bytes: np.ndarray
    layer_log_likelihoods: np.ndarray | None = None
    provenance: dict[str, str | int | float | bool] = field(default_factory=dict)
    second: SecondPass | None = None
    unconditional: np.ndarray | None = None
