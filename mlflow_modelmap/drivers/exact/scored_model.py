"""Driver: the model behind a score, to be run once more under the settings of that score."""

from __future__ import annotations

import os
from typing import Any

from mlflow import MlflowClient

from mlflow_modelmap.drivers.score.on_texts import names_its_texts
from mlflow_modelmap.drivers.score.prepare import Prepared, prepare
from mlflow_modelmap.drivers.score.request import ScoreRequest
from mlflow_modelmap.drivers.score.resolve import check_base_code
from mlflow_modelmap.drivers.score.texts import load_texts
from mlflow_modelmap.errors import InputError, TrackingError
from mlflow_modelmap.scoring.load.precision import BITSANDBYTES, is_quantised, resolve_device
from mlflow_modelmap.scoring.model.config import brings_own_code
from mlflow_modelmap.scoring.model.folder import tokenizer_digest
from mlflow_modelmap.scoring.model.reference import HUB, ModelFiles, ModelReference
from mlflow_modelmap.scoring.settings import TRANSFORMERS, ScoringSettings
from mlflow_modelmap.texts.text_set import TextSet
from mlflow_modelmap.tracking import schema
from mlflow_modelmap.tracking.runs.log_values import PARAM_PREFIX
from mlflow_modelmap.tracking.runs.point import Point
from mlflow_modelmap.tracking.runs.readable_or_refused import find_run
from mlflow_modelmap.tracking.runs.text_sources import text_sources

_KEPT = (
    *("bos", "eos", "overlong", "split_special_tokens", "matmul", "double_quantization"),
    *("tokens_from", "tokenizer", "template", "system_prompt", "end_of_turn"),
)
_NUMBERS = {"int8_threshold": float, "unspelled": float, "window_tokens": int, "stride": int}


def model_behind(
    point: Point,
    texts: TextSet,
    store: MlflowClient,
    *,
    device: str = "auto",
    device_map: str | None = None,
    trust_remote_code: bool = False,
) -> Prepared:
    """The model that a run says it scored, its files at hand, under that run's settings.

    Code that comes with a model runs only if `trust_remote_code` says so, whatever the run says.

    Parameters
    ----------
    device, device_map
        Where it is to run now.

    Raises
    ------
    InputError
        If the run scored no model that can be loaded again, or the model has changed since.
    ScoringError, TrackingError
        If the Hub or the store cannot give it.
    """
    if point.imported:
        raise InputError(
            f"{point.name!r} was imported from a file, which holds its log-likelihoods only; score "
            "its model here to compare it exactly."
        )
    if point.monitored or point.layer is not None:
        raise InputError(
            f"{point.name!r} is a checkpoint of a monitored training or a layer, of which only the "
            "log-likelihoods were kept; save the checkpoint and score it, to compare it exactly."
        )
    engine = point.tags.get(schema.TAG_ENGINE, TRANSFORMERS)
    if engine != TRANSFORMERS:
        raise InputError(
            f"{point.name!r} was scored by {engine}, and only transformers gives the distributions "
            "that an exact comparison needs; score its weights with engine=transformers."
        )
    params = find_run(point.run_id, store).data.params
    said = {name.removeprefix(PARAM_PREFIX): value for name, value in params.items()}
    if said.get("matmul") == "native":
        del said["matmul"]  # on an accelerator there is no choice
    given: dict[str, Any] = {name: said[name] for name in _KEPT if name in said}
    for name in ("split_special_tokens", "double_quantization", "end_of_turn"):
        if name in given:
            given[name] = given[name] == "true"
    given |= {name: kind(said[name]) for name, kind in _NUMBERS.items() if name in said}
    as_stored = is_quantised(point.precision) and point.precision not in BITSANDBYTES
    settings = ScoringSettings(
        precision="auto" if as_stored else point.precision or "auto",
        device=device,
        device_map=device_map,
        trust_remote_code=trust_remote_code,
        **given,
    )
    resolve_device(settings)
    try:
        reference = ModelReference.parse(point.model)
    except InputError as error:
        raise InputError(
            f"The model of {point.name!r}, {point.model!r}, cannot be loaded again: {error}"
        ) from None
    adapter, base = point.tags.get(schema.TAG_ADAPTER), None
    pinned = adapter.rpartition("@")[2] if adapter else point.commit or point.revision
    if reference.kind == HUB and pinned:
        reference = ModelReference(HUB, reference.name, pinned)
    if adapter:
        base = _base_of(point)
    prepared = prepare(ScoreRequest(reference=reference, settings=settings, base=base), texts)
    if adapter and trust_remote_code:
        check_base_code(prepared.files)
    if settings.tokenizer and trust_remote_code:
        _check_tokenizer_code(point.name, settings.tokenizer, prepared.files)
    if point.commit and prepared.files.commit != point.commit:
        raise InputError(
            f"{point.model!r} is no longer what {point.name!r} scored (it was "
            f"{point.commit[:19]}, now it is {prepared.files.commit[:19]}); score it again."
        )
    tokenizer = said.get("tokenizer_digest")
    if tokenizer and tokenizer != tokenizer_digest(prepared.files.tokenizer_path):
        raise InputError(
            f"The tokenizer of {point.name!r} is no longer what it was scored with (it was "
            f"{tokenizer[:12]}); score it again."
        )
    return prepared


def _check_tokenizer_code(name: str, tokenizer: str, files: ModelFiles) -> None:
    """Trust was given to the model that the user named, not to what a run says beside it."""
    if brings_own_code(files.tokenizer_path):
        raise InputError(
            f"The run {name!r} names the tokenizer {tokenizer!r}, which brings its own code; that "
            "is not run because the run named it and not you."
        )


def _base_of(point: Point) -> ModelReference | None:
    """What an adapter was applied to, as it was then; None where it came with the adapter."""
    name, _, commit = (point.tags.get(schema.TAG_ADAPTER_BASE) or "").rpartition("@")
    if not name:
        return None
    if commit.startswith("sha256:"):
        return ModelReference.parse(name)
    return ModelReference(HUB, name, commit)


def texts_behind(
    point: Point, store: MlflowClient, given: TextSet | str | os.PathLike[str] | None = None
) -> TextSet:
    """The texts that a point was scored on: as given, else from where its run read them.

    Raises
    ------
    InputError
        If they are others, or not there.
    """
    if given is not None and not names_its_texts(given, point):
        texts = load_texts(given, allow_duplicates=True)
        if texts.digest == point.text_set:
            return texts
        raise InputError(
            f"The texts {texts.name!r} (digest {texts.digest[:12]}) are not those that "
            f"{point.name!r} was scored on ({point.text_set_name or 'unnamed'}, digest "
            f"{point.text_set[:12]}); give those."
        )
    named = () if given is None else (os.fspath(given),)  # type: ignore[arg-type]
    own = text_sources((point.run_id,), point.text_set, store)
    for source in (*named, *own, point.text_set):  # by its digest the store may have it
        try:
            texts = load_texts(source, allow_duplicates=True)
        except (InputError, TrackingError):
            continue
        if texts.digest == point.text_set:
            return texts
    raise InputError(
        f"The texts of {point.name!r} ({point.text_set_name or 'unnamed'}, digest "
        f"{point.text_set[:12]}) are not where its run read them; say with --texts (or texts=) "
        "where they are now."
    )
