"""Driver: which prompts are others put together - "A B" of "A" and "B", in whatever order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache


def parts_of(text: str, others: Mapping[str, str]) -> tuple[str, ...] | None:
    """The fewest of `others` whose words, one after another, are the words of `text`.

    Parameters
    ----------
    text
        A prompt; white space only separates words.
    others
        Prompts by name, `text` not among them. Each may be used once.

    Returns
    -------
    tuple of str, or None
        At least two names, in the order in which they stand; of several ways with as few, the one
        that begins with the longest part.
    """
    words = tuple(text.split())
    known = {name: tuple(other.split()) for name, other in others.items()}
    by_words: dict[tuple[str, ...], str] = {}
    for name, other in known.items():
        if 0 < len(other) < len(words):
            by_words.setdefault(other, name)
    lengths = sorted({len(other) for other in by_words}, reverse=True)

    @cache
    def best(start: int, used: frozenset[str]) -> tuple[str, ...] | None:
        if start == len(words):
            return ()
        found = None
        for length in lengths:
            name = by_words.get(words[start : start + length])
            if name is None or name in used:
                continue
            rest = best(start + length, used | {name})
            if rest is not None and (found is None or 1 + len(rest) < len(found)):
                found = (name, *rest)
        return found

    whole = best(0, frozenset())
    return whole if whole is not None and len(whole) > 1 else None


def composites(
    prompts: Sequence[tuple[str, str]], base: tuple[str, str] = ("", "")
) -> dict[tuple[str, str], tuple[tuple[str, str], ...]]:
    """Which prompts are others of the same list put together.

    Parameters
    ----------
    prompts
        Pairs of a system's message and a template, each "" where there is none of the user's.

    base
        The prompt that shifts are from. Its words in other white space are no part of another.

    Returns
    -------
    dict
        From a prompt to its parts: a message is the messages that it consists of, all under the
        template of `base`, because a sum of shifts to another template would hold that one's
        change once a part; from the model's own template without a message, a template with a
        message is the template alone and the message alone.
    """
    prompts = [p for p in prompts if (p[0].split(), p[1]) != (base[0].split(), base[1])]
    found: dict[tuple[str, str], tuple[tuple[str, str], ...]] = {}
    there = set(prompts)
    for system, template in dict.fromkeys(prompts):
        apart = ((system, ""), ("", template))
        if base == ("", "") and system and template and there.issuperset(apart):
            found[system, template] = apart
            continue
        if template != base[1]:
            continue
        others = {s: s for s, t in prompts if t == template and s and s.split() != system.split()}
        parts = parts_of(system, others) if system else None
        if parts:
            found[system, template] = tuple((part, template) for part in parts)
    return found
