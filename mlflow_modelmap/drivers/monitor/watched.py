"""Driver: what a monitor is shown of a training - its model in memory, or a directory it saved."""

from __future__ import annotations

import functools
import os
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from mlflow import MlflowClient

from mlflow_modelmap.drivers.monitor.exact import ExactComparisons
from mlflow_modelmap.drivers.pair.reference_score import ReferenceScore, reference_score
from mlflow_modelmap.drivers.score.prepare import prompt_in_words
from mlflow_modelmap.drivers.score.request import Said
from mlflow_modelmap.drivers.score.resolve import resolve_model, whole_model
from mlflow_modelmap.drivers.score.tags import score_tags
from mlflow_modelmap.errors import InputError, ModelMapError
from mlflow_modelmap.numerics.exact.summary import ExactKL
from mlflow_modelmap.numerics.matrix.bits_per_byte import bits_and_error
from mlflow_modelmap.scoring.load.precision import resolve
from mlflow_modelmap.scoring.model.adapter import kind_in
from mlflow_modelmap.scoring.model.config import read_config
from mlflow_modelmap.scoring.model.folder import weights_in
from mlflow_modelmap.scoring.model.reference import (
    HUB,
    LOCAL,
    AppliedAdapter,
    ModelFiles,
    ModelReference,
)
from mlflow_modelmap.scoring.model.weight_files import ADAPTER
from mlflow_modelmap.scoring.settings import ScoreResult, ScoringSettings
from mlflow_modelmap.texts.text_set import TextSet

if TYPE_CHECKING:
    from mlflow_modelmap.scoring.engine.live_adapter import LiveAdapter
    from mlflow_modelmap.scoring.tokenizer.tokenize import TokenizedTexts

_COMMIT = re.compile(r"[0-9a-f]{40}")
BASE = "base"
"""The reference that is the base of the adapter that is trained, as it lies in memory."""


@dataclass(frozen=True)
class About:
    """What a training's run says of its model.

    Attributes
    ----------
    model_type, precision, base_model
        As the tags of a score; of an adapter they are its base's.
    adapter
        What is trained where that is no whole model, and on what.
    """

    model_type: str | None
    precision: str | None
    base_model: str | None = None
    adapter: AppliedAdapter | None = None

    def tags(
        self,
        texts: TextSet,
        trajectory: str | None,
        base_model: str | None,
        settings: ScoringSettings,
    ) -> dict[str, Any]:
        """The tags of the run; `base_model` is what the user says that it started from."""
        found = None if self.adapter is not None else self.base_model
        return score_tags(
            texts,
            Said(trajectory=trajectory, base_model=base_model or found),
            model=None,
            model_type=self.model_type,
            precision=self.precision,
            prompt=prompt_in_words(settings),
            adapter=self.adapter,
        )


class InMemory:
    """The model of a training as it lies in memory."""

    def __init__(self, model: Any) -> None:
        self.model = model

    def tokens(self, tokenizer: Any, texts: TextSet, settings: ScoringSettings) -> TokenizedTexts:
        """The texts under its tokenizer."""
        from mlflow_modelmap.scoring.engine.live import tokens_for

        return tokens_for(self.model, tokenizer, texts, settings)

    def about(self, settings: ScoringSettings) -> About:
        """What its run says of it."""
        from mlflow_modelmap.scoring.engine.live import described
        from mlflow_modelmap.scoring.engine.live_adapter import adapter_in

        said, found = described(self.model), adapter_in(self.model)
        adapter = None
        if found is not None:
            base, commit = _base(found)
            name = base.name if base else found.base
            adapter = AppliedAdapter("", "", base, name, commit, kind=found.kind)
        return _said(said, adapter)

    def score(
        self, texts: TextSet, tokens: TokenizedTexts, settings: ScoringSettings
    ) -> ScoreResult:
        """Its log-likelihoods as it is now."""
        from mlflow_modelmap.scoring.engine.live import score_live

        return score_live(self.model, tokens, settings)

    def base_score(self, tokens: TokenizedTexts, settings: ScoringSettings) -> ScoreResult | None:
        """Those of an adapter's base; None where no process holds it whole."""
        from mlflow_modelmap.scoring.engine.live import is_sharded, score_base_live

        if is_sharded(self.model):
            return None
        return score_base_live(self.model, tokens, settings)

    def tokenizer(self) -> Any:
        """None: it lies nowhere."""
        return None

    def compare(self, exact: ExactComparisons) -> ExactKL:
        """The reference and it, token by token."""
        return exact.compare(self.model)

    def keep_base(self, exact: ExactComparisons) -> None:
        """Keep an adapter's base, for later comparisons."""
        from mlflow_modelmap.scoring.engine.live_adapter import adapter_off

        with adapter_off(self.model):
            exact.keep_model(self.model)


class Saved:
    """A directory that ``save_pretrained`` wrote: a whole model, or an adapter of one."""

    def __init__(self, folder: str) -> None:
        self.folder = folder

    @functools.cached_property
    def files(self) -> ModelFiles:
        """Where its files lie, with those of an adapter's base."""
        if self._is_adapter:
            return resolve_model(ModelReference(LOCAL, os.path.realpath(self.folder)))
        return weights_in(self.folder)

    @property
    def _is_adapter(self) -> bool:
        return os.path.lexists(os.path.join(self.folder, ADAPTER))

    def tokens(self, tokenizer: Any, texts: TextSet, settings: ScoringSettings) -> TokenizedTexts:
        """The texts under its tokenizer, by default the one in the directory."""
        from mlflow_modelmap.scoring.engine.live import tokens_for

        where = self.files.model_path if self._is_adapter else self.folder
        return tokens_for(where, tokenizer or self.tokenizer(), texts, settings)

    def about(self, settings: ScoringSettings) -> About:
        """What its run says of it."""
        from mlflow_modelmap.scoring.engine.live import described

        if not self._is_adapter:
            return _said(described(self.folder))
        said = described(self.files.model_path)
        precision = resolve(settings, read_config(self.files.model_path))[0]
        adapter = self.files.adapter
        if adapter is not None:  # of the many that will be saved, none is the training's
            adapter = replace(adapter, path="", commit="", kind=kind_in(adapter.path))
        return About(said["model_type"], precision, adapter=adapter)

    def score(
        self, texts: TextSet, tokens: TokenizedTexts, settings: ScoringSettings
    ) -> ScoreResult:
        """Its log-likelihoods."""
        from mlflow_modelmap.scoring.engine.score_texts import score_texts

        return score_texts(self.files, texts, settings, tokens=tokens)

    def base_score(self, tokens: TokenizedTexts, settings: ScoringSettings) -> ScoreResult | None:
        """None: the base is a model of its own."""
        return None

    def tokenizer(self) -> Any:
        """The tokenizer in the directory, or in that of an adapter's base."""
        from mlflow_modelmap.scoring.tokenizer.load import load_tokenizer

        return load_tokenizer(self.files.tokenizer_path if self._is_adapter else self.folder)

    def compare(self, exact: ExactComparisons) -> ExactKL:
        """The reference and it, token by token."""
        return exact.compare_saved(self.files if self._is_adapter else self.folder)

    def keep_base(self, exact: ExactComparisons) -> None:
        """Not here: the base is a model of its own."""


def reference_of(
    asked: str,
    watched: InMemory | Saved,
    about: About,
    tokens: TokenizedTexts,
    texts: TextSet,
    settings: ScoringSettings,
    store: MlflowClient,
) -> ReferenceScore:
    """What each checkpoint is compared with; an adapter's own base has no run.

    Raises
    ------
    InputError, ScoringError, TrackingError
        As `reference_score`.
    """
    if asked == BASE and about.adapter is not None:
        made = watched.base_score(tokens, settings)
        if made is not None:
            weights, documents = texts.weight_array, texts.document_codes
            bits, _ = bits_and_error(made.log_likelihoods, made.bytes, weights, documents)
            return ReferenceScore(
                name="the base",
                run_id="",
                experiment_id="",
                log_likelihoods=made.log_likelihoods,
                bytes=made.bytes,
                bits_per_byte=bits,
                weights=weights,
                documents=documents,
            )
        if about.adapter.base is None:
            raise InputError(
                "The base of this adapter is not known here; name the model that is meant by "
                "reference='base'."
            )
        asked = str(about.adapter.base)
    return reference_score(asked, texts, settings=settings, store=store)


def _said(described: dict[str, str | None], adapter: AppliedAdapter | None = None) -> About:
    model_type, precision = described["model_type"], described["precision"]
    return About(model_type, precision, described["base_model"], adapter)


def _base(found: LiveAdapter) -> tuple[ModelReference | None, str]:
    """The base of an adapter in training and its commit, empty where that is not known.

    Of a directory it is what a score of it would say, of a model of the Hub what it was fetched as.
    """
    if not found.base:
        return None, ""
    from mlflow_modelmap.scoring.model.hub import cached_snapshot

    fetched = ""
    try:
        reference = ModelReference.parse(found.base)
        if reference.kind == LOCAL:
            return reference, whole_model(reference).commit
        if reference.kind == HUB:
            pinned = ModelReference(HUB, reference.name, found.revision)
            fetched = os.path.basename(cached_snapshot(pinned) or found.revision or "")
    except (ModelMapError, OSError):
        return None, ""
    return reference, fetched if _COMMIT.fullmatch(fetched) else ""
