"""Tracking: whether scores that meet count the same tokens of a text, the first one above all."""

from __future__ import annotations

from collections.abc import Sequence

from mlflow_modelmap.tracking.runs.point import Point
from mlflow_modelmap.words.listed import listed

_NAMED = 3


def tell_of_first_tokens(points: Sequence[Point], said: list[str] | None) -> None:
    """Add a sentence to `said` if some scores hold the first token of a text and others do not.

    Behind a BOS token the first token of a text is predicted and scored; without one it only
    conditions. Its 7 to 15 nats, and how they vary over the texts, are then part of the KL.
    """
    if said is None:
        return
    with_bos = [point.name for point in points if point.bos_applied is True]
    without = [point.name for point in points if point.bos_applied is False]
    if not with_bos or not without:
        return
    fewer, how, else_how = (
        (with_bos, "with", "without")
        if len(with_bos) <= len(without)
        else (without, "without", "with")
    )
    said.append(
        f"Only some scores hold the first token of each text ({listed(fewer, _NAMED)} "
        f"{'was' if len(fewer) == 1 else 'were'} scored {how} a BOS token, the others "
        f"{else_how}), so that its log-likelihood is part of the KL "
        "between them; score all with bos=never, or all with bos=always, to compare them."
    )
