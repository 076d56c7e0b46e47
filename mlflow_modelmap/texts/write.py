"""Texts: write a text set as JSONL or as a JSON list, the two formats of the authors' releases."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any

from mlflow_modelmap.errors import InputError
from mlflow_modelmap.texts.prompt import messages_of
from mlflow_modelmap.texts.text_set import TextSet


def check_output(path: str | os.PathLike[str]) -> Path:
    """The path to write to; an InputError if its ending names neither format."""
    out = Path(path).expanduser()
    if out.suffix.lower() not in (".jsonl", ".json") or os.path.isdir(out):
        raise InputError(
            f"A text set is written as .jsonl (or as a .json list), not as {str(out)!r}; give a "
            "file name that ends so."
        )
    return out


def write_texts(text_set: TextSet, path: str | os.PathLike[str]) -> Path:
    """Write a text set, whole or not at all; what is read back has the same digest.

    Parameters
    ----------
    path
        ``.jsonl``: an object with ``text`` (or ``prompt`` and ``response``, or ``messages``) and,
        where there are some, ``domain``, ``weight`` and ``document`` a line. ``.json``: a list of
        strings, which has no room for prompts, domains and weights, and loses which document a text
        comes from.

    Returns
    -------
    Path
        Where it was written.

    Raises
    ------
    InputError
        If the ending is neither, a list has no room for domains or weights, or writing fails.
    """
    out = check_output(path)
    domains, weights, documents = text_set.domains, text_set.weights, text_set.documents
    if out.suffix.lower() == ".json":
        if domains is not None or weights is not None or text_set.prompts is not None:
            raise InputError(
                f"A JSON list of strings has no room for the prompts, domains or weights of "
                f"{text_set.name!r}; write to .jsonl."
            )
        content = json.dumps(text_set.texts, ensure_ascii=False, indent=0) + "\n"
    else:
        lines = []
        for index, text in enumerate(text_set.texts):
            line = _text_of(text_set, index, text)
            if domains is not None:
                line["domain"] = domains[index]
            if weights is not None:
                line["weight"] = weights[index]
            document = None if documents is None else documents[index]
            if document is not None:
                line["document"] = document
            lines.append(json.dumps(line, ensure_ascii=False) + "\n")
        content = "".join(lines)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        handle, unfinished = tempfile.mkstemp(prefix=f".{out.name}.", dir=out.parent)
        try:
            with open(handle, "w", encoding="utf-8", newline="\n") as file:
                file.write(content)
            os.chmod(unfinished, 0o666 & ~_umask())
            os.replace(unfinished, out)
        except BaseException:
            os.unlink(unfinished)
            raise
    except (OSError, ValueError) as error:  # a name with a NUL is a ValueError
        why = getattr(error, "strerror", None) or error
        raise InputError(
            f"{str(out)!r} cannot be written ({why}); give a file in a folder that you may "
            "write to."
        ) from None
    return out


def _text_of(text_set: TextSet, index: int, text: str) -> dict[str, Any]:
    """A text as a row: by itself, or with its prompt as `read_texts` takes them."""
    if text_set.prompts is None:
        return {"text": text}
    prompt = text_set.prompts[index]
    if isinstance(prompt, str):
        return {"prompt": prompt, "response": text}
    return {"messages": [*messages_of(prompt), {"role": "assistant", "content": text}]}


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
