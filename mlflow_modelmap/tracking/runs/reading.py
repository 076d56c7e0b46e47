"""Tracking: whether scores that meet read their texts alike: BOS, EOS, windows, whose tokens."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from mlflow_modelmap.scoring.settings import TRANSFORMERS
from mlflow_modelmap.tracking.runs.log_values import PARAM_PREFIX
from mlflow_modelmap.tracking.runs.point import Point
from mlflow_modelmap.tracking.schema import READ_AS, TAG_ENGINE
from mlflow_modelmap.words.listed import listed
from mlflow_modelmap.words.one_line import one_line

_NAMED = 3
_MOST_WAYS = 20
_WINDOWED = "modelmap.windowed"


def tell_of_unlike_reading(points: Sequence[Point], said: list[str] | None) -> None:
    """Add a sentence to `said` for each way in which scores read their texts unlike each other.

    Behind a BOS token the first token of a text is predicted and scored; without one it only
    conditions. Its 7 to 15 nats, and how they vary over the texts, are then part of the KL.
    """
    if said is None:
        return
    _tell_of_first_tokens(points, said)
    known = [point for point in points if not _says_nothing(point)]
    engines = dict.fromkeys(point.tags.get(TAG_ENGINE, TRANSFORMERS) for point in known)
    if len(engines) > 1:
        said.append(
            f"The scores come from several engines ({', '.join(engines)}), whose arithmetic is "
            "part of the KL between them; the same weights through two engines show how much."
        )
    read = [{**READ_AS, **point.read_as} for point in known]
    windows = (_WINDOWED, "modelmap.window_tokens", "modelmap.stride")
    for one in read:
        if one[windows[0]] == "0":
            one |= dict.fromkeys(windows[1:], "")  # nothing was long enough
    for name in ("modelmap.eos_applied", "modelmap.tokens_from", *windows[1:]):
        there = dict.fromkeys(one[name] or "none" for one in read)
        if len(there) > 1:
            said.append(
                f"The scores read their texts unlike each other ({name.removeprefix(PARAM_PREFIX)} "
                f"is {' or '.join(there)}), which is part of the KL between them; score them alike "
                "to compare the models alone."
            )


def readings(points: Sequence[Point]) -> str:
    """In which ways scores read their texts, each once, as JSON for `points_of_readings`."""
    ways = {
        json.dumps(
            [
                point.bos_applied,
                point.tags.get(TAG_ENGINE),
                None if _says_nothing(point) else _as_read(point),
            ]
        ): None
        for point in points
        if point.bos_applied is not None or not _says_nothing(point)
    }
    return f"[{', '.join(list(ways)[:_MOST_WAYS])}]"


def points_of_readings(written: str | None, name: str) -> list[Point]:
    """Points that stand for all which read their texts in these ways; none where it is not known.

    Parameters
    ----------
    written
        From `readings`; anybody may have written it.
    name
        What they are called in a sentence.
    """
    try:
        found = json.loads(written or "[]")
        return [
            Point(
                *("", name, name, "", ""),
                bos_applied=bos if isinstance(bos, bool) else None,
                tags={} if engine is None else {TAG_ENGINE: one_line(str(engine))[:40]},
                read_as={
                    key: one_line(str(read[key]))[:40] for key in READ_AS if key in (read or {})
                },
                row=0 if read is None else None,
            )
            for bos, engine, read in found[:_MOST_WAYS]
        ]
    except (ValueError, TypeError, KeyError, RecursionError):
        return []


def _as_read(point: Point) -> dict[str, str]:
    """How a point's texts were read, but not how many of them were long."""
    read = dict(point.read_as)
    if read.get(_WINDOWED, "0") not in ("0", ""):
        read[_WINDOWED] = "1"
    return read


def _says_nothing(point: Point) -> bool:
    """Whether a vector came from elsewhere, and nobody knows how its texts were read."""
    return point.row is not None and not (point.read_as or TAG_ENGINE in point.tags)


def not_logged_yet(name: str, provenance: Mapping[str, Any]) -> Point:
    """What `tell_of_unlike_reading` asks of a score whose run does not hold it yet.

    Parameters
    ----------
    provenance
        Of its `ScoreResult`.
    """
    said = {PARAM_PREFIX + key: str(value) for key, value in provenance.items()}
    read = {key: said[key].lower() for key in READ_AS if key in said}
    engine = str(provenance.get("engine") or TRANSFORMERS)
    bos = provenance.get("bos_applied")
    return Point("", name, name, "", "", bos_applied=bos, read_as=read, tags={TAG_ENGINE: engine})


def _tell_of_first_tokens(points: Sequence[Point], said: list[str]) -> None:
    """Add a sentence to `said` if some scores hold the first token of a text and others do not."""
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
