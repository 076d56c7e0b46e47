"""Scoring (no torch here): what the Hugging Face Hub says a model was made from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from mlflow_modelmap.scoring.model import hub
from mlflow_modelmap.scoring.model.reference import HUB, ModelReference
from mlflow_modelmap.words.reason import reason

RELATIONS = ("finetune", "adapter", "quantized", "merge")


@dataclass(frozen=True)
class HubParents:
    """Parents of one model.

    Attributes
    ----------
    parents
        Hub names; empty for a model that was made from no other.
    relation
        ``finetune``, ``adapter``, ``quantized``, ``merge``, or None where the Hub does not say.
    """

    parents: tuple[str, ...]
    relation: str | None = None


def ask_hub(names: Iterable[str]) -> tuple[dict[str, HubParents], list[str]]:
    """Ask the Hub for the parents of models (Appendix G).

    Parameters
    ----------
    names
        ``org/name`` each.

    Returns
    -------
    dict, list of str
        Parents by name, and a sentence for each model about which the Hub says nothing: missing,
        gated or private. A Hub that does not answer is asked once, and one sentence says so.
    """
    import huggingface_hub

    api = huggingface_hub.HfApi()
    found: dict[str, HubParents] = {}
    notices: list[str] = []
    names = list(dict.fromkeys(names))
    for position, name in enumerate(names):
        try:
            found[name] = parents_in(hub._within(hub.DEADLINE_SECONDS, partial(_facts, api, name)))
        except Exception as error:
            if hub.answered_no(error):
                notices.append(hub.told_of(ModelReference(HUB, name), error))
                continue
            notices.append(_silent(error, len(names) - position))
            break
    return found, notices


def _facts(api: Any, name: str) -> Any:
    return api.model_info(
        name, expand=["baseModels", "cardData", "tags"], timeout=hub.ANSWER_SECONDS
    )


def parents_in(info: Any) -> HubParents:
    """The parents in an answer of `HfApi.model_info`, whatever their shape.

    ``base_models`` is a mapping ``{"relation": ..., "models": [{"id": ...}]}``, or a list of such
    mappings, of names or of ``{"id": ...}``; the card's ``base_model`` is a name or a list of
    names, with ``base_model_relation`` beside it.
    """
    card = getattr(info, "card_data", None)
    written = getattr(card, "base_model", None)
    relation = getattr(card, "base_model_relation", None)
    parents = _names(getattr(info, "base_models", None)) or _names(written)
    relation = _relation(getattr(info, "base_models", None)) or relation
    if not isinstance(relation, str) or relation not in RELATIONS:
        relation = _tagged(getattr(info, "tags", None))
    if len(parents) > 1 and relation is None:
        relation = "merge"
    return HubParents(parents, relation if parents else None)


def _names(shape: Any) -> tuple[str, ...]:
    if isinstance(shape, str):
        return (shape.strip(),) if shape.strip() else ()
    if isinstance(shape, Mapping):
        return _names(shape["models"] if "models" in shape else shape.get("id"))
    if isinstance(shape, (list, tuple)):
        return tuple(dict.fromkeys(name for part in shape for name in _names(part)))
    return ()


def _relation(shape: Any) -> str | None:
    if isinstance(shape, (list, tuple)):
        return next(filter(None, map(_relation, shape)), None)
    relation = shape.get("relation") if isinstance(shape, Mapping) else None
    return relation if isinstance(relation, str) else None


def _tagged(tags: Any) -> str | None:
    """The relation in tags such as ``base_model:finetune:org/name``."""
    for tag in tags or ():
        parts = str(tag).split(":")
        if len(parts) > 2 and parts[0] == "base_model" and parts[1] in RELATIONS:
            return parts[1]
    return None


def _silent(error: Exception, models: int) -> str:
    from huggingface_hub import constants, errors

    if hub._first_of(error, errors.OfflineModeIsEnabled):
        why = "HF_HUB_OFFLINE is set"
    elif (status := hub._status(error)) is not None:
        why = f"it answers {status}"
    else:
        why = reason(error)
    return (
        f"The Hub at {constants.ENDPOINT} could not be asked for the parents of {models} "
        f"model{'s' if models > 1 else ''} ({why}); set their tag base_model, or try again."
    )
