"""Scoring (no torch): values of the right kind or a sentence - for settings, plans and the like."""

from __future__ import annotations

import numbers
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    ValidationError,
)

from mlflow_modelmap.errors import InputError
from mlflow_modelmap.words.near import perhaps
from mlflow_modelmap.words.shown import shown


def _own_integer(value: Any) -> Any:
    """A whole number of numpy's as one of Python's; anything else as it is."""
    whole = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    return int(value) if whole else value


Text = Annotated[str, Field(min_length=1)]
Whole = Annotated[int, BeforeValidator(_own_integer)]
Step = Annotated[Whole, Field(ge=0, lt=2**63)]


@dataclass(frozen=True)
class OneOf:
    """In ``Annotated[str, OneOf(...)]``: the only values that there are."""

    choices: tuple[str, ...]

    def __get_pydantic_core_schema__(self, _: Any, handler: GetCoreSchemaHandler) -> Any:
        return handler.generate_schema(Literal[self.choices])


UNKNOWN = ("extra_forbidden", "invalid_key")
NOT_A_CHOICE = "literal_error"
_MUST = {
    "bool_type": "be true or false",
    "int_type": "be a whole number",
    "float_type": "be a number",
    "finite_number": "be finite",
    "string_type": "be text",
    "string_too_short": "say something, or be left out",
}


class Strict(BaseModel):
    """Nothing is converted (``"3"`` is no number), and a name that is not known is refused."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class Checked(Strict):
    """As `Strict`; what is wrong is an `InputError` of one sentence.

    Raises
    ------
    InputError
        If a value is of the wrong kind or out of range, or a name is not known.
    """

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise InputError(sentence(error, type(self).__name__, type(self))) from None


def worst(error: ValidationError) -> Any:
    """Of all that pydantic found wrong, what to say first: an unknown name, else the first."""
    problems = error.errors(include_url=False)
    return next((problem for problem in problems if problem["type"] in UNKNOWN), problems[0])


def sentence(error: ValidationError, what: str, model: type[BaseModel]) -> str:
    """What is wrong with the values of a flat model, as one sentence.

    Parameters
    ----------
    what
        Whose values they are.
    """
    problem = worst(error)
    name = str(problem["loc"][-1])
    if problem["type"] in UNKNOWN:
        meant = perhaps(name, model.model_fields)
        return f"{what} knows no {name!r}; it takes {', '.join(model.model_fields)}{meant}."
    return value_sentence(name, problem)


def value_sentence(name: str, problem: Any) -> str:
    """A value that is wrong, and what would be right."""
    if problem["type"] == NOT_A_CHOICE:
        choices = problem["ctx"]["expected"].replace("'", "").replace(" or ", ", ")
        meant = perhaps(problem["input"], choices.split(", "))
        return f"Unknown {name} {shown(problem['input'])}; choose one of {choices}{meant}."
    return f"{name} is {shown(problem['input'])}; {remedy(problem)}."


def remedy(problem: Any) -> str:
    """What would be right, as the second half of a sentence."""
    kind = problem["type"]
    if kind == "greater_than_equal":
        return f"it must be {problem['ctx']['ge']:g} or more"
    if kind in _MUST:
        return f"it must {_MUST[kind]}"
    message = str(problem["msg"])
    return message[0].lower() + message[1:]
