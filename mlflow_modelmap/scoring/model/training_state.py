"""Scoring (no torch here): what a training's own checkpoints are, which have to be put together."""

from __future__ import annotations

import re
from collections.abc import Collection
from fnmatch import fnmatchcase

from mlflow_modelmap.errors import InputError
from mlflow_modelmap.scoring.model.weights_format import weights_format
from mlflow_modelmap.words.listed import listed

_ZERO = ("zero_to_fp32.py", "*zero_pp_rank_*", "global_step[0-9]*", "*_zero_dp_rank_*")
_FSDP = ("pytorch_model_fsdp_*", "*.distcp", ".metadata")
_RANKS = re.compile(r"shard-\d{5}-model-\d{5}-of-\d{5}\.safetensors")
_ZERO_REMEDY = (
    "run `python zero_to_fp32.py . OUT --safe_serialization` in the checkpoint's folder, copy "
    "config.json and the tokenizer into OUT and give that"
)


def check_no_training_state(names: Collection[str], what: str) -> None:
    """Raise an InputError if files of these names are shards that only their training reads.

    Parameters
    ----------
    what
        How the error names the model, such as ``the model 'org/name'``.
    """
    ranks = sorted(name for name in names if _RANKS.fullmatch(name))
    if ranks:  # transformers would load these whatever else lies beside them
        raise InputError(
            f"{_begin(what)} holds a distributed checkpoint ({listed(ranks, 1, quoted=False)}); "
            "load it where it was trained and save it whole with `save_pretrained`."
        )
    if weights_format(names) is not None:
        return
    zero = _first(names, _ZERO)
    if zero is not None:
        raise InputError(
            f"{_begin(what)} holds no weights but shards of a DeepSpeed ZeRO training ({zero}); "
            f"{_ZERO_REMEDY}."
        )
    fsdp = _first(names, _FSDP)
    if fsdp is not None:
        where = fsdp if fsdp.startswith("pytorch_model_fsdp_") else "DIR"
        raise InputError(
            f"{_begin(what)} holds no weights but shards of an FSDP training ({fsdp}); run "
            f"`accelerate merge-weights {where} OUT`, copy config.json and the tokenizer into OUT "
            "and give that."
        )


def empty_tensors(names: Collection[str], what: str) -> InputError:
    """The error for tensors of shape [0], which ZeRO-3 leaves where weights were partitioned."""
    return InputError(
        f"{_begin(what)} holds empty tensors in place of weights "
        f"({listed(sorted(names), 1, quoted=False)}), as DeepSpeed ZeRO-3 leaves them; "
        f"{_ZERO_REMEDY}."
    )


def _first(names: Collection[str], patterns: Collection[str]) -> str | None:
    found = (name for name in sorted(names) if any(fnmatchcase(name, p) for p in patterns))
    return next(found, None)


def _begin(what: str) -> str:
    return what[:1].upper() + what[1:]
