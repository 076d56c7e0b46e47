"""Words: which vector of a prompt-response set a study is of, and what its distances are called."""

from __future__ import annotations

CONDITIONAL, UNCONDITIONAL, PMI = "conditional", "unconditional", "pmi"
VECTORS = (CONDITIONAL, UNCONDITIONAL, PMI)
"""log p(response | prompt), of plain texts log p(text); log p(response); their difference."""
_BRIEFLY = {UNCONDITIONAL: "vectors without prompts", PMI: "PMI vectors"}
NO_SCALE = "a distance of PMI vectors, which the paper's scale of KL divergences says nothing of"
"""Where other vectors have their KL in words."""


def of_vectors(kind: str) -> str:
    """In brackets, for behind the name of a quantity; nothing for conditional vectors."""
    return f" ({_BRIEFLY[kind]})" if kind in _BRIEFLY else ""


def in_figures(kind: str) -> str:
    """What stands below the title of every figure of a study of other vectors."""
    return _BRIEFLY.get(kind, "")


def explained(kind: str) -> str | None:
    """What whoever reads a number of PMI vectors is told, as a sentence."""
    if kind != PMI:
        return None
    return (
        "These are distances of PMI vectors: not KL divergences between what the models answer, "
        "but how differently they tie answers to prompts (docs/prompts.md)."
    )
