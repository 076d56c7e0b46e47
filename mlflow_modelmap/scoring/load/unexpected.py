"""Scoring: weights in a file that the model does not take, dropped without a word."""

from __future__ import annotations

import re
from collections.abc import Iterable

from mlflow_modelmap.errors import ScoringError
from mlflow_modelmap.words.listed import listed

_HARMLESS = re.compile(
    r"(^|\.)("
    r"masked_bias|attn\.bias|attention\.bias"  # causal masks, kept as buffers by older versions
    r"|inv_freq|rotary_emb\.(cos|sin)_cached|rotary_pos_emb\..*"
    r"|position_ids|token_type_ids"
    r"|v_head\..*"  # a value head beside the language model (PPO)
    r")$"
)
_OF_QUANTISED = re.compile(
    r"\.(weight_scale(_inv|_2)?|input_scale|scales?|zeros?|qweight|qzeros|g_idx|weight_packed"
    r"|weight_shape|weight_zero_point|absmax|quant_map|nested_absmax|SCB|W_q|.*_blocks|.*_scales"
    r"|quant_state\..*)$"
)


def check_all_taken(path: str, unexpected: Iterable[str]) -> None:
    """Refuse a checkpoint with weights that the model of its configuration has no place for.

    Parameters
    ----------
    unexpected
        Names of tensors that transformers did not take.

    Raises
    ------
    ScoringError
        It names the first of them.
    """
    names = sorted(name for name in unexpected if not _HARMLESS.search(name))
    if not names:
        return
    quantised = [name for name in names if _OF_QUANTISED.search(name)]
    lost = (
        "its quantization_config, by which they are read, is not in config.json"
        if quantised
        else "config.json is not the one that they were saved with (such as one without "
        "attention_bias)"
    )
    raise ScoringError(
        f"The weights in {path!r} hold {listed(quantised or names, 1, quoted=False)}, which the "
        f"model of its config.json has no place for: {lost}; put back what is missing there."
    )
