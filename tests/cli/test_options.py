"""What all commands share: defaults that are shown, values that were meant, one experiment."""

from __future__ import annotations

import inspect
from collections.abc import Iterator

import click
import pytest

from mlflow_modelmap.scoring.settings import ScoringSettings
from mlflow_modelmap.surfaces.cli import cli, main
from mlflow_modelmap.surfaces.cli.options import settings_options


def call(capfd, *arguments):
    """Run the command line: its exit code, stdout and stderr."""
    capfd.readouterr()
    with pytest.raises(SystemExit) as stopped:
        main([str(argument) for argument in arguments])
    out, err = capfd.readouterr()
    return stopped.value.code, out, err


def commands(group: click.Group = cli, path: tuple[str, ...] = ()) -> Iterator[click.Command]:
    """Every command that does something."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))
        elif command is not None:
            yield command


@pytest.mark.parametrize("command", commands(), ids=lambda command: command.name)
def test_every_default_stands_in_the_help(command):
    for option in command.params:
        if isinstance(option, click.Option) and not option.hidden and not option.is_flag:
            given = isinstance(option.default, (str, int, float))
            assert option.show_default or not given, (command.name, option.opts)


def test_experiments_that_are_read_can_be_several_and_the_one_that_is_written_cannot(capfd):
    for command in commands():
        options = {flag: o for o in command.params for flag in o.opts}
        reads = options.get("--experiment")
        if reads is not None and reads.name == "experiments":
            with command.make_context(
                command.name, ["--experiment=a", "--experiment=b,c"], None, resilient_parsing=True
            ) as context:
                assert context.params["experiments"] == ("a", "b", "c")
    code, _, err = call(capfd, "score", "m", "--texts", "t", "--experiment", "a", "--experiment=b")
    assert code == 2
    assert "'a', 'b' are several; give one." in err


@pytest.mark.parametrize(
    ("arguments", "meant"),
    [
        (["scor", "m"], "'score'"),
        (["map", "--colour-by", "modeltype"], "'model_type'"),
        (["texts", "build", "x", "-o", "y.jsonl", "--duplicates", "dropp"], "'drop'"),
        (["compare", "a", "b", "--vector", "pmii"], "'pmi'"),
        (["score", "m", "--texts", "python-docs:2", "--precision", "bflot16"], "'bfloat16'"),
    ],
)
def test_a_value_that_is_nearly_right_is_told_what_may_be_meant(store, capfd, arguments, meant):
    code, _, err = call(capfd, *arguments)
    assert code in (1, 2)
    assert f"id you mean {meant}?" in " ".join(err.split())


def test_a_word_that_is_no_directory_is_told_of_before_the_hub_is_asked(
    store, tmp_path, capfd, monkeypatch
):
    text_file = tmp_path / "texts.jsonl"
    text_file.write_text('{"text": "The first text."}\n{"text": "And the second one."}\n')

    def fetched(*_: object) -> None:
        assert "There is no directory 'plain-word' here" in capfd.readouterr().err
        raise OSError("no network")

    monkeypatch.setattr("mlflow_modelmap.scoring.model.hub._fetched", fetched)
    code, _, err = call(capfd, "score", "plain-word", "--texts", text_file)
    assert code == 1
    assert "There is no directory 'plain-word' here, and the model 'plain-word' is not in" in err


def test_the_text_may_stand_in_another_column(store, tiny_models, tmp_path, capfd):
    path = tmp_path / "rows.jsonl"
    path.write_text('{"body": "The first text."}\n{"body": "And the second one."}\n')
    told = call(capfd, "score", tiny_models("gpt_neox"), "--texts", path, "--column", "body")
    assert told[0] == 0
    assert "on 2 texts" in told[1]


@pytest.mark.parametrize("indented", [True, False], ids=["up to Python 3.12", "from 3.13 on"])
def test_every_setting_has_its_docstring_as_help(indented, monkeypatch):
    written = inspect.cleandoc(ScoringSettings.__doc__)
    if indented:
        written = written.replace("\n", "\n    ").replace("\n    \n", "\n\n") + "\n    "
    monkeypatch.setattr(ScoringSettings, "__doc__", written)
    command = settings_options(click.Command("score"))
    made = {option.name: option.help for option in command.params if option.name}
    assert set(made) == set(ScoringSettings.model_fields)
    assert all(made.values())
    assert made["concurrency"] == "How many requests a server has at once."
