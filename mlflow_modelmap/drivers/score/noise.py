"""Driver: the noise of a score - what its second pass over some texts says of arithmetic."""

from __future__ import annotations

from mlflow_modelmap.numerics.divergence.noise_floor import noise_kl
from mlflow_modelmap.scoring.settings import ScoreResult
from mlflow_modelmap.tracking import schema


def with_noise(result: ScoreResult) -> ScoreResult:
    """The same result, whose provenance tells its noise KL where some texts were scored twice."""
    second = result.second
    if second is not None:
        first = result.log_likelihoods[second.texts]
        kl, se = noise_kl(first, second.log_likelihoods, result.bytes[second.texts])
        result.provenance[schema.NOISE_KL], result.provenance[schema.NOISE_KL_SE] = kl, se
        result.provenance[schema.NOISE_TEXTS] = len(second.texts)
    return result
