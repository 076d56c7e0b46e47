"""Driver: the checkpoints of a training against its reference, token by token."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import numpy as np
from mlflow import MlflowClient

from mlflow_modelmap.drivers.exact.measure import (
    choose,
    exact_reference,
    model_in_memory,
    summary_of,
)
from mlflow_modelmap.drivers.exact.scored_model import model_behind
from mlflow_modelmap.drivers.pair.named_score import by_run_id
from mlflow_modelmap.drivers.pair.reference_score import ReferenceScore
from mlflow_modelmap.errors import InputError
from mlflow_modelmap.machine.folders import temporary_folder
from mlflow_modelmap.numerics.exact.summary import ExactKL
from mlflow_modelmap.scoring.model.reference import ModelFiles
from mlflow_modelmap.scoring.settings import ScoringSettings
from mlflow_modelmap.texts.text_set import TextSet

if TYPE_CHECKING:
    from mlflow_modelmap.scoring.exact.head_states import HeadStates
    from mlflow_modelmap.scoring.tokenizer.tokenize import TokenizedTexts


def check_exact(exact: bool, count: int | None, reference: str | None) -> None:
    """Refuse what cannot be meant, before a training begins.

    Raises
    ------
    InputError
        If there is nothing to compare with, or the number of texts is too small.
    """
    if exact and reference is None:
        raise InputError(
            "exact=True compares with a reference, and reference is None; name a model or a run."
        )
    if count is not None and (isinstance(count, bool) or count < 2):
        raise InputError(f"exact_texts is {count!r}; give 2 or more texts, or None for all.")


class ExactComparisons:
    """What is kept of a reference as long as a training is monitored, to compare checkpoints with.

    Parameters
    ----------
    texts, tokens
        Those of the monitor.
    settings
        How the training's model is scored.
    count
        How many texts are compared, evenly spread; None for all, up to 4 GiB of a temporary file.
    """

    def __init__(
        self,
        texts: TextSet,
        tokens: TokenizedTexts,
        settings: ScoringSettings,
        count: int | None = None,
    ) -> None:
        self.texts, self.settings, self.count = texts, settings, count
        self._tokens, self._chosen = tokens, np.arange(len(texts))
        self._states: HeadStates | None = None
        self._open = ExitStack()

    @property
    def kept(self) -> bool:
        """Whether there is something to compare with by now."""
        return self._states is not None

    def keep(self, reference: ReferenceScore, tokenizer: Any, store: MlflowClient) -> None:
        """Run the reference's model once and keep its part.

        Parameters
        ----------
        tokenizer
            The training's own.

        Raises
        ------
        InputError
            If only the reference's log-likelihoods were kept, its model is not there any more, or
            the two do not share a vocabulary and read the texts alike.
        ScoringError
            If it cannot be loaded or run, or there is no room for the file.
        """
        from mlflow_modelmap.scoring.exact.compare_with_states import check_same_tokens
        from mlflow_modelmap.scoring.exact.live import no_autocast
        from mlflow_modelmap.scoring.exact.vocabulary import check_same_ids
        from mlflow_modelmap.scoring.tokenizer.load import load_tokenizer

        prepared = model_behind(by_run_id(reference.run_id, store), self.texts, store)
        check_same_ids(load_tokenizer(prepared.files.tokenizer_path), tokenizer)
        with no_autocast():
            found = self._open.enter_context(
                exact_reference(prepared, texts=self.count, progress=False)
            )
        tokens = self._tokens.only(found.chosen)
        check_same_tokens(found.states.tokens, tokens)
        self._tokens, self._chosen, self._states = tokens, found.chosen, found.states

    def compare(self, model: Any) -> ExactKL:
        """KL(reference || model) and the rest; where nothing is kept yet, this is the reference.

        Raises
        ------
        InputError, ScoringError
            As `scoring.exact.live.compare_live`.
        """
        from mlflow_modelmap.scoring.exact.live import compare_live

        if self._states is None:
            self._states = self._first(model)
        found = compare_live(self._states, model, self._tokens, self.settings)
        return summary_of(found, self.texts, self._chosen)

    def keep_model(self, model: Any) -> None:
        """Keep a model in memory as it is now, as the reference.

        Raises
        ------
        InputError, ScoringError
            As `scoring.exact.live.keep_live`.
        """
        self._states = self._first(model)

    def compare_saved(self, saved: ModelFiles | str) -> ExactKL:
        """The same for a directory that ``save_pretrained`` wrote, or an adapter on its base."""
        with model_in_memory(saved, self.settings) as (model, _):
            return self.compare(model)

    def close(self) -> None:
        """Let go of what was kept."""
        self._states = None
        self._open.close()

    def _first(self, model: Any) -> HeadStates:
        """The training's own first checkpoint, kept as it is now."""
        from mlflow_modelmap.scoring.engine.live import unwrapped
        from mlflow_modelmap.scoring.exact.live import keep_live

        head = getattr(unwrapped(model).get_output_embeddings(), "weight", None)
        each = 0 if head is None else head.shape[-1] * head.element_size()
        chosen = choose(self._tokens.scored, each, self.count)
        tokens = self._tokens.only(chosen)
        folder = self._open.enter_context(temporary_folder())
        states = keep_live(model, tokens, self.settings, folder)
        self._tokens, self._chosen = tokens, chosen
        return states
