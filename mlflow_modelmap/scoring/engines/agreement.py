"""Scoring: an engine held against transformers, on some texts, where the weights are at hand."""

from __future__ import annotations

import os
from dataclasses import dataclass

import numpy as np

from mlflow_modelmap.errors import ModelMapError, ScoringError
from mlflow_modelmap.scoring.engine.score_texts import score_model
from mlflow_modelmap.scoring.engine.second_pass import spread
from mlflow_modelmap.scoring.load.load import load_model
from mlflow_modelmap.scoring.load.precision import resolve
from mlflow_modelmap.scoring.model.config import read_config
from mlflow_modelmap.scoring.model.reference import ModelFiles
from mlflow_modelmap.scoring.settings import ENDPOINT, ScoringSettings
from mlflow_modelmap.scoring.tokenizer.tokenize import TokenizedTexts
from mlflow_modelmap.words.reason import reason

LARGEST = 8 * 1024**3
"""Bytes of float32 weights above which a model is not loaded a second time to be compared."""
WITHIN = 0.1
"""Nats a token (root mean square over texts) that the arithmetic of another engine explains."""
_WEIGHTS = (".safetensors", ".bin", ".gguf")


@dataclass(frozen=True, eq=False)
class Expected:
    """What transformers gives for some texts.

    Attributes
    ----------
    texts
        Which, int64, ascending.
    log_likelihoods
        Nats, float64, of the same length.
    tokens
        How many are scored of each.
    """

    texts: np.ndarray
    log_likelihoods: np.ndarray
    tokens: np.ndarray

    def nats_a_token(self, log_likelihoods: np.ndarray) -> float:
        """How far another engine's values of these texts are from them, root mean square."""
        return float(
            np.sqrt(np.mean(((log_likelihoods - self.log_likelihoods) / self.tokens) ** 2))
        )

    def check(self, log_likelihoods: np.ndarray, what: str, weights: str) -> float:
        """`nats_a_token`, if it is what arithmetic explains.

        Raises
        ------
        ScoringError
            If it is more.
        """
        apart = self.nats_a_token(log_likelihoods)
        if not apart <= WITHIN:
            own, other = (
                float(values.sum() / self.tokens.sum())
                for values in (self.log_likelihoods, log_likelihoods)
            )
            raise ScoringError(
                f"{what} does not give what the weights in {weights!r} give: {other:.3f} nats a "
                f"token against {own:.3f} on {len(self.texts)} texts, {apart:.2g} apart where "
                f"arithmetic explains {WITHIN}; it computes another model, or scores other tokens "
                "(agreement=0 leaves this comparison out)."
            )
        return apart


def expected(
    files: ModelFiles, tokens: TokenizedTexts, settings: ScoringSettings
) -> tuple[Expected | None, str | None]:
    """What transformers gives for a few of the texts, and why it gives nothing where it does not.

    The model is loaded, and let go of, before the engine is asked.

    Returns
    -------
    (expected, why)
        Both None where that is not asked for, or the weights are not at hand.
    """
    if not settings.agreement or not _has_weights(files):
        return None, None
    try:
        if _float32_bytes(files.model_path) > LARGEST:
            return None, f"its weights take more than {LARGEST >> 30} GiB in float32"
        return _expected(files, tokens, settings), None
    except ModelMapError as error:
        return None, reason(error)


def _has_weights(files: ModelFiles) -> bool:
    """A served model's folder may be of its tokenizer alone."""
    if files.served is not None and not files.served.own_folder:
        return False
    names = os.listdir(files.model_path)
    return "config.json" in names and any(name.endswith(_WEIGHTS) for name in names)


def _float32_bytes(folder: str) -> int:
    """About how much memory the weights in a folder take in float32."""
    return sum(
        os.stat(os.path.join(folder, name)).st_size * (8 if name.endswith(".gguf") else 2)
        for name in os.listdir(folder)
        if name.endswith(_WEIGHTS)
    )


def _expected(files: ModelFiles, tokens: TokenizedTexts, settings: ScoringSettings) -> Expected:
    own = ScoringSettings(
        device="auto" if settings.engine == ENDPOINT else settings.device,
        batch_tokens=settings.batch_tokens,
        trust_remote_code=settings.trust_remote_code,
        safetensors_only=settings.safetensors_only,
    )
    texts = np.sort(spread(tokens.lengths, np.arange(len(tokens)), settings.agreement))
    chosen = tokens.only(texts)
    precision, device = resolve(own, read_config(files.model_path))
    adapter = files.adapter.path if files.adapter else None
    model = load_model(files.model_path, precision, device, own, adapter)
    result = score_model(model, chosen, own, precision=precision)
    return Expected(texts, result.log_likelihoods, result.scored_tokens)
