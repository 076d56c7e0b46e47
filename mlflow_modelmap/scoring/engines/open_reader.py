"""Scoring: the engine that the settings name, with the model in it."""

from __future__ import annotations

from mlflow_modelmap.scoring.engines.reader import Reader
from mlflow_modelmap.scoring.model.reference import ModelFiles
from mlflow_modelmap.scoring.settings import ENDPOINT, LLAMA_CPP, ScoringSettings
from mlflow_modelmap.scoring.tokenizer.tokenize import TokenizedTexts
from mlflow_modelmap.texts.text_set import TextSet


def open_reader(
    files: ModelFiles,
    tokens: TokenizedTexts,
    texts: TextSet,
    settings: ScoringSettings,
    precision: str,
    device: str,
) -> Reader:
    """The engine of `settings`, ready to be read from.

    Parameters
    ----------
    tokens, texts
        What it will read, fitted to the model's positions.
    precision, device
        As `precision.resolve` gives them.

    Raises
    ------
    InputError
        If its library is not installed, or it does not take the model.
    ScoringError
        If the model does not load, or no server answers.
    """
    if settings.engine == ENDPOINT:
        from mlflow_modelmap.scoring.engines.endpoint import open_endpoint

        return open_endpoint(files, tokens, texts, settings)
    if settings.engine == LLAMA_CPP:
        from mlflow_modelmap.scoring.engines.llama_cpp import LlamaCppReader

        return LlamaCppReader(files, int(tokens.pieces.lengths.max()), device)
    from mlflow_modelmap.scoring.engines.vllm import VllmReader

    return VllmReader(files, int(tokens.pieces.lengths.max()), precision, settings)
