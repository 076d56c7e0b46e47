"""Surface: the options of every command that can compare models exactly."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlflow_modelmap.surfaces.cli.options import Function, comma_separated, option, texts_option

if TYPE_CHECKING:
    from mlflow_modelmap.drivers.exact.exact import ExactOptions

EXACT = "Exact comparison"


def exact_options(function: Function) -> Function:
    """``--exact`` and how; the command receives ``exact`` and what `options_of` takes."""
    for declared in reversed(
        (
            option(
                "--exact",
                is_flag=True,
                group=EXACT,
                help="Run the models again, and compare their next-token distributions token by "
                "token; they must share a vocabulary.",
            ),
            texts_option,
            option(
                "--exact-texts",
                type=int,
                help="How many of them, evenly spread; by default all, up to 4 GiB of a temporary "
                "file.",
                group=EXACT,
            ),
            option(
                "--device",
                default="auto",
                show_default=True,
                group=EXACT,
                help="Where the models run: auto, cpu, cuda, cuda:1, mps.",
            ),
            option(
                "--device-map",
                group=EXACT,
                help="Passed on to transformers, for models larger than one device.",
            ),
            option(
                "--trust-code-of",
                multiple=True,
                callback=comma_separated,
                metavar="MODEL",
                group=EXACT,
                help="Run code that comes with this model, named as it was scored. Repeatable.",
            ),
        )
    ):
        function = declared(function)
    return function


def options_of(values: dict[str, Any]) -> ExactOptions:
    """Take what `exact_options` gave out of a command's values."""
    from mlflow_modelmap.drivers.exact.exact import ExactOptions

    return ExactOptions(
        texts=values["texts"],
        count=values.pop("exact_texts"),
        device=values.pop("device"),
        device_map=values.pop("device_map"),
        trusted_code=tuple(values.pop("trust_code_of")),
    )
