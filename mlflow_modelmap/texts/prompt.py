"""Texts: prompts - plain text or the messages of a chat - and the responses that follow them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeAlias

from mlflow_modelmap.errors import InputError
from mlflow_modelmap.words.shortened import shortened
from mlflow_modelmap.words.shown import shown

Message: TypeAlias = tuple[str, str]
"""Role and content."""
Prompt: TypeAlias = str | tuple[Message, ...]
"""What a response follows: plain text, or the messages before it."""

LAST, EVERY = "last", "every"
TURNS = (LAST, EVERY)
"""Which turns of an assistant are responses."""
_ASSISTANT = "assistant"
_ROLES = {"human": "user", "gpt": _ASSISTANT, "chatgpt": _ASSISTANT, "bing": _ASSISTANT}
"""Roles as some sets call them."""
CHATS = ("messages", "conversations")
"""The columns with chats."""
_RESPONSES = ("response", "completion")
COLUMNS = (*CHATS, "prompt", "system", *_RESPONSES)
"""The columns of prompt-response sets."""


def canonical(prompt: Prompt) -> str:
    """A prompt as one string: text as it is, messages as JSON without spaces.

    Messages are objects with ``content`` and ``role``, in this order; no character is escaped that
    JSON does not ask for.
    """
    if isinstance(prompt, str):
        return prompt
    return json.dumps(
        messages_of(prompt), ensure_ascii=False, sort_keys=True, separators=(",", ":")
    )


def messages_of(prompt: Prompt) -> list[dict[str, str]]:
    """A prompt as messages; plain text is the user's."""
    pairs = (("user", prompt),) if isinstance(prompt, str) else prompt
    return [{"role": role, "content": content} for role, content in pairs]


def document_of(prompt: Prompt) -> str:
    """The name of the document that all responses to a prompt are of."""
    return f"prompt {hashlib.sha256(canonical(prompt).encode('utf-8', 'replace')).hexdigest()[:16]}"


def is_prompt_row(row: Mapping[str, Any], column: str) -> bool:
    """Whether a row holds a prompt and its response, or a chat, and no text in `column`."""
    if column != "text":
        value = row.get(column)
        return isinstance(value, Sequence) and not isinstance(value, (str, bytes))
    if column in row:
        return False
    return any(name in row for name in CHATS) or (
        "prompt" in row and any(name in row for name in _RESPONSES)
    )


def responses_of(
    row: Mapping[str, Any], where: str, column: str, turns: str
) -> Iterator[tuple[Prompt, str]]:
    """The prompts and responses of a row.

    Parameters
    ----------
    column
        Where the messages stand, if not in ``messages`` or ``conversations``.
    turns
        ``last``: the assistant's last turn, which must be the last message; ``every``: each of its
        turns, behind all that was said before.

    Raises
    ------
    InputError
        If a part is missing or no text, or a prompt is empty. A response may be: `check_not_empty`
        sees to that.
    """
    system = row.get("system")
    chat = next((n for n in (column, *CHATS) if row.get(n) is not None), None)
    if chat is not None:
        for prompt, response in _of_chat(row[chat], f"{where}: {chat!r}", turns):
            yield _behind(system, prompt, where), response
        return
    answer = next((row[n] for n in _RESPONSES if row.get(n) is not None), None)
    made = _behind(system, prompt_of(row.get("prompt"), f"{where}: 'prompt'"), where)
    yield made, _text(answer, f"{where}: 'response'", blank=True)


def opening_of(prompt: Prompt) -> Prompt:
    """A prompt up to the assistant's first turn: what all responses of a chat have before them."""
    if isinstance(prompt, str):
        return prompt
    own = [at for at, (role, _) in enumerate(prompt) if role == _ASSISTANT]
    return prompt[: own[0]] if own else prompt


def _behind(system: Any, prompt: Prompt, where: str) -> Prompt:
    """A prompt behind what stands in a row's ``system``."""
    if system is None or system == "":
        return prompt
    first = ("system", _text(system, f"{where}: 'system'"))
    messages = (("user", prompt),) if isinstance(prompt, str) else prompt
    if messages[0] == first:
        return messages
    if messages[0][0] == "system":
        raise InputError(
            f"{where}: 'system' says another thing than the system's message of the chat; leave "
            "one of them out."
        )
    return (first, *messages)


def prompt_of(value: Any, where: str) -> Prompt:
    """A prompt from what a file or frame holds: text, or a list of messages.

    Raises
    ------
    InputError
        If it is neither, or empty.
    """
    if isinstance(value, Sequence) and not isinstance(value, (str, bytes)):
        return tuple(_messages(value, where))
    return _text(value, where)


def in_memory(value: Any, where: str) -> Prompt:
    """A prompt as a program gives it: as `prompt_of` takes it, or pairs of role and content.

    Raises
    ------
    InputError
        If it is none of these.
    """
    if isinstance(value, str):
        return value
    if isinstance(value, Sequence) and not isinstance(value, bytes):
        value = [
            {"role": one[0], "content": one[1]}
            if isinstance(one, (tuple, list)) and len(one) == 2
            else one
            for one in value
        ]
    return prompt_of(value, where)


def _of_chat(chat: Any, where: str, turns: str) -> Iterator[tuple[Prompt, str]]:
    messages = list(_messages(chat, where))
    own = [at for at, (role, _) in enumerate(messages) if role == _ASSISTANT]
    if not own:
        raise InputError(f"{where} hold no turn of the assistant, so that there is no response.")
    if turns == LAST:
        if own[-1] != len(messages) - 1:
            raise InputError(
                f"{where} end with a turn of the {shortened(messages[-1][0], 40)}, not of the "
                "assistant, so that there is no response to it; drop that turn, or take every "
                "turn (--turns every)."
            )
        own = own[-1:]
    for at in own:
        if at == 0:
            raise InputError(f"{where} begin with the assistant: its first turn has no prompt.")
        yield tuple(messages[:at]), messages[at][1]


def _messages(chat: Any, where: str) -> Iterator[Message]:
    if not isinstance(chat, Sequence) or isinstance(chat, (str, bytes)):
        raise InputError(f"{where} is {_kind(chat)}, not a list of messages.")
    if not chat:
        raise InputError(f"{where} hold no messages.")
    for number, message in enumerate(chat):
        place = f"{where}, message {number}"
        if not isinstance(message, Mapping):
            raise InputError(f"{place} is {_kind(message)}, not an object with role and content.")
        if message.get("tool_calls") or message.get("function_call"):
            raise InputError(f"{place} calls a tool, which has no text; leave such chats out.")
        role = _given(message, "role", "from")
        if not isinstance(role, str) or not role:
            raise InputError(f"{place} has the role {shown(role)}; it must be text.")
        if role in ("tool", "function", "observation"):
            raise InputError(f"{place} is of a tool; leave such chats out.")
        content = _given(message, "content", "value")
        last = number == len(chat) - 1 and _ROLES.get(role, role) == _ASSISTANT
        yield _ROLES.get(role, role), _content(content, place, blank=last)


def _given(message: Mapping[str, Any], name: str, other: str) -> Any:
    """A field under either name: a table's rows have both, and null where one is not there."""
    value = message.get(name)
    return message.get(other) if value is None else value


def _content(content: Any, place: str, blank: bool) -> str:
    """A message's text; parts of a list are put together if all of them are text."""
    if isinstance(content, Sequence) and not isinstance(content, (str, bytes)):
        parts = []
        for part in content:
            if not isinstance(part, Mapping) or not isinstance(part.get("text"), str):
                kind = part.get("type") if isinstance(part, Mapping) else part
                raise InputError(
                    f"{place} holds a part that is no text ({shortened(shown(kind), 40)}); only "
                    "texts are scored, so leave such chats out."
                )
            parts.append(part["text"])
        content = "".join(parts)
    return _text(content, place, blank)


def _text(value: Any, where: str, blank: bool = False) -> str:
    if not isinstance(value, str):
        raise InputError(f"{where} is {_kind(value)}, not a text.")
    if not value.strip() and not blank:
        raise InputError(f"{where} is empty or only white space; leave that row out.")
    return value


def _kind(value: Any) -> str:
    return "missing" if value is None else f"of type {type(value).__name__}"
