"""`modelmap score` and the options that commands share."""

from __future__ import annotations

import json

import click
import mlflow
import pytest

from mlflow_modelmap.scoring.settings import ScoringSettings
from mlflow_modelmap.surfaces.cli import main
from mlflow_modelmap.surfaces.cli.options import (
    Command,
    Output,
    option,
    output_options,
    settings_of,
    settings_options,
)
from mlflow_modelmap.surfaces.cli.tables import table


@pytest.fixture
def text_file(texts, tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_MODELMAP_SPOOL", str(tmp_path / "spool"))
    path = tmp_path / "short texts.json"
    path.write_text(json.dumps(list(texts.texts)), encoding="utf-8")
    return path


def call(capfd, *arguments):
    """Exit code, stdout and stderr of a command line."""
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    out, err = capfd.readouterr()
    return ended.value.code, out, err


def test_it_scores_and_says_where_to_look(store, tiny_model, text_file, capfd):
    code, out, err = call(capfd, "score", tiny_model, "--texts", text_file)
    run = mlflow.search_runs(output_format="list")[0]
    bits = run.data.metrics["modelmap/bits_per_byte"]
    assert code == 0
    assert f"{tiny_model.name}: {bits:.4f} bits per byte on 24 texts" in out
    assert run.info.run_id in out
    assert err == ""  # a bar is for terminals and for what takes long
    code, out, _ = call(capfd, "score", tiny_model, "--texts", text_file)
    assert code == 0
    assert f"{run.info.run_id} holds this score already" in out


def test_json_is_one_object_and_quiet_is_an_id(store, tiny_model, text_file, capfd):
    code, out, err = call(capfd, "score", tiny_model, "--texts", text_file, "--json", "--quiet")
    answer = json.loads(out)
    assert (code, err) == (0, "")
    assert answer["texts"] == 24
    assert answer["skipped"] is False
    code, out, err = call(capfd, "score", tiny_model, "--texts", text_file, "--quiet")
    assert (code, out, err) == (0, answer["run_id"] + "\n", "")


def test_empty_values_are_not_given_and_flags_have_a_spoken_twin(
    store, tiny_model, text_file, capfd
):
    empty = ("revision", "device-map", "trajectory", "step", "model-type", "base-model", "name")
    code, out, _ = call(
        capfd,
        *("score", tiny_model, "--texts", text_file, "--json"),
        *(word for name in empty for word in (f"--{name}", "")),
        *("--again-if", "", "--layers-if", "true", "--precision", "", "--batch-tokens", ""),
    )
    assert code == 0
    run = mlflow.get_run(json.loads(out)["run_id"])
    assert run.data.params["modelmap.layers"] == "2"
    assert run.data.params["modelmap.batch_tokens"] == "2048"
    assert "modelmap.step" not in run.data.tags


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--precision", "int5"), "Unknown precision 'int5'; choose one of auto, float32"),
        (("--device", "cuda:99"), "CUDA"),
        (("--texts", "none.json"), "There is no text file 'none.json'"),
        (("--tracking-uri", "http://127.0.0.1:9"), "cannot be used"),
        (("--run-id", "nope"), "There is no run 'nope'"),
    ],
)
def test_a_user_s_error_is_one_sentence_and_exit_code_1(
    store, tiny_model, text_file, capfd, options, said
):
    code, out, err = call(capfd, "score", tiny_model, "--texts", text_file, *options)
    assert (code, out) == (1, "")
    assert err.startswith("Error: ")
    assert said in err
    assert err.count("\n") == 1
    mlflow.set_tracking_uri(store)
    assert mlflow.search_runs(output_format="list") == []


def test_texts_must_be_given(store, tiny_model, capfd):
    for given in ((), ("--texts", "")):
        code, _, err = call(capfd, "score", tiny_model, *given)
        assert code == 2
        assert "--texts" in err


@click.command(cls=Command)
@settings_options
@option("--many", multiple=True, group="Other")
@output_options
def probe(output: Output, many: tuple[str, ...], **values: object) -> None:
    click.echo(repr((settings_of(values), many)))


def test_every_setting_is_an_option_with_its_docstring_as_help(capfd):
    with pytest.raises(SystemExit):
        probe.main(["--help"])
    text = " ".join(capfd.readouterr().out.split())
    assert "auto is the stored half precision on an accelerator and float32 on CPU" in text
    assert "--layers-if" not in text
    probe.main([], standalone_mode=False)
    settings, many = eval(capfd.readouterr().out)  # noqa: S307 - our own repr
    assert ScoringSettings(**settings) == ScoringSettings()
    assert many == ()


def test_empty_among_many_is_left_out(capfd):
    probe.main(["--many", "", "--many", "a", "--layers-if", "false"], standalone_mode=False)
    settings, many = eval(capfd.readouterr().out)  # noqa: S307 - our own repr
    assert many == ("a",)
    assert settings["layers"] is False


def test_json_says_nothing_that_json_cannot_say(capfd):
    Output(json=True).tell({"a": float("nan"), "b": [float("inf"), 1]}, ["text"])
    assert json.loads(capfd.readouterr().out) == {"a": None, "b": [None, 1]}


def test_a_table_lines_up():
    assert list(table([["a", "1.5", None], ["long name", "10.5", "x"]], ["n", "v", "w"])) == [
        "n             v  w",
        "a           1.5  -",
        "long name  10.5  x",
    ]
    assert list(table([], ["n", "v"])) == ["n  v"]


def test_the_command_alone_helps_and_a_typing_error_is_understood(capsys):
    for arguments in ([], ["texts"]):
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        told = capsys.readouterr()
        assert ended.value.code == 0
        assert told.out.startswith("Usage: modelmap")
        assert told.err == ""
    with pytest.raises(SystemExit) as ended:
        main(["quantisation"])
    assert ended.value.code == 2
    assert "No such command 'quantisation'. Did you mean 'quantization'?" in capsys.readouterr().err
