"""Scoring: prompts and responses to tokens - the prompt's first, and the response's alone count."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from mlflow_modelmap.errors import InputError
from mlflow_modelmap.scoring.settings import ScoringSettings
from mlflow_modelmap.scoring.tokenizer.around import around_of, prefix_of
from mlflow_modelmap.scoring.tokenizer.byte_ends import ByteEnds
from mlflow_modelmap.scoring.tokenizer.load import encoded_by
from mlflow_modelmap.scoring.tokenizer.loss import loss
from mlflow_modelmap.scoring.tokenizer.templates import (
    Rendered,
    Template,
    left_out,
    template_of,
    with_system,
)
from mlflow_modelmap.texts.text_set import TextSet

_WHOLE = {
    "padding": False,
    "truncation": False,
    "return_attention_mask": False,
    "verbose": False,
}
_PLAIN = {**_WHOLE, "add_special_tokens": False}
_BEFORE = ("\n", ".", "a")
"""What a response is put behind where its prompt would change its tokens."""

OF_PROMPTS = ("template", "system_prompt", "end_of_turn")
"""Settings that say something of responses to prompts only."""


def check_of_prompts(texts: TextSet, settings: ScoringSettings) -> None:
    """Refuse settings that say something of prompts where there are none.

    Raises
    ------
    InputError
        If one is given with texts that stand for themselves.
    """
    given = sorted(set(settings.model_dump(exclude_defaults=True)) & {*OF_PROMPTS, "unconditional"})
    if given and texts.prompts is None:
        raise InputError(
            f"The texts {texts.name!r} are no responses to prompts, so that {' and '.join(given)} "
            f"{'say' if len(given) > 1 else 'says'} nothing of them; leave that out."
        )


@dataclass(frozen=True, eq=False)
class PromptTokens:
    """Tokens of prompts with their responses.

    Attributes
    ----------
    ids, ends
        As in `TokenizedTexts`; tokens of a prompt cover no bytes.
    firsts
        Index of the first token of each response, int64, shape (N,).
    bos_applied
        Whether every prompt begins with a BOS.
    facts, notices
        What is to be known of them.
    """

    ids: tuple[np.ndarray, ...]
    ends: tuple[np.ndarray, ...]
    firsts: np.ndarray
    bos_applied: bool
    facts: dict[str, int | float | str]
    notices: tuple[str, ...]


def tokenize_prompts(tokenizer: Any, texts: TextSet, settings: ScoringSettings) -> PromptTokens:
    """Tokens as at inference: the prompt through the template, then the response.

    The response's tokens are those that it has behind the prompt in one text, if the prompt's are
    not changed by it; else its tokens by itself, as a model would make them.

    Raises
    ------
    InputError
        If the template fails, or a response gives nothing to score.
    """
    assert texts.prompts is not None
    template = template_of(tokenizer, settings.template)
    around = around_of(tokenizer, partial(encoded_by, tokenizer), {**_WHOLE})
    own_prefix = prefix_of(tokenizer, settings.bos, around.before)
    ids, ends, firsts = [], [], []
    bodies = []
    counts: Counter[str] = Counter()
    covered = ByteEnds(tokenizer)
    for index, (prompt, response) in enumerate(zip(texts.prompts, texts.texts, strict=True)):
        where = f"text {index} of {texts.name!r}"
        prompt = with_system(prompt, settings.system_prompt, where)
        made = template.render(tokenizer, prompt, response, where)
        counts.update(f"drops {role}" for role in set(left_out(prompt, made.head)))
        counts["altered"] += made.altered
        written = _encoded(tokenizer, made.head)
        head = _with_bos(tokenizer, written, own_prefix, template, settings.bos)
        own, merged = _response_tokens(tokenizer, made, written, response, settings, covered)
        counts["merged"] += merged
        end = _end_of_turn(tokenizer, made, settings)
        counts["ended"] += bool(end)
        if not head:
            raise InputError(
                f"The prompt of {where} gives no token, so that nothing comes before the response; "
                "score with bos=always, or with a template."
            )
        if not own:
            raise InputError(f"The response of {where} gives no token to score; leave it out.")
        body = np.array([*own, *end], dtype=np.int64)
        reached = _reached(covered, tokenizer, made.between, response, own)
        size = len(response.encode("utf-8"))
        ids.append(np.concatenate([np.array(head, dtype=np.int64), body]))
        ends.append(
            np.concatenate([np.zeros(len(head)), reached, np.full(len(end), size)]).astype(np.int64)
        )
        bodies.append((np.array(own, dtype=np.int64), reached))
        firsts.append(len(head))
    lost = loss(tokenizer, texts, [own for own, _ in bodies], [r for _, r in bodies], 0)
    lost.check(settings.unspelled, texts.name)
    if settings.end_of_turn and counts["ended"] < len(texts):
        raise InputError(
            f"{len(texts) - counts['ended']} of {len(texts)} responses have no end of their turn "
            "to score: the template shows none, and there is no EOS token; leave end_of_turn out."
        )
    bos = tokenizer.bos_token_id
    facts: dict[str, int | float | str] = {
        "template_applied": template.name,
        "bos_applied": "",
        "prompt_tokens": int(sum(firsts)),
        **({"template_merged": counts["merged"]} if counts["merged"] else {}),
        **lost.facts(),
    }
    dated = template.source is not None and "strftime_now" in template.source
    if dated:
        facts["template_date"] = time.strftime("%Y-%m-%d")
    return PromptTokens(
        tuple(ids),
        tuple(ends),
        np.array(firsts, dtype=np.int64),
        bos is not None and all(row[0] == bos for row in ids),
        facts,
        (*_notices(counts, len(texts), dated), *lost.notices()),
    )


def _notices(counts: Counter[str], texts: int, dated: bool) -> list[str]:
    said = [
        f"The chat template does not show the {what.removeprefix('drops ')}'s message as it is in "
        f"{count:,} of {texts:,} prompts."
        for what, count in sorted(counts.items())
        if what.startswith("drops ")
    ]
    if counts["altered"]:
        said.append(
            f"The chat template writes {counts['altered']:,} of {texts:,} responses otherwise once "
            "they stand in a chat (white space, or a part for thoughts); they are scored as they "
            "are, behind their prompts."
        )
    if dated:
        said.append(
            "The chat template writes today's date into prompts, so that values change from day "
            "to day; give one with a fixed date (--template FILE) to compare with later scores."
        )
    return said


def _encoded(tokenizer: Any, text: str, **options: Any) -> list[int]:
    """Tokens of a text: what a template wrote as special tokens is special."""
    if not text:
        return []
    return list(encoded_by(tokenizer, text, **_PLAIN, **options)["input_ids"])


def _with_bos(
    tokenizer: Any, head: list[int], prefix: list[int], template: Template, policy: str
) -> list[int]:
    """A prompt with the BOS that it is to have, never twice: a template's own counts."""
    bos = tokenizer.bos_token_id
    has = bool(head) and head[0] == bos
    if policy == "never":
        while head and head[0] == bos:  # a template may put more than one
            head = head[1:]
        return head
    if has or (template.source is not None and policy != "always"):
        return head
    return [*prefix, *head]


def _response_tokens(
    tokenizer: Any,
    made: Rendered,
    head: list[int],
    response: str,
    settings: ScoringSettings,
    covered: ByteEnds,
) -> tuple[list[int], bool]:
    """The response's tokens behind those of its prompt's text, and whether they would merge."""
    body = made.between + response
    special = {"split_special_tokens": settings.split_special_tokens}
    alone = _encoded(tokenizer, body, **special)
    joint = _encoded(tokenizer, made.head + body)
    merged = joint[: len(head)] != head
    splits = settings.split_special_tokens and alone != _encoded(tokenizer, body)
    if not merged and not splits:
        return joint[len(head) :], False
    if covered.adds_space(body, alone):  # SentencePiece, at the beginning of a text
        for before in _BEFORE:
            start = _encoded(tokenizer, before)
            behind = _encoded(tokenizer, before + body, **special)
            if (
                behind[: len(start)] == start
                and covered.of_part(body, behind[len(start) :]) is not None
            ):
                return behind[len(start) :], merged
    return alone, merged


def _end_of_turn(tokenizer: Any, made: Rendered, settings: ScoringSettings) -> list[int]:
    """The token that ends the response's turn, where it is to be scored."""
    if not settings.end_of_turn:
        return []
    # Some tokenizers have runs of white space among the tokens that were added.
    added = {token for token, of in tokenizer.added_tokens_decoder.items() if str(of).strip()}
    special = set(tokenizer.all_special_ids) | added
    found = _encoded(tokenizer, made.after)
    ends = [int(token) for token in found if token in special][:1]
    if not ends and tokenizer.eos_token_id is not None:
        ends = [int(tokenizer.eos_token_id)]
    return ends


def _reached(
    covered: ByteEnds, tokenizer: Any, between: str, response: str, own: list[int]
) -> np.ndarray:
    """Bytes of the response that its first tokens cover, of the length of `own`."""
    encoded = encoded_by(tokenizer, response, **_PLAIN)
    reached = covered.of(
        response, encoded["input_ids"], encoded.encodings[0] if tokenizer.is_fast else None
    )
    if list(encoded["input_ids"]) == own:
        return np.asarray(reached, dtype=np.int64)
    behind = covered.of_part(between + response, own)
    if behind is not None:  # white space before it, or another beginning
        return np.maximum(behind - len(between.encode("utf-8")), 0)
    # Its tokens do not spell it (a tokenizer that rewrites text): in equal shares.
    size = len(response.encode("utf-8"))
    return np.arange(1, len(own) + 1, dtype=np.int64) * size // len(own)
