"""Texts: the documentation that ships with Python, so that a first map needs no download."""

from __future__ import annotations

import hashlib
import inspect
import os
import platform
import re
import sysconfig
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from mlflow_modelmap.errors import InputError
from mlflow_modelmap.texts.chunk import DEFAULT_BYTES, chunk
from mlflow_modelmap.texts.sample import sample
from mlflow_modelmap.texts.sources.record import Record
from mlflow_modelmap.texts.sources.source import Source
from mlflow_modelmap.texts.text_set import TextSet

NAME = "python-docs"
# One document in so many is held out of the training corpus, to be scored.
_HELD_OUT = 4
_SHORTEST = DEFAULT_BYTES * 3 // 4
_TELLING_LINE = 60
# Tests, vendored packages and what differs from one build of the same Python to another.
_LEFT_OUT = frozenset(
    {
        "__pycache__",
        "_bootstrap",
        "_bundled",
        "dist-packages",
        "ensurepip",
        "idle_test",
        "idlelib",
        "lib-dynload",
        "lib2to3",
        "pydoc_data",
        "site-packages",
        "test",
        "tests",
        "turtledemo",
    }
)
# The string that stands first in a module, class or function: a hundred times faster than `ast`.
_DOCSTRING = re.compile(
    r"""(?:\A(?:[ \t]*(?:\#[^\n]*)?\n)*|:[ \t]*(?:\#[^\n]*)?\n)[ \t]*[rRuU]?(\"{3}|'{3})(.*?)\1""",
    re.DOTALL,
)


def python_docs(size: int | None = None, seed: int = 0) -> TextSet:
    """The held-out part of Python's documentation, in chunks of 768 to 1,024 bytes.

    Parameters
    ----------
    size
        How many texts, chosen by `seed`; all of them (some hundreds) if None.

    Returns
    -------
    TextSet
        The same for the same Python version; its domains are ``reference`` (the language
        reference behind ``help()``) and ``library`` (the standard library's docstrings); its
        documents are the topics of the one and the modules of the other.
    """
    # Some topics and modules repeat others' paragraphs: such a text would be scored as trained on.
    trained = {line for text in python_docs_corpus() for line in _telling_lines(text)}
    texts: dict[str, str] = {}
    for name, document in _documents().items():
        if _is_held_out(name):
            for piece in chunk(document, DEFAULT_BYTES):
                long_enough = len(piece.encode("utf-8")) >= _SHORTEST and piece.strip()
                if long_enough and trained.isdisjoint(_telling_lines(piece)):
                    texts.setdefault(piece, name)
    whole = TextSet(
        f"{NAME}-{platform.python_version()}",
        tuple(texts),
        tuple(name.partition("/")[0] for name in texts.values()),
        documents=tuple(texts.values()),
    )
    return whole if size is None else sample(whole, size, seed)


def python_docs_corpus() -> list[str]:
    """The documents to train on: none of them has a part in `python_docs`."""
    return [text for name, text in _documents().items() if not _is_held_out(name)]


def parse_python_docs(source: str) -> TextSet | None:
    """The text set that ``python-docs`` or ``python-docs:SIZE`` names, or None for any other.

    Raises
    ------
    InputError
        If what follows the colon is no number, or above the number of texts.
    """
    word, colon, size = source.partition(":")
    if word != NAME:
        return None
    if colon and not size.isdecimal():
        raise InputError(f"{source!r} names no number of texts; write {NAME} or, say, {NAME}:200.")
    return python_docs(int(size) if colon else None)


def _records(written: str, column: str, domain_column: str | None, turns: str) -> Iterator[Record]:
    """The texts by number; they have no columns to choose from."""
    text_set = parse_python_docs(written)
    assert text_set is not None
    assert text_set.domains is not None
    assert text_set.documents is not None
    held = zip(text_set.texts, text_set.domains, text_set.documents, strict=True)
    for index, (text, domain, document) in enumerate(held):
        yield Record(text, f"{written}, text {index}", domain, document=document)


def _name(written: str) -> str:
    text_set = parse_python_docs(written)
    assert text_set is not None
    return text_set.name


SOURCE = Source(
    takes=lambda written: written.partition(":")[0] == NAME,
    records=_records,
    is_raw=lambda written: False,
    name=_name,
)


def _telling_lines(text: str) -> list[str]:
    """The lines long enough that two documents share them only by repeating each other."""
    stripped = (line.strip() for line in text.splitlines())
    return [line for line in stripped if len(line) >= _TELLING_LINE]


def _is_held_out(name: str) -> bool:
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") % _HELD_OUT == 0


@cache
def _documents() -> dict[str, str]:
    """Each topic of the reference and each module's docstrings, by name, in order of names."""
    try:
        from pydoc_data.topics import topics
    except ImportError:
        raise InputError(
            "This Python comes without its documentation (pydoc_data); install it, or give a text "
            "file instead of python-docs."
        ) from None
    documents = {f"reference/{name}": text for name, text in topics.items()}
    root = Path(sysconfig.get_path("stdlib"))
    for path in _modules(root):
        found = _DOCSTRING.findall(path.read_text(encoding="utf-8", errors="replace"))
        text = "\n\n".join(inspect.cleandoc(docstring) for _, docstring in found)
        if text.strip():
            documents[f"library/{path.relative_to(root).as_posix()}"] = text
    return dict(sorted(documents.items()))


def held_out_modules() -> Iterator[tuple[str, str]]:
    """Names and sources of the library's modules that `python_docs` scores, in order of names."""
    root = Path(sysconfig.get_path("stdlib"))
    for path in _modules(root):
        within = path.relative_to(root)
        if _is_held_out(f"library/{within.as_posix()}"):
            parts = within.with_suffix("").parts
            name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
            yield name, path.read_text(encoding="utf-8", errors="replace")


def _modules(root: Path) -> list[Path]:
    found = []
    for folder, folders, names in os.walk(root):
        folders[:] = [
            name for name in folders if name not in _LEFT_OUT and not name.startswith("config-")
        ]
        found += [
            Path(folder, name)
            for name in names
            if name.endswith(".py") and not name.startswith("_sysconfigdata")
        ]
    return sorted(found)
