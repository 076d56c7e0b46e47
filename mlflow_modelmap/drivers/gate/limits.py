"""Driver: what a gate asks of a candidate - each limit, refused if impossible, then decided."""

from __future__ import annotations

from dataclasses import dataclass, replace

from mlflow_modelmap.drivers.pair.comparison import Comparison
from mlflow_modelmap.errors import InputError
from mlflow_modelmap.numerics.exact.summary import ExactKL
from mlflow_modelmap.numerics.gate.noise import spared
from mlflow_modelmap.numerics.gate.verdict import (
    EXACT,
    LimitDecision,
    check_exact_limit,
    decide_exact,
    decide_increase,
    decide_kl,
)

_NOTHING = Comparison.of_kl(
    0.0, 0.0, bits_per_byte_difference=0.0, bits_per_byte_difference_se=0.0, effective_texts=2.0
)


def in_texts(decision: LimitDecision, texts: int, documents: int | None) -> LimitDecision:
    """A decision that counted documents, with the texts that it needs: as many a document."""
    if not documents or decision.texts_needed is None or decision.quantity == EXACT:
        return decision
    return replace(decision, texts_needed=round(decision.texts_needed * texts / documents))


@dataclass(frozen=True)
class Limits:
    """The limits of a gate; None asks for nothing.

    Attributes
    ----------
    max_kl
        The largest KL divergence that passes, bits/byte.
    max_bits_per_byte_increase
        By how much the candidate may predict the texts worse; below 0 it has to be better.
    confidence
        Of the intervals that decide.
    max_exact_kl
        The largest exact KL(reference || candidate) that passes, bits/byte.

    Raises
    ------
    InputError
        If there is no limit at all, or one of them or the confidence is not possible.
    """

    max_kl: float | None = None
    max_bits_per_byte_increase: float | None = None
    confidence: float = 0.95
    max_exact_kl: float | None = None

    def __post_init__(self) -> None:
        if self.max_kl is self.max_bits_per_byte_increase is self.max_exact_kl is None:
            raise InputError(
                "A gate needs a limit; give max_kl (--max-kl), max_bits_per_byte_increase or "
                "max_exact_kl."
            )
        # Refuses what is not possible, before any model is read.
        self.decide(_NOTHING, 2)
        if self.max_exact_kl is not None:
            check_exact_limit(self.max_exact_kl)

    def decide(
        self, measured: Comparison, texts: int, exact: ExactKL | None = None
    ) -> tuple[LimitDecision, ...]:
        """Each limit with what was measured of a candidate (first) and a reference.

        Parameters
        ----------
        texts
            How many texts it was measured on, or units that are independent.
        exact
            The exact comparison, A the reference and B the candidate, where it was made.
        """
        decided = []
        if self.max_kl is not None:
            kl = decide_kl(measured.kl, measured.se, self.max_kl, texts, self.confidence)
            decided.append(spared(kl, measured.noise_floor))
        if self.max_bits_per_byte_increase is not None:
            decided.append(
                decide_increase(
                    measured.bits_per_byte_difference,
                    measured.bits_per_byte_difference_se,
                    self.max_bits_per_byte_increase,
                    texts,
                    self.confidence,
                    effective=measured.effective_texts,
                    skewness=measured.skewness,
                )
            )
        if self.max_exact_kl is not None and exact is not None:
            decided.append(decide_exact(exact, self.max_exact_kl, self.confidence))
        return tuple(decided)
