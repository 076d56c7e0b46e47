"""Scoring: the engine, (model files, texts, settings) -> log-likelihood vector and provenance."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from typing import Any

import torch

from mlflow_modelmap.errors import InputError
from mlflow_modelmap.scoring.accelerator.memory import of_a_training
from mlflow_modelmap.scoring.accelerator.products import exact_products
from mlflow_modelmap.scoring.engine.kept_heap import kept_heap
from mlflow_modelmap.scoring.engine.overflow import (
    not_finite,
    overflows_at_once,
    retry_in_float32,
    turn_to_float32,
)
from mlflow_modelmap.scoring.engine.provenance import origin
from mlflow_modelmap.scoring.engine.scorer import Progress, Scorer
from mlflow_modelmap.scoring.engine.second_pass import second_pass
from mlflow_modelmap.scoring.load.load import load_model, quiet_transformers
from mlflow_modelmap.scoring.load.loaded_base import LoadedBase, base_key
from mlflow_modelmap.scoring.load.precision import HALF_PRECISIONS, precision_in_memory, resolve
from mlflow_modelmap.scoring.model.config import position_limit, read_config
from mlflow_modelmap.scoring.model.reference import ModelFiles
from mlflow_modelmap.scoring.processor.matmul import matmul_precision, rounds_products, running
from mlflow_modelmap.scoring.processor.onednn import products_by_onednn
from mlflow_modelmap.scoring.settings import ScoreResult, ScoringSettings
from mlflow_modelmap.scoring.tokenizer.tokenize import TokenizedTexts, tokenize
from mlflow_modelmap.texts.text_set import TextSet


def score_texts(
    files: ModelFiles,
    texts: TextSet,
    settings: ScoringSettings,
    *,
    progress: Progress | None = None,
    tokens: TokenizedTexts | None = None,
    base: LoadedBase | None = None,
) -> ScoreResult:
    """Log-likelihoods of `texts` under the model in `files`.

    A pure function of its inputs: it writes nothing and needs no network.

    Parameters
    ----------
    files
        Where the model and its tokenizer lie.
    progress
        Called with the tokens scored so far and those to score in all.
    tokens
        The texts as this tokenizer gives them (from `tokenize`), to save doing it again.
    base
        Where the base of an adapter waits for the next one; the numbers are the same without.

    Raises
    ------
    InputError
        If a text cannot be scored, or the directory holds no causal language model; before any
        weights are read.
    ScoringError
        If the model does not load, runs out of memory on a single text, or gives a value that is
        not finite in float32 either.
    """
    config = read_config(files.model_path)
    precision, device = resolve(settings, config)
    tokens = tokens_of(files, texts, settings, tokens).fitted(position_limit(config), settings)
    started = time.perf_counter()
    adapter = files.adapter.path if files.adapter else None
    held = None if base is None else (base, base_key(files, settings))
    with _let_go_after_failure(base), kept_heap() if device == "cpu" else nullcontext():
        model = load_model(files.model_path, precision, device, settings, adapter, held=held)
        seconds = time.perf_counter() - started
        result = score_model(
            model,
            tokens,
            settings,
            precision=precision,
            progress=progress,
            noise=settings.texts_scored_twice(precision),
        )
    result.provenance["load_seconds"] = round(seconds, 3)
    result.provenance.update(origin(files, precision))
    return result


@contextmanager
def _let_go_after_failure(base: LoadedBase | None) -> Iterator[None]:
    try:
        yield
    except BaseException:
        if base is not None:
            base.let_go()
        raise


def tokens_of(
    files: ModelFiles, texts: TextSet, settings: ScoringSettings, given: TokenizedTexts | None
) -> TokenizedTexts:
    """The texts as the model's tokenizer gives them; `given` if they were made before.

    Raises
    ------
    InputError
        If those given were made from something else, or a text cannot be scored.
    """
    if given is None:
        return tokenize(files.tokenizer_path, texts, settings)
    if not given.made_from(texts, settings):
        raise InputError(
            "The tokens were made from other texts, or under another BOS policy, than those to be "
            "scored; tokenise these texts with these settings."
        )
    return given


def score_model(
    model: Any,
    tokens: TokenizedTexts,
    settings: ScoringSettings,
    *,
    precision: str | None = None,
    progress: Progress | None = None,
    noise: int = 0,
) -> ScoreResult:
    """Log-likelihoods under a model that is in memory already, for instance one in training.

    The model is left as it was found (device, dtype, training mode), except that a half-precision
    model that overflowed, and was loaded by `score_texts`, is turned into float32.

    Parameters
    ----------
    tokens
        From `tokenize` or `tokenize_with`, with this model's tokenizer.
    precision
        What was loaded, as `precision.resolve` says; None for what the model at hand is.
    noise
        How many texts go through the model a second time; `settings.noise` is not asked here.

    Raises
    ------
    InputError
        If the tokens are another model's, a prediction depends on later tokens, or it has no layers
        that can be scored.
    ScoringError
        If a text has no finite value, or memory runs out on a single text.
    """
    own = precision is not None
    precision = precision or precision_in_memory(model)
    alone = tokens.without_prompts
    check_knows_tokens(model, tokens)
    with evaluating(model, own):
        if alone is None:
            scorers = [Scorer(model, tokens, settings, precision, progress)]
        else:  # a pass of its own, so that the first gives what it gives without
            check_knows_tokens(model, alone)
            tell = _parts(progress, int(tokens.lengths.sum()), int(alone.lengths.sum()))
            scorers = [
                Scorer(model, tokens, settings, precision, tell[0]),
                Scorer(model, alone, replace(settings, layers=False), precision, tell[1]),
            ]
        with matmul_precision(settings.matmul, scorers[0].tail.device.type):
            half = own and precision in HALF_PRECISIONS
            at_once = half and overflows_at_once(scorers[0])
            if at_once:  # once through the texts in place of twice
                for scorer in scorers:
                    turn_to_float32(scorer, range(len(tokens)))
            for scorer in scorers:
                scorer.rounded = settings.matmul == "bfloat16" and rounds_products()
                scorer.score(range(len(tokens)))
            second = second_pass(scorers[0], noise) if noise else None
            retried = [scorer.non_finite() for scorer in scorers]
            for scorer, texts in zip(scorers, retried, strict=True):
                if texts and (at_once or not half):
                    raise not_finite(texts, f"in {precision}" + ", nor in float32" * at_once)
                if texts:
                    retry_in_float32(scorer, texts)
            if at_once:
                retried = [list(range(len(tokens))) for _ in scorers]
    made = replace(scorers[0].result(len(retried[0])), second=second)
    return made if alone is None else _with_unconditional(made, scorers, len(retried[1]))


def _parts(progress: Progress | None, *totals: int) -> list[Progress | None]:
    """What is called with the progress of each of some passes, told as that of all of them.

    It never goes back: texts that are read once more have been counted.
    """
    if progress is None:
        return [None] * len(totals)
    highest = 0

    def part(before: int) -> Progress:
        def tell(done: int, _: int) -> None:
            nonlocal highest
            highest = max(highest, before + done)
            progress(highest, sum(totals))

        return tell

    return [part(sum(totals[:number])) for number in range(len(totals))]


def _with_unconditional(made: ScoreResult, scorers: list[Scorer], retried: int) -> ScoreResult:
    """The score with what the responses' pass without prompts gave; its times are of both."""
    alone = scorers[1].result(retried)
    seconds, done = (sum(getattr(one, name) for one in scorers) for name in ("seconds", "done"))
    facts = {
        "unconditional_tokens": int(alone.scored_tokens.sum()),
        "seconds": round(seconds, 3),
        "tokens_per_second": round(done / max(seconds, 1e-9), 1),
    }
    return replace(
        made, unconditional=alone.log_likelihoods, provenance={**made.provenance, **facts}
    )


def check_knows_tokens(model: Any, tokens: TokenizedTexts) -> None:
    """Refuse tokens that the model has no embedding for.

    Raises
    ------
    InputError
        If the tokenizer is another model's.
    """
    largest = max(int(ids.max()) for ids in tokens.ids)
    vocabulary = int(model.get_input_embeddings().weight.shape[0])
    if largest >= vocabulary:
        raise InputError(
            f"The tokenizer gives the token {largest}, but the model knows only {vocabulary}; they "
            "do not belong together."
        )


@contextmanager
def evaluating(model: Any, own: bool = False) -> Iterator[None]:
    """Without gradients and dropout, and back to training afterwards where it was in training.

    On CUDA float32 products are float32 meanwhile, whatever the process allows.

    Parameters
    ----------
    own
        Whether the model was loaded to be scored, so that nothing that is made in here ever needs a
        gradient.
    """
    training = {module: module.training for module in model.modules()}
    inference = own and not of_a_training() and getattr(model, "hf_quantizer", None) is None
    places = {parameter.device.type for parameter in model.parameters()}
    on_cuda, on_cpu = "cuda" in places, places <= {"cpu", "meta"}
    model.eval()
    try:
        with (
            running(),
            torch.inference_mode() if inference else torch.no_grad(),
            exact_products("cuda" if on_cuda else "cpu"),
            quiet_transformers(),
            products_by_onednn() if on_cpu else nullcontext(),
        ):
            yield
    finally:
        for module, was in training.items():
            module.training = was
