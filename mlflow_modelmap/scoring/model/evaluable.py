"""Scoring (no torch here): a model in memory, as `mlflow.models.evaluate` takes it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mlflow_modelmap.errors import InputError


@dataclass(frozen=True, eq=False)
class Evaluable:
    """A function, as MLflow asks for one, that holds a model and its tokenizer.

    Attributes
    ----------
    model, tokenizer
        Of transformers.
    name
        What runs call the model.
    """

    model: Any
    tokenizer: Any
    name: str

    def __call__(self, texts: Any) -> Any:
        """Log-likelihoods in nats of texts, shape (N,).

        Parameters
        ----------
        texts
            Strings, or a DataFrame whose first column they are.
        """
        from mlflow_modelmap.scoring.engine.live import score_live, tokens_for
        from mlflow_modelmap.scoring.settings import ScoringSettings
        from mlflow_modelmap.texts.text_set import TextSet

        column = texts.iloc[:, 0] if hasattr(texts, "iloc") else texts
        text_set = TextSet("texts", tuple(column), allow_duplicates=True)
        settings = ScoringSettings()
        tokens = tokens_for(self.model, self.tokenizer, text_set, settings)
        return score_live(self.model, tokens, settings).log_likelihoods


def evaluable(model: Any, tokenizer: Any = None, *, name: str | None = None) -> Evaluable:
    """Wrap a model in memory for `mlflow.models.evaluate`.

    Parameters
    ----------
    model
        A causal language model of transformers, or a pipeline, which brings its tokenizer.
    tokenizer
        The model's tokenizer.
    name
        What runs call the model; by default what it was loaded from.

    Raises
    ------
    InputError
        If there is no tokenizer, or it is no such model.

    Examples
    --------
    ``mlflow.models.evaluate(evaluable(model, tokenizer), data=frame, model_type="causal-lm",
    evaluators="modelmap")``
    """
    inner = getattr(model, "model", None)
    if tokenizer is None and hasattr(model, "tokenizer") and hasattr(inner, "config"):
        model, tokenizer = inner, model.tokenizer
    kind = type(model).__name__
    if not hasattr(model, "config") or not hasattr(model, "get_output_embeddings"):
        raise InputError(
            f"A {kind} is no causal language model of transformers; give the model, or a "
            "pipeline that holds it."
        )
    if tokenizer is None:
        raise InputError(
            f"The {kind} comes without a tokenizer; wrap both as evaluable(model, tokenizer)."
        )
    return Evaluable(model, tokenizer, name or getattr(model.config, "_name_or_path", "") or kind)
