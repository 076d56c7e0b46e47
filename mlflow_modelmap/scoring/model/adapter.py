"""Scoring (no torch here): a PEFT adapter in a directory, and the base that it was made for."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Collection
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec

from mlflow_modelmap.errors import InputError
from mlflow_modelmap.scoring.model import gguf_file
from mlflow_modelmap.scoring.model.folder import digest_of
from mlflow_modelmap.scoring.model.plain_file import read_json
from mlflow_modelmap.scoring.model.reference import (
    HUB,
    HUB_NAME,
    SERVED,
    AppliedAdapter,
    ModelFiles,
    ModelReference,
    is_here,
)
from mlflow_modelmap.scoring.model.training_state import check_no_training_state
from mlflow_modelmap.scoring.model.weight_files import (
    ADAPTER,
    capital,
    check_weights,
    pickles_refused,
)
from mlflow_modelmap.scoring.model.weights_format import (
    ADAPTER_PICKLE,
    ADAPTER_WEIGHTS,
    PICKLE,
    SAFETENSORS,
    adapter_weights,
    weights_format,
)
from mlflow_modelmap.scoring.tokenizer.files import holds_tokenizer, tokenizer_files_in
from mlflow_modelmap.words.listed import listed
from mlflow_modelmap.words.shortened import shortened

KINDS = ("LORA", "IA3")
"""PEFT's names of the adapters that are applied; DoRA is a LORA with `use_dora`."""
_NOT_APPLIED = ("megatron_config", "alora_invocation_tokens", "arrow_config", "layer_replication")
_LEAST_PEFT = (0, 13)


@dataclass(frozen=True)
class Adapter:
    """An adapter whose base model is still to be found.

    Attributes
    ----------
    reference
        What the user wrote.
    path
        Directory with ``adapter_config.json`` and the adapter's weights.
    commit
        Of the adapter alone: its commit on the Hub, or a digest of its content.
    tokenizer_path
        Directory of the tokenizer that came with it, or None where it has its base's.
    base, base_revision
        The base as somebody wrote it into the adapter, or None.
    base_path
        Directory of a base that came with the adapter, or None.
    """

    reference: ModelReference
    path: str
    commit: str
    tokenizer_path: str | None = None
    base: str | None = None
    base_revision: str | None = None
    base_path: str | None = None

    def named_base(self) -> ModelReference:
        """The base that the adapter names: on the Hub, or a local adapter's local directory.

        Raises
        ------
        InputError
            If it names none, or something else.
        """
        what, written = self.reference.name, self.base
        if not written:
            raise InputError(
                f"The adapter {what!r} does not say which model it was made for; give its base "
                "with --base (base= in Python and in plans)."
            )
        if self.reference.kind != HUB and is_here(written):
            return ModelReference.parse(written)
        if not HUB_NAME.fullmatch(written):
            raise InputError(
                f"The base model of the adapter {what!r} is {shortened(written)!r} where it was "
                "trained, which is not here; give its base with --base (base= in Python and in "
                "plans)."
            )
        return ModelReference(HUB, written, self.base_revision)

    def on(self, base: ModelFiles) -> ModelFiles:
        """What is scored: the base with this adapter, under a commit that holds both."""
        both = f"base\0{base.commit}\nadapter\0{self.commit}\n"
        inside = self.base_path is not None
        return ModelFiles(
            reference=self.reference,
            model_path=base.model_path,
            tokenizer_path=self.tokenizer_path or base.tokenizer_path,
            commit=f"sha256:{hashlib.sha256(both.encode()).hexdigest()}",
            adapter=AppliedAdapter(
                path=self.path,
                commit=self.commit,
                base=None if inside else base.reference,
                base_name=self.base if inside else base.reference.name,
                base_commit=base.commit,
            ),
        )


def read_adapter(
    path: str | os.PathLike[str],
    reference: ModelReference,
    *,
    commit: str | None = None,
    tokenizer_path: str | None = None,
    refused: str | None = None,
) -> Adapter:
    """The adapter in a directory, checked before anything is loaded.

    Parameters
    ----------
    reference
        What the user wrote.
    commit
        Its commit on the Hub; by default a digest of its content.
    tokenizer_path
        Where its tokenizer lies, if not beside it.
    refused
        Why pickled weights are refused, or None; see `weight_files.check_has_weights`.

    Raises
    ------
    InputError
        If it is of another kind than LoRA, DoRA and IA3, or its weights are missing or damaged.
    """
    folder, what = os.path.realpath(path), f"the adapter {str(reference)!r}"
    names = os.listdir(folder)
    config = read_json(os.path.join(folder, ADAPTER))
    if not isinstance(config, dict):
        raise InputError(f"The {ADAPTER} of {what} is no configuration of PEFT; save it again.")
    kind = config.get("peft_type")
    if kind not in KINDS:
        raise InputError(
            f"{capital(what)} is of the kind {shortened(kind)}, and only {', '.join(KINDS)} (and "
            "DoRA) are applied; merge it into its base model and give that."
        )
    other = [name for name in _NOT_APPLIED if config.get(name)]
    if other:
        raise InputError(
            f"{capital(what)} uses {other[0]}, which is not applied here; merge it into its base "
            "model and give that."
        )
    check_adapter_names(names, what, refused)
    weights = adapter_weights(names)
    assert weights is not None
    check_weights(os.path.join(folder, weights), what)
    if tokenizer_path is None and holds_tokenizer(names):
        tokenizer_path = folder
    if commit is None:
        files = {name: os.path.join(folder, name) for name in (ADAPTER, weights)}
        if tokenizer_path is not None:
            label = "" if tokenizer_path == folder else "tokenizer/"
            for name in tokenizer_files_in(tokenizer_path):
                files[label + name] = os.path.join(tokenizer_path, name)
        commit = digest_of(files)
    base, revision = config.get("base_model_name_or_path"), config.get("revision")
    return Adapter(
        reference,
        folder,
        commit,
        tokenizer_path,
        base if isinstance(base, str) else None,
        revision if isinstance(revision, str) and revision else None,
    )


def kind_in(path: str) -> str:
    """What the adapter in a directory is called: ``lora``, ``dora``, ``ia3``."""
    config = read_json(os.path.join(path, ADAPTER))
    return kind_called(str(config.get("peft_type")), bool(config.get("use_dora")))


def kind_called(peft_type: str, use_dora: bool) -> str:
    """An adapter's kind in small letters; a LoRA with `use_dora` is a ``dora``."""
    kind = peft_type.lower()
    return "dora" if kind == "lora" and use_dora else kind


def check_adapter_names(names: Collection[str], what: str, refused: str | None = None) -> None:
    """Raise an InputError unless files of these names can make an adapter; see `read_adapter`."""
    weights = adapter_weights(names)
    if weights is None:
        check_no_training_state(names, what)
        others = [name for name in names if name.endswith((".safetensors", ".bin", ".pt", ".ckpt"))]
        there = f", only {listed(sorted(others), 1, quoted=False)}" if others else ""
        raise InputError(
            f"{capital(what)} has no weights ({ADAPTER_WEIGHTS}){there}; save it with "
            "`save_pretrained`."
        )
    if weights == ADAPTER_PICKLE and refused:
        raise pickles_refused(weights, what, refused)


def check_peft(what: str) -> None:
    """Raise an InputError where PEFT is not installed, or older than what is needed."""
    found = version("peft") if find_spec("peft") is not None else None
    numbers = re.match(r"(\d+)\.(\d+)", found or "")
    if numbers is None or tuple(map(int, numbers.groups())) < _LEAST_PEFT:
        there = f"and this is peft {found}" if found else "which is not installed"
        raise InputError(
            f"{capital(what)} is an adapter and needs peft 0.13 or later, {there}; install "
            "`mlflow-modelmap[adapters]`."
        )


def weights_format_of(files: ModelFiles) -> str:
    """``safetensors``, ``gguf``, or ``pickle`` if any of the weights that are loaded is one.

    Of a model behind a server, whose weights nobody sees, ``served``.
    """
    if files.served is not None:
        return SERVED
    if gguf_file.WEIGHTS in os.listdir(files.model_path):
        return gguf_file.METHOD
    forms = [weights_format(os.listdir(files.model_path)) or SAFETENSORS]
    if files.adapter is not None:
        weights = adapter_weights(os.listdir(files.adapter.path))
        forms.append(PICKLE if weights == ADAPTER_PICKLE else SAFETENSORS)
    return (PICKLE if PICKLE in forms else SAFETENSORS).name
