"""Texts: questions about Python's standard library, answered by its own docstrings; no download."""

from __future__ import annotations

import ast
import inspect
import platform
import re
from collections.abc import Iterator
from functools import cache

from mlflow_modelmap.errors import InputError
from mlflow_modelmap.texts.prompt import document_of
from mlflow_modelmap.texts.sample import sampled
from mlflow_modelmap.texts.sources.python_docs import held_out_modules
from mlflow_modelmap.texts.sources.record import Record
from mlflow_modelmap.texts.sources.source import Source

NAME = "python-qa"
_SHORTEST, _LONGEST = 60, 600
"""UTF-8 bytes of an answer."""


@cache
def _pairs() -> tuple[Record, ...]:
    """A question for each public class and function of the modules that `python_docs` holds out."""
    found: dict[str, Record] = {}
    for module, source in held_out_modules():
        try:
            tree = ast.parse(source)
        except (SyntaxError, ValueError):
            continue
        for name, kind, answer in _documented(tree.body):
            size = len(answer.encode("utf-8", "replace"))
            if not _SHORTEST <= size <= _LONGEST or answer in found:
                continue
            verb = "is" if kind == "class" else "does"
            rest = "for" if kind == "class" else "do"
            prompt = f"What {verb} `{module}.{name}` {rest} in Python?"
            found[answer] = Record(
                answer,
                f"{NAME}, {module}.{name}",
                kind,
                document=document_of(prompt),
                prompt=prompt,
            )
    if not found:
        raise InputError(
            "This Python comes without the sources of its library; give a file of prompts and "
            f"responses instead of {NAME}."
        )
    return tuple(found.values())


def _documented(body: list[ast.stmt], within: str = "") -> Iterator[tuple[str, str, str]]:
    """Names, kinds and first paragraphs of public classes, functions and methods."""
    for node in body:
        if not isinstance(node, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            continue
        if node.name.startswith("_"):
            continue
        docstring = ast.get_docstring(node, clean=False)
        name = f"{within}{node.name}"
        if docstring:
            paragraph = inspect.cleandoc(docstring).partition("\n\n")[0]
            kind = "class" if isinstance(node, ast.ClassDef) else "function"
            yield name, kind, re.sub(r"\s+", " ", paragraph).strip()
        if isinstance(node, ast.ClassDef):
            yield from _documented(node.body, f"{name}.")


def _chosen(written: str) -> list[Record]:
    _, colon, size = written.partition(":")
    if colon and not size.isdecimal():
        raise InputError(f"{written!r} names no number of pairs; write {NAME} or, say, {NAME}:200.")
    pairs = list(_pairs())
    return [pairs[i] for i in sampled([p.key for p in pairs], int(size), 0)] if colon else pairs


SOURCE = Source(
    takes=lambda written: written.partition(":")[0] == NAME,
    records=lambda written, column, domain, turns: iter(_chosen(written)),
    is_raw=lambda written: False,
    name=lambda written: f"{NAME}-{platform.python_version()}",
)
