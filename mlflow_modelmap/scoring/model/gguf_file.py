"""Scoring: a GGUF file as the folder that it stands for - configuration, tokenizer, weights.

What the file says of itself is read by transformers and written out as a Hugging Face folder, and
the file is linked into it; nothing of the weights is read here.
"""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Mapping
from typing import Any

from mlflow_modelmap.errors import InputError
from mlflow_modelmap.scoring.model.plain_file import check_plain
from mlflow_modelmap.words.reason import reason

WEIGHTS = "model.gguf"
"""The name of the link to the file in its folder."""
METHOD = "gguf"
_PART = re.compile(r"-\d{5}-of-\d{5}\.gguf$", re.IGNORECASE)
_PLAIN = {"F32": "float32", "F16": "float16", "BF16": "bfloat16"}
_DIGITS_APART = ("smollm", "starcoder", "refact", "command-r", "codeshell", "exaone", "minerva-7b")
"""Pre-tokenizers of llama.cpp that split as GPT-2 does, each digit by itself."""
_AS_GPT2 = (
    "gpt-2",
    "phi-2",
    "jina-es",
    "jina-de",
    "mpt",
    "olmo",
    "jais",
    "trillion",
    "granite-docling",
)
"""Those that split as GPT-2 does."""


def write_folder(path: str, folder: str, own_tokenizer: bool = True) -> None:
    """Write the configuration and tokenizer that a GGUF file holds, and a link to it.

    Parameters
    ----------
    folder
        Where to, an empty directory.
    own_tokenizer
        Whether the file's tokenizer is wanted; without, the folder holds none.

    Raises
    ------
    InputError
        If it is no GGUF file of a causal language model, one of several parts, or splits text in
        a way that is not known here.
    """
    check_plain(path)
    if _PART.search(path):
        raise InputError(
            f"{path!r} is one part of a GGUF file; put the parts together with "
            "`llama-gguf-split --merge FIRST_PART WHOLE.gguf` and give that."
        )
    metadata = _metadata(path)
    os.symlink(os.path.realpath(path), os.path.join(folder, WEIGHTS))
    _write_config(path, folder, metadata)
    if own_tokenizer:
        _write_tokenizer(path, folder, str(metadata.get("tokenizer.ggml.pre", "")))


def _metadata(path: str) -> Mapping[str, Any]:
    with open(path, "rb") as file:
        if file.read(4) != b"GGUF":
            raise InputError(
                f"{path!r} is no GGUF file (it does not begin with GGUF); fetch it again."
            )
    try:
        import gguf  # noqa: F401
    except ImportError:
        raise InputError(
            "GGUF files need the package gguf; install `mlflow-modelmap[gguf]`."
        ) from None
    try:
        from transformers.integrations.gguf import read_gguf_metadata
    except ImportError:
        raise InputError(
            "GGUF files need transformers 5 or later; install `mlflow-modelmap[gguf]`."
        ) from None
    try:
        return dict(read_gguf_metadata(path)[0])
    except Exception as error:
        raise _damaged(path, error) from None


def _damaged(path: str, error: BaseException) -> InputError:
    return InputError(f"The GGUF file {path!r} cannot be read ({reason(error)}); fetch it again.")


def _write_config(path: str, folder: str, metadata: Mapping[str, Any]) -> None:
    """What the file says of its architecture, and in which type it keeps its weights."""
    from transformers import AutoConfig

    try:
        config = AutoConfig.from_pretrained(folder, gguf_file=WEIGHTS, local_files_only=True)
        content = json.loads(config.to_json_string(use_diff=False))
        kind = _file_type(path, metadata)
    except Exception as error:
        raise InputError(
            f"The GGUF file {path!r} is no causal language model that transformers reads "
            f"({reason(error)}); if it was cut short, fetch it again."
        ) from None
    content.pop("quantization_config", None)
    if kind in _PLAIN:
        content["dtype"] = _PLAIN[kind]
    else:
        content["quantization_config"] = {"quant_method": METHOD, "file_type": kind}
    with open(os.path.join(folder, "config.json"), "w", encoding="utf-8") as file:
        json.dump(content, file)


def _file_type(path: str, metadata: Mapping[str, Any]) -> str:
    """``Q4_K_M``, ``Q8_0``, ``F16``: what the file says, else the type of most weights."""
    from gguf import GGUFReader, LlamaFileType

    said = metadata.get("general.file_type")
    if isinstance(said, int):
        try:
            name = LlamaFileType(said).name
        except ValueError:
            pass  # of a later version
        else:
            return name.removeprefix("MOSTLY_").removeprefix("ALL_")
    weights: Counter[str] = Counter()
    for tensor in GGUFReader(path).tensors:
        weights[tensor.tensor_type.name] += int(tensor.n_elements)
    return weights.most_common(1)[0][0]


def _write_tokenizer(path: str, folder: str, splits: str) -> None:
    """The tokenizer of the file, with the pre-tokenizer that the file names."""
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, gguf_file=WEIGHTS, local_files_only=True)
    except Exception as error:
        raise InputError(
            f"The tokenizer in {path!r} cannot be made ({reason(error)}); give the model's own "
            "with --tokenizer (tokenizer=)."
        ) from None
    _split_as_named(tokenizer, splits, path)
    tokenizer.save_pretrained(folder)
    _keep_class_generic(folder)


def _split_as_named(tokenizer: Any, splits: str, path: str) -> None:
    """transformers splits as GPT-2 does wherever it does not know the name: a silent fault."""
    from tokenizers import pre_tokenizers
    from transformers.integrations.gguf import gguf_tokenizer_mapping

    known = getattr(gguf_tokenizer_mapping, "GGUF_PRE_TOKENIZER_SPLITS", {})
    backend = tokenizer.backend_tokenizer
    byte_level = isinstance(
        getattr(backend, "pre_tokenizer", None), (pre_tokenizers.ByteLevel, pre_tokenizers.Sequence)
    )
    if not byte_level or splits in known or splits in _AS_GPT2:
        return
    if splits in _DIGITS_APART:
        backend.pre_tokenizer = pre_tokenizers.Sequence(
            [
                pre_tokenizers.Digits(individual_digits=True),
                pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
            ]
        )
        return
    raise InputError(
        f"The GGUF file {path!r} splits text as {splits or 'it does not say'!r}, which is not "
        "known here, and other splits would make other tokens; give the model's own tokenizer with "
        "--tokenizer (tokenizer=)."
    )


def _keep_class_generic(folder: str) -> None:
    """So that whoever loads it takes tokenizer.json as it is."""
    path = os.path.join(folder, "tokenizer_config.json")
    with open(path, encoding="utf-8") as file:
        config = json.load(file)
    config["tokenizer_class"] = "PreTrainedTokenizerFast"
    with open(path, "w", encoding="utf-8") as file:
        json.dump(config, file)


def check_same_tokens(path: str, tokenizer: Any) -> None:
    """Refuse another tokenizer than the one whose tokens a GGUF file lists.

    Raises
    ------
    InputError
        It names the first id that stands for two tokens.
    """
    from transformers.integrations.gguf import read_gguf_metadata

    listed = read_gguf_metadata(path, ("tokenizer.ggml.tokens",))[0].get("tokenizer.ggml.tokens")
    if not listed:
        return
    own = {token_id: token for token, token_id in tokenizer.get_vocab().items()}
    for token_id, token in enumerate(listed):
        other = own.get(token_id)
        if other is not None and _spelled(other) != _spelled(str(token)):
            raise InputError(
                f"The tokenizer {tokenizer.name_or_path!r} is another one than that of the GGUF "
                f"file {path!r} (token {token_id} is {other!r} in one and {token!r} in the other); "
                "give the tokenizer of the model that the file was made from."
            )


def _spelled(token: str) -> str:
    """llama.cpp writes runs of spaces and unused tokens in its own way."""
    return token.replace("▁", " ")
