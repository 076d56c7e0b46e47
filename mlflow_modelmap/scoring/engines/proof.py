"""Scoring: whether an engine's numbers are log-likelihoods - shown on a few rows before it counts.

Nothing of the model is known here but what it answers: a value must not depend on what comes
later, nor on what else is read, must depend on what comes before, and be finite and no more than 0.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from mlflow_modelmap.errors import InputError, ScoringError
from mlflow_modelmap.scoring.engines.reader import Reader, Row, read_all

TOLERANCE = 0.2
"""Nats a token (root mean square) that rounding explains, in half precision."""
_CHANCE_ROWS = 10
_STANDS_FOR_ZERO = -9999.0
"""JSON has no minus infinity: vLLM and OpenAI write this."""
_NEAR = 32
"""Tokens within which every model's next prediction depends on what came before."""


def prove(
    reader: Reader, rows: Sequence[Row], firsts: np.ndarray, what: str, has_bos: bool
) -> None:
    """Raise an error that says what an engine does wrong; nothing if it does right.

    Parameters
    ----------
    firsts
        For each row, which of its tokens is the first that is scored.
    what
        What the error calls the engine: ``The server at ...``.
    has_bos
        Whether each row begins with a BOS.

    Raises
    ------
    InputError
        If the first token of each text has no value although a BOS comes before it.
    ScoringError
        For everything else.
    """
    lengths = np.array([len(rows[place].ids) for place in range(len(rows))])
    longest, shortest = int(np.argmax(lengths)), int(np.argmin(lengths))
    chosen = [longest] if longest == shortest else [longest, shortest]
    together = read_all(reader, [rows[place] for place in chosen])
    for place, values in zip(chosen, together, strict=True):
        check_values(rows[place], values, int(firsts[place]), what, has_bos)
    alone = read_all(reader, [rows[chosen[-1]]])[0]
    if _differ(alone, together[-1]):
        raise ScoringError(
            f"{what} gives {rows[chosen[-1]].name} another value when it is asked for together "
            "with another text; a value that depends on its company cannot be compared."
        )
    _check_context(reader, rows[longest], together[0], what)


def check_values(row: Row, values: np.ndarray, first: int, what: str, has_bos: bool) -> None:
    """Raise an error if the values that are scored of a row are no log-likelihoods.

    Parameters
    ----------
    first
        Which of its tokens is the first that is scored.
    has_bos
        Whether a BOS comes before it.
    """
    scored = values[first - 1 :]
    if not len(scored):
        return
    if has_bos and math.isnan(scored[0]) and np.isfinite(scored[1:]).all():
        raise InputError(
            f"{what} gives no value for the first token of a text although a BOS comes before it; "
            "score with --bos never (bos=never), which leaves that token out."
        )
    if not np.isfinite(scored).all():
        at = int(np.flatnonzero(~np.isfinite(scored))[0]) + first
        raise ScoringError(
            f"{what} gives no finite log-likelihood for token {at} of {row.name} "
            f"({scored[at - first]})."
        )
    if scored.min() <= _STANDS_FOR_ZERO:
        at = int(scored.argmin()) + first
        raise ScoringError(
            f"{what} gives {scored.min():.6g} for token {at} of {row.name}, as servers write the "
            "logarithm of 0; it leaves tokens out of its distribution (top-k, top-p, a mask), or "
            "its arithmetic overflows: serve the model without these, in bfloat16 or float32."
        )
    if len(scored) >= _NEAR and np.ptp(scored) == 0:
        raise ScoringError(
            f"{what} gives every token of {row.name} the same value, {scored[0]:.4g}; these are no "
            "log-likelihoods of a model."
        )
    if scored.max() > 1e-3:
        raise ScoringError(
            f"{what} gives {scored.max():.4g} for a token of {row.name}; the logarithm of a "
            "probability is 0 or less."
        )


def _check_context(reader: Reader, row: Row, values: np.ndarray, what: str) -> None:
    """A beginning read alone has the same values, and behind another beginning the rest has not."""
    length = len(row.ids)
    if length < 6 or not reader.takes_tokens:
        return
    half = length // 2
    beginning = Row(row.ids[:half], None, row.name)
    other_ids = row.ids.copy()
    near = min(_NEAR, half - 1)
    other_ids[half - near : half] = other_ids[half - near : half][::-1]
    asked = [beginning]
    changed = not np.array_equal(other_ids, row.ids)
    if changed:
        asked.append(Row(other_ids, None, row.name))
    found = read_all(reader, asked)
    if _differ(found[0], values[: half - 1]):
        raise ScoringError(
            f"{what} gives the first {half} tokens of {row.name} other values when the rest "
            "follows; what comes later must not count."
        )
    after = slice(half - 1, half - 1 + _NEAR)
    if changed and np.array_equal(found[1][after], values[after]):
        raise ScoringError(
            f"{what} gives the tokens of {row.name} the same values whatever comes before them; "
            "it drops the context."
        )


def check_not_chance(
    values: Sequence[np.ndarray], firsts: np.ndarray, vocabulary: int, what: str
) -> None:
    """Raise an error if texts are less likely than tokens drawn at random.

    Parameters
    ----------
    values
        Of the first rows.
    vocabulary
        How many tokens there are.
    """
    scored = [row[first - 1 :] for row, first in zip(values, firsts, strict=True)]
    mean = float(np.concatenate(scored[:_CHANCE_ROWS]).mean())
    if mean < -math.log(vocabulary):
        raise ScoringError(
            f"{what} finds these texts less likely ({mean:.2f} nats a token) than tokens drawn at "
            f"random ({-math.log(vocabulary):.2f}): its numbers are shifted, of another model or "
            "another tokenizer (--tokenizer), or the model is not trained at all."
        )


def _differ(left: np.ndarray, right: np.ndarray) -> bool:
    both = np.isfinite(left) & np.isfinite(right)
    return bool(both.any()) and math.sqrt(np.mean((left[both] - right[both]) ** 2)) > TOLERANCE
