"""Tracking: which runs a study was asked for, as it is recorded on the study and read back."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from mlflow_modelmap.errors import InputError
from mlflow_modelmap.tracking import schema
from mlflow_modelmap.words.near import perhaps
from mlflow_modelmap.words.vectors import CONDITIONAL, VECTORS


@dataclass(frozen=True)
class Selection:
    """What `select_runs` was asked for; make one with `Selection.of`.

    Attributes
    ----------
    experiments
        Experiment names.
    filter
        MLflow filter string, or None.
    run_ids
        Runs named one by one.
    texts
        Digest of the text set that was chosen, or None.
    vector
        Which of their vectors: see `words.vectors.VECTORS`.

    Raises
    ------
    InputError
        If there is no such vector.
    """

    experiments: tuple[str, ...] = ()
    filter: str | None = None
    run_ids: tuple[str, ...] = ()
    texts: str | None = None
    vector: str = CONDITIONAL

    def __post_init__(self) -> None:
        check_vector(self.vector)

    @classmethod
    def of(
        cls,
        experiments: Iterable[str] = (),
        filter: str | None = None,
        run_ids: Iterable[str] = (),
        vector: str = CONDITIONAL,
    ) -> Selection:
        """From whatever a user gave, generators too, which can be gone through only once."""
        return cls(tuple(experiments), filter or None, tuple(run_ids), vector=vector)

    def __bool__(self) -> bool:
        """Whether anything was asked for."""
        return bool(self.experiments or self.filter or self.run_ids)

    def as_params(self) -> dict[str, object]:
        """As params of a study."""
        return {
            schema.PARAM_EXPERIMENTS: list(self.experiments),
            schema.PARAM_FILTER: self.filter or "",
            schema.PARAM_RUN_IDS: list(self.run_ids),
            **({} if self.texts is None else {schema.PARAM_TEXTS: self.texts}),
            **vector_param(self.vector),
        }


def check_vector(vector: str) -> None:
    """Refuse a vector that there is not.

    Raises
    ------
    InputError
        It lists those that there are.
    """
    if vector not in VECTORS:
        raise InputError(
            f"The vector {vector!r} is unknown; choose one of {', '.join(VECTORS)}"
            f"{perhaps(vector, VECTORS)}."
        )


def vector_param(vector: str) -> dict[str, str]:
    """Which vectors a study is of, as a param; the conditional ones leave no trace."""
    return {} if vector == CONDITIONAL else {schema.PARAM_VECTOR_KIND: vector}


def vector_in(params: Mapping[str, str]) -> str:
    """Which vectors the params of a study say it is of."""
    said = params.get(schema.PARAM_VECTOR_KIND, CONDITIONAL)
    return said if said in VECTORS else CONDITIONAL


def selection_in(params: Mapping[str, str]) -> Selection | None:
    """What the params of a study record; None where they record nothing of it."""
    names = (schema.PARAM_EXPERIMENTS, schema.PARAM_FILTER, schema.PARAM_RUN_IDS)
    experiments, filter, run_ids = map(params.get, names)
    if experiments is None and filter is None and run_ids is None:
        return None
    return Selection(
        list_in(experiments),
        filter or None,
        list_in(run_ids),
        params.get(schema.PARAM_TEXTS),
        vector_in(params),
    )


def list_in(param: str | None) -> tuple[str, ...]:
    """The texts in a param that holds a JSON list; what is none counts as one text."""
    if not param:
        return ()
    try:
        written = json.loads(param)
    except (ValueError, RecursionError):
        return (param,)
    flat = isinstance(written, list) and not any(isinstance(of, list | dict) for of in written)
    return tuple(map(str, written)) if flat else (param,)
