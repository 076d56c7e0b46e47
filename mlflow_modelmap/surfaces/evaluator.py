"""Surface: the evaluator that `mlflow.models.evaluate(..., evaluators="modelmap")` calls."""

from __future__ import annotations

from typing import Any

from mlflow.models.evaluation.base import EvaluationResult, ModelEvaluator

MODEL_TYPE = "causal-lm"
"""The only model type it answers to: without `evaluators`, MLflow asks every plugin."""


class ModelMapEvaluator(ModelEvaluator):
    """Bits per byte of a language model on texts, and its KL divergence to a reference.

    The evaluation's run becomes a score run, so that maps take it up.
    """

    @classmethod
    def can_evaluate(cls, *, model_type: Any, evaluator_config: Any, **_: Any) -> bool:
        """Whether the model type is ``causal-lm``; MLflow does not tell who named this plugin."""
        return bool(model_type == MODEL_TYPE)

    def evaluate(  # type: ignore[override]
        self,
        *,
        dataset: Any,
        run_id: str,
        evaluator_config: dict[str, Any] | None,
        model: Any = None,
        **_: Any,
    ) -> EvaluationResult:
        """Score the model, log into MLflow's run, and compare with the reference, if any."""
        from mlflow_modelmap.drivers.evaluation.evaluate import evaluate

        return evaluate(model, dataset, run_id, evaluator_config or {})
