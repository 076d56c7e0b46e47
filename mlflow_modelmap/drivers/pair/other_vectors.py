"""Driver: what is scored for other vectors than log p(response | prompt)."""

from __future__ import annotations

from dataclasses import replace

from mlflow_modelmap.errors import InputError
from mlflow_modelmap.scoring.settings import ScoringSettings
from mlflow_modelmap.texts.text_set import TextSet
from mlflow_modelmap.tracking.runs.selection import check_vector
from mlflow_modelmap.words.vectors import CONDITIONAL


def settings_for(
    settings: ScoringSettings, vector: str, texts: TextSet | None = None
) -> ScoringSettings:
    """How models are scored so that they have this vector: responses without prompts too.

    Raises
    ------
    InputError
        If there is no such vector, or the texts are no responses.
    """
    check_vector(vector)
    if vector == CONDITIONAL:
        return settings
    if texts is not None and texts.prompts is None:
        raise InputError(
            f"The texts {texts.name!r} are no responses to prompts, so that they have no {vector} "
            "vectors; give prompts with responses, or take the conditional vectors."
        )
    return replace(settings, unconditional=True)
