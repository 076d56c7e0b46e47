"""Scoring (no torch here): what people write when they mean a model."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

from mlflow_modelmap.errors import InputError

HUB, LOCAL, REGISTRY, RUN, SERVED = "hub", "local", "registry", "run", "served"

_MLFLOW_FORMS = {
    "models:/": (
        REGISTRY,
        re.compile(r"[^/@]+/[^/@]+|[^/@]+@[^/@]+|m-[0-9a-f]+"),
        "models:/name/1, models:/name@alias or models:/m-ID",
    ),
    "runs:/": (RUN, re.compile(r"[^/]+/.+"), "runs:/RUN_ID/path"),
}
HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*(/[\w.-]+)?")
_GGUF_ON_HUB = re.compile(
    r"(?P<repository>[A-Za-z0-9][\w.-]*/[\w.-]+)(@(?P<revision>[^:@]+):|/)"
    r"(?P<file>[\w.-][\w./ -]*\.gguf)",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class ModelReference:
    """A model as people write it.

    ``org/name`` or ``org/name@revision`` on the Hugging Face Hub, a local directory, a GGUF file
    (``model.gguf``, ``org/name/file.gguf``, ``org/name@revision:file.gguf``), ``models:/name/1``,
    ``models:/name@alias`` or ``models:/m-ID`` in the MLflow Model Registry, or
    ``runs:/RUN_ID/path`` among a run's artifacts.

    Attributes
    ----------
    kind
        ``hub``, ``local``, ``registry`` or ``run``; or ``served``: known by a server only.
    name
        The Hub name, absolute path or MLflow URI, without the revision; of a GGUF file on the Hub
        the repository's name, a slash and the file.
    revision
        Branch, tag or commit (Hub only), or None.
    """

    kind: str
    name: str
    revision: str | None = None

    @classmethod
    def parse(cls, written: str | os.PathLike[str], revision: str | None = None) -> ModelReference:
        """Read what the user wrote; a revision may stand behind ``@`` or be given apart.

        Raises
        ------
        InputError
            If it is none of the forms above, names a directory that is not there, or gives a
            revision twice or to something that has none.
        """
        text = os.fspath(written)
        if not text.strip():
            raise InputError(
                "No model was given; write org/name, a local directory or models:/name/1."
            )
        for scheme, (kind, form, forms) in _MLFLOW_FORMS.items():
            if text.startswith(scheme):
                if not form.fullmatch(text.removeprefix(scheme)):
                    raise InputError(f"{text!r} is no MLflow URI of a model; write {forms}.")
                return cls(kind, text)._without_revision(revision)
        if is_here(text):
            return cls(LOCAL, tag_name(text) or "")._without_revision(revision)
        if os.path.exists(os.path.expanduser(text)):
            raise InputError(f"{text!r} is a file; give the directory that holds the model.")
        if is_gguf(text):
            return cls._gguf_on_hub(text, revision)
        name, at, inline = text.partition("@")
        if name.startswith((".", "/", "~")) or name.count("/") > 1 or "\\" in name:
            raise InputError(
                f"There is no directory {text!r}; give a directory that holds a model."
            )
        if at and not inline:
            raise InputError(f"The reference {text!r} ends in @; write org/name@revision.")
        if inline and revision and inline != revision:
            raise InputError(
                f"The reference {text!r} names the revision {inline!r} and {revision!r} was given "
                "as well; give one of them."
            )
        if not HUB_NAME.fullmatch(name):
            raise InputError(
                f"{text!r} is no model reference; write org/name, org/name@revision, a local "
                "directory, models:/name/1, models:/name@alias or runs:/RUN_ID/path."
            )
        return cls(HUB, name, inline or revision or None)

    @classmethod
    def _gguf_on_hub(cls, text: str, revision: str | None) -> ModelReference:
        found = _GGUF_ON_HUB.fullmatch(text)
        if found is None or ".." in found["file"].split("/"):
            raise InputError(
                f"There is no file {text!r}, and it is no GGUF file on the Hub; write "
                "org/name/file.gguf or org/name@revision:file.gguf."
            )
        if found["revision"] and revision and found["revision"] != revision:
            raise InputError(
                f"The reference {text!r} names the revision {found['revision']!r} and {revision!r} "
                "was given as well; give one of them."
            )
        name = f"{found['repository']}/{found['file']}"
        return cls(HUB, name, found["revision"] or revision or None)

    @property
    def gguf(self) -> tuple[str, str] | None:
        """Repository and file of a GGUF file on the Hub; None for everything else."""
        if self.kind != HUB or not is_gguf(self.name) or self.name.count("/") < 2:
            return None
        organisation, name, file = self.name.split("/", 2)
        return f"{organisation}/{name}", file

    def _without_revision(self, revision: str | None) -> ModelReference:
        if revision:
            raise InputError(
                f"A revision ({revision!r}) goes with a Hugging Face Hub model; {self.name!r} is "
                "not one."
            )
        return self

    def __str__(self) -> str:
        if self.gguf is not None and self.revision:
            return f"{self.gguf[0]}@{self.revision}:{self.gguf[1]}"
        return f"{self.name}@{self.revision}" if self.revision else self.name


def is_gguf(name: str) -> bool:
    """Whether a name is that of a GGUF file."""
    return name.lower().endswith(".gguf")


def is_here(written: str) -> bool:
    """Whether what somebody wrote is a directory or GGUF file on this machine."""
    path = os.path.expanduser(written)
    return os.path.isdir(path) or (is_gguf(path) and os.path.isfile(path))


def tag_name(written: str | None) -> str | None:
    """A model as tags name it: one on this machine by its path, anything else as it was written.

    A GGUF file keeps its own name where that is a link, as in the Hub's cache.
    """
    if written is None or not is_here(written):
        return written
    expanded = os.path.expanduser(written)
    if os.path.isdir(expanded):
        return os.path.realpath(expanded)
    folder, name = os.path.split(os.path.abspath(expanded))
    return os.path.join(os.path.realpath(folder), name)


@dataclass(frozen=True)
class AppliedAdapter:
    """An adapter, and the base model that it is applied to.

    Attributes
    ----------
    path
        Directory with ``adapter_config.json`` and the adapter's weights.
    commit
        Of the adapter alone: its commit on the Hub, or a digest of its content.
    base
        The base model, or None where it lies in the same MLflow artifact.
    base_name
        What the base is called: the name of `base`, else what the artifact says.
    base_commit
        As the commit of any model; empty where it is not known.
    kind
        What PEFT calls it, of one that is being trained: it has no name and no commit yet.
    """

    path: str
    commit: str
    base: ModelReference | None
    base_name: str | None
    base_commit: str
    kind: str | None = None


@dataclass(frozen=True)
class Served:
    """A model behind a server's address.

    Attributes
    ----------
    url
        What a route is put behind: ``http://host:8000/v1``.
    route
        ``completions`` (OpenAI's), or ``generate`` (SGLang's own).
    name
        What the server calls the model.
    most_tokens
        How many tokens it takes, prompt and answer together; None where it does not say.
    own_folder
        Whether the folder on this machine is the model's own, and not only of its tokenizer.
    """

    url: str
    route: str
    name: str
    most_tokens: int | None = None
    own_folder: bool = False


@dataclass(frozen=True)
class ModelFiles:
    """Where a model's files lie on this machine, once its reference has been resolved.

    Attributes
    ----------
    reference
        What the user wrote.
    model_path
        Directory with ``config.json`` and the weights.
    tokenizer_path
        Directory with the tokenizer; the same one for plain Hugging Face folders.
    commit
        Resolved Hub commit, or a content digest (``sha256:...``) of the directory; of an adapter
        with its base a digest of both commits.
    adapter
        What is applied to the model in `model_path`, or None.
    served
        Where the model itself is, if not here: `model_path` then holds its tokenizer, and perhaps
        a configuration and weights that are said to be its own.
    """

    reference: ModelReference
    model_path: str
    tokenizer_path: str
    commit: str
    adapter: AppliedAdapter | None = None
    served: Served | None = None
