"""Numerics: the paper's scale of KL divergence (Table 2a)."""

from __future__ import annotations

from typing import NamedTuple


class Setting(NamedTuple):
    """A row of Table 2a, in bits/byte: what differs, its name in a sentence, and its statistics."""

    group: str
    phrase: str
    median: float
    mean: float
    sd: float


PAPER_SCALE: tuple[Setting, ...] = (
    Setting("Later", "the change of 1k steps late in Pythia's pretraining", 0.011, 0.014, 0.0050),
    Setting("Early", "the change of 1k steps early in Pythia's pretraining", 0.067, 0.078, 0.047),
    Setting("Seed", "the difference between two random seeds of Pythia", 0.12, 0.12, 0.0071),
    Setting("Size", "the difference between two sizes of Pythia", 0.48, 0.61, 0.47),
    Setting("8-bit", "the effect of 8-bit quantisation", 0.44, 0.80, 1.9),
    Setting("4-bit", "the effect of 4-bit quantisation", 0.49, 0.91, 2.0),
    Setting("FT", "the effect of fine-tuning", 0.40, 1.5, 3.6),
    Setting("Intra-type", "the difference between two models of one type", 0.95, 2.8, 6.4),
    Setting("Random", "the difference between two models taken at random", 2.2, 5.3, 8.8),
    Setting("Layer", "the step from one layer to the next", 3.0, 8.1, 13.0),
)
"""Table 2a, in the paper's order."""

OF_SET_UP = ("8-bit", "4-bit")
"""Groups that are not said in words: their values mostly measure a difference of set-up."""

SET_UP_NOTE = (
    "The paper's medians for 8-bit and 4-bit copies likely measure a difference of set-up more "
    "than one of bits: copies and originals were scored by different programs, and within a model "
    "type all moved the same way. An int8 copy of SmolLM2-135M that was scored like its original "
    "lies at about 0.01 bits/byte."
)
"""Beside every table and picture that shows those groups of the paper."""
