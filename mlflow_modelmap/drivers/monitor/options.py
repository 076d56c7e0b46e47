"""Driver: the options of `Monitor` as types, for the callbacks that pass them on."""

from __future__ import annotations

from typing import Any, TypedDict


class MonitorOptions(TypedDict, total=False):
    """What `Monitor` takes beside texts and tokenizer; its docstring says what each does."""

    reference: str | None
    exact: bool
    exact_texts: int | None
    curves: str
    trajectory: str | None
    base_model: str | None
    warm_up: int | None
    window: int
    run_id: str | None
    name: str | None
    experiment: str | None
    start_run: bool
    raise_errors: bool
    batch_tokens: int | None
    bos: str
    template: str
    system_prompt: str | None
    end_of_turn: bool
    overlong: str
    window_tokens: int | None
    stride: int | None
    split_special_tokens: bool


class MonitorOptionsWithTokenizer(MonitorOptions, total=False):
    """The same, with a tokenizer in place of the trainer's own."""

    tokenizer: Any
