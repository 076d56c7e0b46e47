"""Scoring (no torch here): which files of a directory belong to a tokenizer."""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase

VOCABULARIES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.json",
    "vocab.txt",
    "tekken.json",
    "*.model",
    "*.tiktoken",
)
"""Patterns of names of which a tokenizer has at least one."""
TOKENIZER_FILES = ("*token*.json", "*vocab*", "merges.txt", "*.py", *VOCABULARIES)
"""Patterns of all names that can change what a tokenizer gives; the code may be the model's own."""


def holds_tokenizer(names: Iterable[str]) -> bool:
    """Whether files of these names can make a tokenizer."""
    return any(matches(name, VOCABULARIES) for name in names)


def tokenizer_files(names: Iterable[str]) -> list[str]:
    """Those of some file names that can change what a tokenizer gives, sorted."""
    return sorted(name for name in names if matches(name, TOKENIZER_FILES))


def matches(name: str, patterns: Iterable[str]) -> bool:
    """Whether a file name matches one of the patterns."""
    return any(fnmatchcase(name, pattern) for pattern in patterns)
