"""Driver: one model on one text set - who it is, whether it is scored already, scoring, logging."""

from __future__ import annotations

import hashlib
import os
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mlflow_modelmap.drivers.score import spool
from mlflow_modelmap.errors import InputError, ModelMapError, TrackingError
from mlflow_modelmap.scoring.identity import identity
from mlflow_modelmap.scoring.load.precision import resolve
from mlflow_modelmap.scoring.model.config import model_type, position_limit, read_config
from mlflow_modelmap.scoring.model.reference import HUB, LOCAL, ModelFiles, ModelReference, tag_name
from mlflow_modelmap.scoring.settings import ScoringSettings
from mlflow_modelmap.texts.text_set import TextSet
from mlflow_modelmap.tracking import schema
from mlflow_modelmap.tracking.runs.log_values import OpenRun
from mlflow_modelmap.tracking.runs.point import Point
from mlflow_modelmap.tracking.runs.read_vectors import read_matrix
from mlflow_modelmap.tracking.runs.text_dataset import TextSetDataset, TextSetSource
from mlflow_modelmap.tracking.runs.write_score import (
    bits_per_byte_of,
    log_score,
    mean_log_likelihood,
)
from mlflow_modelmap.words.redact import redact

if TYPE_CHECKING:
    from mlflow_modelmap.scoring.tokenizer.tokenize import TokenizedTexts

# Beside a tokenizer may lie weights, and files that say nothing of it but differ by checkpoint.
_WEIGHTS = frozenset((".safetensors", ".bin", ".pt", ".pth", ".h5", ".msgpack", ".gguf", ".onnx"))
_NOT_TOKENIZER = frozenset(
    (
        "README.md",
        "config.json",
        "generation_config.json",
        "model.safetensors.index.json",
        "pytorch_model.bin.index.json",
        "trainer_state.json",
    )
)


@dataclass(frozen=True)
class ScoreRequest:
    """A model to score: which, how, and what the run is to say of it.

    Raises
    ------
    InputError
        If the step is negative.
    """

    reference: ModelReference
    settings: ScoringSettings = field(default_factory=ScoringSettings)
    trajectory: str | None = None
    step: int | None = None
    model_type: str | None = None
    base_model: str | None = None
    name: str | None = None

    def __post_init__(self) -> None:
        if self.step is not None and self.step < 0:
            raise InputError(f"The step is {self.step}; it must be 0 or more.")

    @property
    def point_name(self) -> str:
        """The run's name: as given, else the trajectory and step, else the model's own name."""
        if self.name:
            return self.name
        reference = self.reference
        if self.trajectory and self.step is not None:
            base = f"{self.trajectory} step {self.step}"
        elif reference.kind == LOCAL:
            base = os.path.basename(reference.name.rstrip("/")) or reference.name
        elif reference.kind == HUB:
            base = reference.name.rpartition("/")[2]
        else:
            base = reference.name.partition(":/")[2].lstrip("/")
        if reference.revision and reference.revision not in base and self.step is None:
            base = f"{base}@{reference.revision}"
        elif self.step is not None and not self.trajectory:
            base = f"{base} step {self.step}"
        asked = self.settings.precision
        return base if asked == "auto" or asked in base else f"{base} {asked}"

    def labels(self) -> dict[str, str]:
        """What the score is called; part of its identity."""
        labels = {
            "model": self.reference.name,
            "revision": self.reference.revision,
            "trajectory": self.trajectory,
            "step": None if self.step is None else str(self.step),
            "name": self.name,
        }
        return {key: value for key, value in labels.items() if value is not None}


@dataclass(frozen=True)
class Prepared:
    """A request whose files are at hand: everything that is known before any weights are read."""

    request: ScoreRequest
    files: ModelFiles
    model_type: str
    precision: str
    device: str
    identity: str

    def tags(self, texts: TextSet) -> dict[str, Any]:
        """The ``modelmap.*`` tags of the run."""
        request = self.request
        reference = self.files.reference
        return {
            schema.TAG_MODEL: reference.name,
            schema.TAG_REVISION: reference.revision,
            schema.TAG_COMMIT: self.files.commit,
            schema.TAG_TRAJECTORY: request.trajectory,
            schema.TAG_STEP: request.step,
            schema.TAG_MODEL_TYPE: request.model_type or self.model_type,
            schema.TAG_BASE_MODEL: tag_name(request.base_model),
            schema.TAG_PRECISION: self.precision,
            schema.TAG_TEXT_SET: texts.digest,
            schema.TAG_TEXT_SET_NAME: texts.name,
            schema.TAG_TEXT_WEIGHTS: texts.weights_digest,
            schema.TAG_IDENTITY: self.identity,
        }


@dataclass(frozen=True, eq=False)
class ScoredModel:
    """A model that is scored and logged.

    Attributes
    ----------
    run_id, experiment_id, name
        Of the run that holds the score.
    log_likelihoods
        Nats, float64, shape (N,).
    bits_per_byte
        How well the model predicts the text set.
    skipped
        Whether the score was there already.
    seconds, tokens_per_second
        Of the scoring itself; None where it was skipped.
    weights
        Of the texts, shape (N,), or None.
    """

    run_id: str
    experiment_id: str
    name: str
    log_likelihoods: np.ndarray
    bits_per_byte: float
    skipped: bool = False
    seconds: float | None = None
    tokens_per_second: float | None = None
    weights: np.ndarray | None = None


def resolve_model(reference: ModelReference) -> ModelFiles:
    """Where a model's files are on this machine, fetched if need be.

    Raises
    ------
    InputError
        If it is not there, gated, or no causal language model.
    ScoringError, TrackingError
        If the Hub or the MLflow store cannot give it.
    """
    if reference.kind == HUB:
        from mlflow_modelmap.scoring.model.hub import snapshot

        return snapshot(reference)
    if reference.kind == LOCAL:
        from mlflow_modelmap.scoring.model.hub import local_files

        return local_files(reference.name)
    from mlflow_modelmap.tracking.registry.model_files import logged_model_files

    return logged_model_files(reference)


def prepare(request: ScoreRequest, texts: TextSet) -> Prepared:
    """Find the model's files, what will be done with them, and the identity of the score."""
    files = resolve_model(request.reference)
    config = read_config(files.model_path)
    precision, device = resolve(request.settings, config)
    key = identity(
        files.commit,
        texts.digest,
        precision,
        device.partition(":")[0],
        request.settings,
        request.labels(),
        texts.weights_digest,
    )
    return Prepared(request, files, model_type(config), precision, device, key)


class TokenCache:
    """Tokens of one text set, made once for each tokenizer, whatever folders it lies in."""

    def __init__(self, keep: int = 4) -> None:
        self.keep = keep
        self.made: OrderedDict[tuple[Any, ...], TokenizedTexts] = OrderedDict()

    def tokens_for(
        self, prepared: Prepared, texts: TextSet, *, again: bool = False
    ) -> TokenizedTexts | None:
        """The tokens for a model, fitted to its positions; None if its vector waits in the spool.

        Raises
        ------
        InputError
            If a text is too long for the model, or gives nothing to score.
        """
        if not again and spool.waiting(prepared.identity, len(texts)) is not None:
            return None
        from mlflow_modelmap.scoring.tokenizer.tokenize import tokenize

        settings = prepared.request.settings
        files, config = prepared.files, read_config(prepared.files.model_path)
        key = (
            _tokenizer_digest(files.tokenizer_path),
            model_type(config),
            texts.digest,
            settings.bos,
            settings.split_special_tokens,
            settings.trust_remote_code,
        )
        if key not in self.made:
            self.made[key] = tokenize(files.tokenizer_path, texts, settings)
            while len(self.made) > self.keep:
                self.made.popitem(last=False)
        self.made.move_to_end(key)
        return self.made[key].within(position_limit(config), settings.overlong)


def _tokenizer_digest(folder: str) -> str:
    """A digest of all small files beside the weights: among them is what makes the tokenizer."""
    sha = hashlib.sha256()
    for path in sorted(Path(folder).iterdir()):
        if path.name in _NOT_TOKENIZER or path.suffix in _WEIGHTS or not path.is_file():
            continue
        sha.update(f"{path.name}\0{path.stat().st_size}\0".encode())
        sha.update(path.read_bytes())
    return sha.hexdigest()


def score_into(
    run: OpenRun,
    prepared: Prepared,
    texts: TextSet,
    source: str | None,
    *,
    again: bool = False,
    tokens: TokenizedTexts | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> ScoredModel:
    """Score a prepared model and log it into an open run.

    Raises
    ------
    TrackingError
        If the score was made but could not be logged; it says where the vector waits.
    """
    request = prepared.request
    result = None if again else spool.waiting(prepared.identity, len(texts))
    if result is None:
        from mlflow_modelmap.scoring.engine.score_texts import score_texts

        result = score_texts(
            prepared.files, texts, request.settings, progress=progress, tokens=tokens
        )
    try:
        kept = spool.keep(prepared.identity, result)
    except OSError:
        kept = None  # no room on disk is no reason not to log what was scored
    try:
        log_score(
            run,
            result,
            TextSetDataset(texts, TextSetSource(source)),
            settings=asdict(request.settings),
            tags=prepared.tags(texts),
            step=request.step,
        )
    except Exception as error:
        if isinstance(error, ModelMapError) and not isinstance(error, TrackingError):
            raise
        reason = redact(" ".join(str(error).split()) or type(error).__name__).rstrip(".")[:400]
        where = f"; its vector is kept in {str(kept)!r}, and the same command logs it from there"
        raise TrackingError(
            f"{(run.name or request.point_name)!r} was scored but could not be logged ({reason})"
            f"{where if kept else ''}."
        ) from error
    spool.drop(prepared.identity)
    seconds, speed = (result.provenance.get(k) for k in ("seconds", "tokens_per_second"))
    return ScoredModel(
        run_id=run.run_id,
        experiment_id=run.experiment_id,
        name=run.name or request.point_name,
        log_likelihoods=result.log_likelihoods,
        bits_per_byte=bits_per_byte_of(result, texts.weight_array),
        seconds=float(seconds) if seconds is not None else None,
        tokens_per_second=float(speed) if speed is not None else None,
        weights=texts.weight_array,
    )


def already_scored(run: Point) -> ScoredModel:
    """What a run that was found holds."""
    matrix, points = read_matrix([run])
    return ScoredModel(
        run_id=run.run_id,
        experiment_id=run.experiment_id,
        name=run.name,
        log_likelihoods=matrix.values[0],
        bits_per_byte=points[0].bits_per_byte or float("nan"),
        skipped=True,
        weights=matrix.weights,
    )


def mark_skipped(run: OpenRun, found: Point) -> None:
    """Let a run that was given say that its score is there already, and where."""
    run.log(tags={schema.TAG_KIND: schema.KIND_SKIPPED, schema.TAG_SAME_AS: found.run_id})


def as_result(scored: ScoredModel) -> dict[str, Any]:
    """Flat facts for a table or for ``--json``."""
    return {
        "name": scored.name,
        "run_id": scored.run_id,
        "experiment_id": scored.experiment_id,
        "bits_per_byte": scored.bits_per_byte,
        "mean_log_likelihood": mean_log_likelihood(scored.log_likelihoods, scored.weights),
        "texts": len(scored.log_likelihoods),
        "skipped": scored.skipped,
        "seconds": scored.seconds,
        "tokens_per_second": scored.tokens_per_second,
    }
