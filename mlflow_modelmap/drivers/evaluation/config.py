"""Driver: the configuration of an evaluation by MLflow, checked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field, ValidationError

from mlflow_modelmap.drivers.pair.other_vectors import settings_for
from mlflow_modelmap.drivers.score.request import PointFields
from mlflow_modelmap.errors import InputError
from mlflow_modelmap.scoring.settings import (
    TRANSFORMERS,
    Precision,
    ScoringSettings,
    SettingsFields,
)
from mlflow_modelmap.scoring.strict import UNKNOWN, OneOf, Text, value_sentence, worst
from mlflow_modelmap.words.vectors import CONDITIONAL, VECTORS


class EvaluationConfig(SettingsFields, PointFields):
    """What `evaluator_config` may hold, beside the fields of `ScoringSettings`.

    Parameters
    ----------
    reference
        A run, a scored point or a model, as `modelmap gate` takes it.
    reference_precision
        Of the reference, if it is scored now.
    trust_experiments
        Experiments whose scores of the reference are believed beside those of the evaluation's own.
    text_column
        Where the texts stand in a frame.
    prompt_column
        Where the prompts stand that they are the responses to: text, or lists of messages; by
        default ``modelmap_prompt``, if there.
    text_set_name
        What the run calls the texts; by default the dataset's name.
    allow_duplicates
        Whether the same text may occur twice.
    vector
        Which vectors the KL to the reference is of: ``conditional``, ``unconditional`` or ``pmi``;
        for the last two responses are scored without their prompts too.
    trajectory, step, model_type, base_model
        What the run says of the model, as for `score`.
    progress
        Whether a progress bar is shown.
    """

    reference: Text | None = None
    reference_precision: Precision | None = None
    trust_experiments: list[Text] = Field(default_factory=list)
    text_column: Text = "text"
    prompt_column: Text | None = None
    text_set_name: Text | None = None
    allow_duplicates: bool = False
    vector: Annotated[str, OneOf(VECTORS)] = CONDITIONAL
    progress: bool = False

    @classmethod
    def of(cls, written: Mapping[str, Any]) -> EvaluationConfig:
        """Read an `evaluator_config`.

        Raises
        ------
        InputError
            If a key is unknown (it lists those that are known), or a value of the wrong kind or
            impossible.
        """
        try:
            made = cls.model_validate(dict(written))
        except ValidationError as error:
            problem = worst(error)
            if problem["type"] in UNKNOWN:
                # Its own first, then what it has in common with others.
                keys = dict.fromkeys((*cls.__annotations__, *PointFields.model_fields))
                keys |= cls.model_fields
                raise InputError(
                    f"The evaluator modelmap knows no {problem['loc'][-1]!r} in evaluator_config; "
                    f"it takes {', '.join(keys)}."
                ) from None
            wrong = value_sentence(str(problem["loc"][-1]), problem)
            raise InputError(f"In evaluator_config: {wrong}") from None
        if made.engine != TRANSFORMERS:
            raise InputError(
                f"In evaluator_config: engine is {made.engine!r}, but an evaluation scores the "
                "model that it is given, by transformers; score a served model with `modelmap "
                "score`, and compare with its run."
            )
        return made

    @property
    def settings(self) -> ScoringSettings:
        """How the model is scored."""
        given = ScoringSettings(**{n: getattr(self, n) for n in ScoringSettings.model_fields})
        return settings_for(given, self.vector)
