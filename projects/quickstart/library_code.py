"""Other text that ships with Python: the code of its standard library, without its docstrings."""

from __future__ import annotations

import ast
import sysconfig
from pathlib import Path

PACKAGES = ("asyncio", "collections", "concurrent", "email", "http", "importlib", "json", "logging")


def library_code() -> list[str]:
    """Modules as plain code. Docstrings go, since the texts that are scored come from them."""
    root = Path(sysconfig.get_path("stdlib"))
    return [
        without_docstrings(path.read_text(encoding="utf-8"))
        for package in PACKAGES
        for path in sorted((root / package).glob("*.py"))
    ]


def without_docstrings(source: str) -> str:
    """The code alone; comments go as well."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        match node:
            case ast.Module() | ast.ClassDef() | ast.FunctionDef() | ast.AsyncFunctionDef():
                if ast.get_docstring(node, clean=False) is not None:
                    node.body = node.body[1:] or [ast.Pass()]
    return ast.unparse(tree)
