"""Driver: all that is known of a score before any weights are read - files, precision, identity."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from mlflow_modelmap.drivers.score.request import ScoreRequest
from mlflow_modelmap.drivers.score.resolve import check_base_code, resolve_model
from mlflow_modelmap.drivers.score.resolve_served import resolve_served
from mlflow_modelmap.drivers.score.tags import score_tags
from mlflow_modelmap.errors import InputError, ScoringError
from mlflow_modelmap.scoring.identity import identity
from mlflow_modelmap.scoring.identity_of_0_1_0 import identity_of_0_1_0
from mlflow_modelmap.scoring.load.precision import resolve
from mlflow_modelmap.scoring.model.adapter import weights_format_of
from mlflow_modelmap.scoring.model.cached_weights import lacks_weights
from mlflow_modelmap.scoring.model.config import known_config, model_type
from mlflow_modelmap.scoring.model.folder import tokenizer_digest
from mlflow_modelmap.scoring.model.pickles import refuses_pickles
from mlflow_modelmap.scoring.model.reference import REGISTRY, ModelFiles
from mlflow_modelmap.scoring.model.stored_quantization import stored_quantization
from mlflow_modelmap.scoring.settings import ENDPOINT, ScoringSettings
from mlflow_modelmap.scoring.tokenizer.templates import AUTO, template_digest
from mlflow_modelmap.texts.text_set import TextSet
from mlflow_modelmap.words.shortened import shortened


@dataclass(frozen=True, eq=False)
class Prepared:
    """A request whose files are at hand, and the texts; plain values that can go anywhere.

    Attributes
    ----------
    request, texts
        What is to be scored on what.
    files
        Where the model lies on this machine.
    precision
        As resolved: what ``auto`` comes to here.
    identity
        Of the score.
    identities
        All by which it may be found: its own, and the one that version 0.1.0 gave it.
    tags
        The ``modelmap.*`` tags of its run.
    """

    request: ScoreRequest
    texts: TextSet
    files: ModelFiles
    precision: str
    identity: str
    identities: tuple[str, ...]
    tags: Mapping[str, Any]


Found = TypeVar("Found", Prepared, ModelFiles)


def prepare(request: ScoreRequest, texts: TextSet, *, weights: bool = True) -> Prepared:
    """Find the model's files, what will be done with them, and the identity of the score.

    Without `weights` those of the Hub are not fetched: the identity is the same, and a score that
    is there can be found.

    An alias, which moves, is taken as the version that it stands for now: that is what the request
    of the result names.

    Raises
    ------
    InputError
        If the model is not there or no causal language model, or the precision or device does not
        go with it or this machine.
    ScoringError, TrackingError
        If the Hub or the MLflow store cannot give it.
    """
    written, settings = request.reference, request.settings
    if written.kind == REGISTRY:
        from mlflow_modelmap.tracking.registry.versions import fixed_version

        request = request.model_copy(update={"reference": fixed_version(written)})
    files = model_files(request, weights=weights)
    if request.base is None and settings.trust_remote_code:
        check_base_code(files)
    config = known_config(files)
    precision, device = resolve(request.settings, config)
    identities = identities_of(request, texts, files, precision, device.partition(":")[0])
    stored = stored_quantization(config)
    threshold = request.settings.int8_threshold if stored is None else stored.int8_threshold
    tags = score_tags(
        texts,
        request,
        model=files.reference.name,
        revision=files.reference.revision,
        commit=files.commit,
        model_type=model_type(config) if config else None,
        precision=precision,
        engine=settings.engine,
        prompt=prompt_in_words(settings),
        alias=written.name if written != request.reference else None,
        identity=identities[0],
        weights_format=weights_format_of(files),
        adapter=files.adapter,
        int8_threshold=threshold if precision == "int8" else None,
    )
    return Prepared(request, texts, files, precision, identities[0], identities, tags)


def identities_of(
    request: ScoreRequest, texts: TextSet, files: ModelFiles, precision: str, device_type: str
) -> tuple[str, ...]:
    """By which a score may be found: its own identity, and the one that version 0.1.0 gave it.

    Parameters
    ----------
    precision, device_type
        As resolved.
    """
    settings = request.settings
    made_from = (
        files.commit,
        texts.digest,
        precision,
        device_type,
        settings,
        request.labels(),
        texts.weights_digest,
    )
    beside = settings.tokenizer is None and files.served is None
    of_tokenizer = None if beside else tokenizer_digest(files.tokenizer_path)
    folder = None if texts.prompts is None else files.tokenizer_path
    template = template_digest(settings.template, folder)
    own, former = identity(*made_from, of_tokenizer, template), identity_of_0_1_0(*made_from)
    return (own,) if former is None else (own, former)


def prepare_unscored(
    request: ScoreRequest,
    texts: TextSet,
    is_scored: Callable[[Prepared], bool],
) -> Prepared:
    """As `prepare`, but weights that are not here yet are fetched of what is not scored alone."""
    fetch = partial(prepare, request, texts)
    if request.settings.engine == ENDPOINT or not lacks_weights(request.reference):
        return fetch()
    return fetched_unless_scored(partial(fetch, weights=False), fetch, is_scored)


def fetched_unless_scored(
    look: Callable[[], Found],
    fetch: Callable[[], Found],
    is_scored: Callable[[Found], bool],
    looked: Callable[[Found], object] = lambda known: None,
) -> Found:
    """What `look` gives, which brings no weights, if that is scored; else what `fetch` gives.

    Parameters
    ----------
    looked
        Called with what `look` gave.
    """
    with suppress(InputError, ScoringError):  # fetching says it
        known = look()
        looked(known)
        if is_scored(known):
            return known
    return fetch()


def model_files(request: ScoreRequest, *, weights: bool = True) -> ModelFiles:
    """Where a request's model lies on this machine, fetched if need be.

    Parameters
    ----------
    weights
        Whether weights of the Hub are fetched, or only what the model is.

    Raises
    ------
    InputError, ScoringError, TrackingError
        As `resolve_model`.
    """
    settings = request.settings
    if settings.engine == ENDPOINT:
        return resolve_served(request.reference, settings, base=request.base)
    return resolve_model(
        request.reference,
        base=request.base,
        refused=refuses_pickles(settings.safetensors_only),
        tokenizer=settings.tokenizer,
        weights=weights,
    )


def prompt_in_words(settings: ScoringSettings) -> str | None:
    """What the user puts prompts under, in a few words."""
    parts = [
        f"system: {shortened(settings.system_prompt)}" if settings.system_prompt else "",
        f"template: {os.path.basename(settings.template)}" if settings.template != AUTO else "",
    ]
    return "; ".join(part for part in parts if part) or None
