"""MLproject: its entry points declare what the commands take, with the same defaults."""

from __future__ import annotations

import contextlib
import re
import shlex
from pathlib import Path

import click
import pytest
import yaml

from mlflow_modelmap.drivers.score.request import PointFields
from mlflow_modelmap.scoring.settings import ScoringSettings
from mlflow_modelmap.surfaces.cli import cli

ROOT = Path(__file__).parent.parent.parent
ENTRIES = yaml.safe_load((ROOT / "MLproject").read_text(encoding="utf-8"))["entry_points"]
# MLflow has these itself: the run and its experiment are what `mlflow run` makes, and it shows how
# far a run is.
OF_MLFLOW = {"quiet", "json_", "tracking_uri", "status", "output_experiment"}
INTO = ("score", "sweep", "gate", "import")
"""Commands whose `--experiment` is where they log, not what they gather."""
OTHERWISE = {"experiment": "experiments", "as": "made_as"}
"""Parameters by the option that they are called otherwise than."""


def command_of(entry: str) -> click.Command:
    found = cli.get_command(click.Context(cli), entry)
    assert found is not None
    return found


def declared(entry: str) -> dict[str, str | None]:
    """Default by parameter; None for one that must be given."""
    parameters = ENTRIES[entry]["parameters"]
    return {k: None if isinstance(v, str) else v["default"] for k, v in parameters.items()}


def written(default: object) -> str:
    """A default as an MLproject writes it."""
    return (
        str(default).lower()
        if isinstance(default, bool)
        else ""
        if default is None
        else str(default)
    )


def same(first: str, second: str) -> bool:
    """Whether two defaults are one, as words or as numbers."""
    with contextlib.suppress(ValueError):
        return float(first) == float(second)
    return first == second


def own_default(parameter: click.Parameter) -> object:
    """An option's default; whatever click calls none is None, and a flag's is False."""
    default = parameter.default
    unset = False if getattr(parameter, "is_flag", False) else None
    return default if isinstance(default, (str, int, float)) else unset


def taken(entry: str) -> dict[str, click.Parameter]:
    """Parameters of the command by name; flags without their hidden twins."""
    return {
        p.name: p
        for p in command_of(entry).params
        if p.name is not None and not getattr(p, "hidden", False)
    }


@pytest.mark.parametrize("entry", ["score", "gate", "lineage"])
def test_every_setting_is_declared_with_its_default(entry):
    parameters = declared(entry)
    for name, parameter in taken(entry).items():
        if name in ScoringSettings.model_fields:
            assert parameters[name] == written(ScoringSettings.model_fields[name].default), name
            assert parameters[name] == written(own_default(parameter)), name
    missing = set(ScoringSettings.model_fields) - set(parameters)
    assert missing == ({"layers", "safetensors_only"} if entry == "gate" else set())


def test_what_a_run_says_of_its_model_is_declared_by_score():
    assert set(PointFields.model_fields) <= set(taken("score")) & set(declared("score"))


@pytest.mark.parametrize("entry", list(ENTRIES))
def test_an_entry_point_takes_what_its_command_takes(entry):
    parameters = {}
    for name, parameter in taken(entry).items():
        spelled = parameter.opts[0].lstrip("-").replace("-", "_")
        if name not in OF_MLFLOW and not (entry in INTO and name in ("experiment", "run_id")):
            parameters[OTHERWISE.get(spelled, spelled)] = parameter
    assert set(declared(entry)) == set(parameters)
    for name, parameter in parameters.items():
        default = declared(entry)[name]
        of_sweep = entry == "sweep" and name == "plan"  # --status needs no plan
        assert (default is None) == (parameter.required or of_sweep), name
        assert default is None or same(default, written(own_default(parameter))), name


@pytest.mark.parametrize("entry", list(ENTRIES))
def test_every_parameter_is_handed_to_an_option_that_there_is(entry):
    command = ENTRIES[entry]["command"]
    assert set(re.findall(r"\{(\w+)\}", command)) == set(declared(entry))
    options = {flag for p in command_of(entry).params for flag in p.opts}
    assert set(re.findall(r" (--[\w-]+)", command)) <= options


@pytest.mark.parametrize("study", ["pretraining", "quantization", "layers", "fine_tuning"])
def test_a_study_is_scored_by_whatever_a_sweep_can_be(study):
    written = (ROOT / "projects" / study / "MLproject").read_text(encoding="utf-8")
    main = yaml.safe_load(written)["entry_points"]["main"]
    # A part of its plan would be no study, and the rest is what a study always does.
    wanted = set(declared("sweep")) - {"shard", "again", "dry_run", "plan", "texts"}
    assert wanted <= set(main["parameters"])
    for name in wanted:
        assert f"--{name.replace('_', '-')} {{{name}}}" in " ".join(main["command"].split()), name


def asked_of_us() -> list[tuple[str, str]]:
    """The arguments of every call in every MLproject that has a positional, and whose they are."""
    found = [
        (path.parent.name, arguments)
        for path in (ROOT / "MLproject", *sorted(ROOT.glob("projects/*/MLproject")))
        for entry in yaml.safe_load(path.read_text(encoding="utf-8"))["entry_points"].values()
        for arguments in re.findall(
            r"python -m mlflow_modelmap (.+?)(?:\)|;|&&|$)", " ".join(entry["command"].split())
        )
    ]
    return [(project, asked) for project, asked in found if positionals(asked.split()[0])]


def positionals(command: str) -> list[str | None]:
    return [p.name for p in command_of(command).params if isinstance(p, click.Argument)]


@pytest.mark.parametrize(("project", "arguments"), asked_of_us())
def test_a_value_that_reads_like_an_option_is_still_a_value(project, arguments):
    command, *given = shlex.split(arguments)
    names = positionals(command)
    values = ["--help" if a.strip("{}") in names else "1" if "{" in a else a for a in given]
    with command_of(command).make_context(command, values) as context:
        assert [context.params[name] for name in names] == ["--help"] * len(names)
