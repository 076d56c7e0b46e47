"""Scoring: a model's chat template - found, run in transformers' sandbox, and held to its word."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from mlflow_modelmap.errors import InputError
from mlflow_modelmap.scoring.tokenizer.files import template_files_in
from mlflow_modelmap.texts.prompt import Message, Prompt, messages_of
from mlflow_modelmap.words.listed import listed
from mlflow_modelmap.words.reason import reason

AUTO, NONE = "auto", "none"
_LARGEST = 1024 * 1024
_JOINT = "\n\n"


class Rendered(NamedTuple):
    """A prompt and its response as a model is to read them.

    Attributes
    ----------
    head
        All that comes before the response.
    between
        White space that the template puts before the response.
    after
        What it puts behind it: the end of the turn.
    altered
        Whether it writes the response, or what comes before it, otherwise in a whole chat.
    """

    head: str
    between: str
    after: str
    altered: bool = False


@dataclass(frozen=True, eq=False)
class Template:
    """How prompts become text.

    Attributes
    ----------
    source
        Jinja, or None for plain concatenation.
    name
        What a run says of it: ``none``, ``tokenizer``, or the digest of a file.
    """

    source: str | None
    name: str

    def render(self, tokenizer: Any, prompt: Prompt, response: str, where: str) -> Rendered:
        """A prompt and its response as text.

        Raises
        ------
        InputError
            If the template fails, or changes what came before when the response follows.
        """
        if self.source is None:
            return Rendered(plain(prompt), "", "")
        messages = messages_of(prompt)
        head = self._applied(tokenizer, messages, where, add_generation_prompt=True)
        answered = [*messages, {"role": "assistant", "content": response}]
        whole = self._applied(tokenizer, answered, where, add_generation_prompt=False)
        rest = whole[len(head) :] if whole.startswith(head) else ""
        for written in (response, response.strip()):
            between, found, after = rest.partition(written)
            if found and not between.strip():
                return Rendered(head, between, after.lstrip(" "), altered=written != response)
        return Rendered(head, "", whole.rpartition(response.strip())[2].lstrip(" "), altered=True)

    def _applied(
        self, tokenizer: Any, messages: Sequence[dict[str, str]], where: str, **options: Any
    ) -> str:
        try:
            return str(
                tokenizer.apply_chat_template(
                    messages, chat_template=self.source, tokenize=False, **options
                )
            )
        except Exception as error:
            raise InputError(
                f"The chat template does not take the prompt of {where} ({reason(error)}); leave "
                "such prompts out (a system prompt, say), give another template with --template "
                "FILE, or take none (--template none)."
            ) from None


def with_system(prompt: Prompt, system: str | None, where: str) -> Prompt:
    """A prompt behind a system's message.

    Raises
    ------
    InputError
        If it has one already.
    """
    if system is None:
        return prompt
    messages: tuple[Message, ...] = (("user", prompt),) if isinstance(prompt, str) else prompt
    if messages[0][0] == "system":
        raise InputError(
            f"The prompt of {where} has a system's message already; leave system_prompt out."
        )
    return (("system", system), *messages)


def plain(prompt: Prompt) -> str:
    """A prompt for a model without a template: as it is, or its messages with lines between."""
    if isinstance(prompt, str):
        return prompt
    return "".join(f"{content}{_JOINT}" for _, content in prompt)


def left_out(prompt: Prompt, head: str) -> list[str]:
    """The roles of messages that a template does not show."""
    messages: Sequence[Message] = (("user", prompt),) if isinstance(prompt, str) else prompt
    return [role for role, content in messages if content.strip() not in head]


def template_of(tokenizer: Any, asked: str) -> Template:
    """The template that the setting ``template`` asks for.

    Raises
    ------
    InputError
        If it names a file that is not there, or is too large, or the model has several and none
        is the default.
    """
    if asked == NONE:
        return Template(None, NONE)
    if asked == AUTO:
        own = getattr(tokenizer, "chat_template", None)
        if isinstance(own, dict):
            if own and "default" not in own:
                raise InputError(
                    f"The tokenizer has several chat templates ({listed(own, 8)}) and none is the "
                    "default; give one of them as a file (--template FILE), or take none "
                    "(--template none)."
                )
            own = own.get("default")
        return Template(own, "tokenizer") if own else Template(None, NONE)
    source = read_template(asked)
    return Template(source, template_digest(asked))


def read_template(path: str) -> str:
    """The content of a template's file.

    Raises
    ------
    InputError
        If it is not there, too large or no text.
    """
    expanded = os.path.expanduser(path)
    if not os.path.isfile(expanded):
        raise InputError(
            f"There is no template file {path!r}; give auto (the model's own), none, or a file."
        )
    if os.path.getsize(expanded) > _LARGEST:
        raise InputError(f"The template {path!r} is larger than 1 MiB; it is no chat template.")
    try:
        with open(expanded, encoding="utf-8-sig") as file:
            return file.read()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"The template {path!r} cannot be read ({reason(error)}).") from None


def template_digest(asked: str, folder: str | None = None) -> str:
    """What stands for a template in a score's identity: its word, or the digest of its file.

    Parameters
    ----------
    folder
        Of the tokenizer, where its own templates count: such as lie there as files, which are no
        part of the tokenizer's digest, as they make no token of a text.
    """
    if asked == AUTO and folder is not None and (files := template_files_in(folder)):
        sha = hashlib.sha256()
        for path in files:
            with open(path, "rb") as file:
                content = hashlib.sha256(file.read()).hexdigest()
            sha.update(f"{os.path.relpath(path, folder)}\0{content}\n".encode())
        return f"{AUTO}:sha256:{sha.hexdigest()}"
    if asked in (AUTO, NONE):
        return asked
    return f"sha256:{hashlib.sha256(read_template(asked).encode()).hexdigest()}"
