"""`modelmap gate`: exit codes that pipelines can trust, one paragraph, one JSON object."""

from __future__ import annotations

import json
import subprocess
import sys

import mlflow
import numpy as np
import pytest

from mlflow_modelmap.surfaces.cli import main
from tests import forking
from tests.scored import write_score


@pytest.fixture
def text_file(texts, tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_MODELMAP_SPOOL", str(tmp_path / "spool"))
    path = tmp_path / "held out.json"
    more = [f"{text} again, {k}" for k, text in enumerate(texts.texts)]
    path.write_text(json.dumps([*texts.texts, *more]), encoding="utf-8")
    return path


def call(capfd, *arguments):
    """Exit code, stdout and stderr of a command line."""
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    out, err = capfd.readouterr()
    return ended.value.code, out, err


@pytest.fixture
def ask(text_file, capfd):
    def run(*arguments):
        return call(capfd, "gate", *arguments, "--texts", text_file)

    return run


def test_a_quantised_copy_passes_at_1_and_fails_at_a_ten_thousandth(store, tiny_models, ask):
    model = tiny_models("gpt_neox", hidden_size=64, intermediate_size=128)
    asked = (model, "--reference", model, "--precision", "nf4", "--max-kl")
    code, out, _ = ask(*asked, "1.0")
    assert code == 0
    assert out.count("\n") == 4  # a paragraph, the run and where to look
    assert "Verdict: pass." in out
    code, out, _ = ask(*asked, "0.0001", "--json")
    assert code == 1
    told = json.loads(out)
    assert (told["verdict"], told["exit_code"]) == ("fail", 1)
    assert told["limits"][0]["low"] > 0.0001
    assert mlflow.get_run(told["run_id"]).info.status == "FINISHED"
    code, out, _ = ask(*asked, told["kl"], "--quiet")
    assert (code, out) == (2, "undecided\n")


def test_an_increase_may_be_negative_and_confidence_is_heard(store, text_file, ask):
    from mlflow_modelmap import read_texts

    texts = read_texts(text_file)
    values = np.random.default_rng(0).normal(-50, 3, len(texts))
    for name, row in (("old", values), ("new", values + 1)):
        write_score(store, name, row, texts.bytes, digest=texts.digest)
    better = ("new", "--reference", "old", "--max-bits-per-byte-increase")
    assert ask(*better, "-0.001")[0] == 0
    assert ask(*better, "-1")[0] == 1
    code, out, _ = ask(*better, "-0.001", "--confidence", "0.999")
    assert code == 0
    assert "99.9 % interval" in out


def test_a_decision_says_the_interval_under_the_names_of_compare(store, text_file, ask, capfd):
    from mlflow_modelmap import read_texts

    texts = read_texts(text_file)
    generator = np.random.default_rng(0)
    for name in ("old", "new"):
        row = generator.normal(-50, 3, len(texts))
        write_score(store, name, row, texts.bytes, digest=texts.digest)
    decided = json.loads(ask("new", "--reference", "old", "--max-kl", "9", "--json")[1])
    compared = json.loads(call(capfd, "compare", "new", "old", "--json")[1])
    same = ("kl", "se", "low", "high", "bits_per_byte", "other_bits_per_byte")
    assert {n: decided[n] for n in same} == pytest.approx({n: compared[n] for n in same})
    assert decided["low"] < decided["kl"] < decided["high"]
    assert decided["kl_se"] == decided["se"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "Missing argument 'CANDIDATE'"),
        (("x",), "Missing option '--reference'"),
        (("x", "--reference", "y", "--max-kl", "much"), "'much' is not a valid float"),
        (("x", "--reference", "y", "--max-kl", "1", "--bogus"), "No such option"),
        (("x", "--reference", "y"), "A gate needs a limit"),
        (("x", "--reference", "y", "--max-kl", "nan"), "largest KL divergence of nan"),
        (("x", "--reference", "y", "--max-kl", "1"), "The candidate 'x' is neither a run"),
        (("x", "--reference", "y", "--max-kl", "1", "--precision", "int3"), "Unknown precision"),
    ],
)
def test_every_error_exits_with_3(store, ask, arguments, said):
    code, out, err = ask(*arguments)
    assert (code, out) == (3, "")
    assert said in err
    assert "Traceback" not in err


def test_missing_texts_and_an_unreachable_store_exit_with_3(store, tmp_path, capfd):
    asked = ("gate", "x", "--reference", "y", "--max-kl", "1", "--texts")
    code, _, err = call(capfd, *asked, "nowhere.json")
    assert code == 3
    assert "nowhere.json" in err
    code, _, err = call(capfd, *asked, "nowhere.json", "--tracking-uri", "http://127.0.0.1:9")
    assert code == 3
    assert "cannot be used" in err


def test_an_error_that_nobody_foresaw_is_no_failed_gate(store, ask, monkeypatch):
    def broken(*_, **__):
        raise ZeroDivisionError("a defect")

    monkeypatch.setattr("mlflow_modelmap.drivers.gate.gate.gate", broken)
    code, _, err = ask("x", "--reference", "y", "--max-kl", "1")
    assert code == 3
    assert "Traceback" in err
    assert "No decision, because of the ZeroDivisionError above" in err


def test_other_commands_keep_their_exit_codes(store, capfd):
    assert call(capfd, "compare", "a")[0] == 2
    assert call(capfd, "compare", "a", "b")[0] == 1
    assert call(capfd, "gate", "--help")[0] == 0


@pytest.mark.heavy
def test_the_exit_code_reaches_the_shell(store, text_file, tiny_models):
    command = ["-m", "mlflow_modelmap", "gate", str(tiny_models(seed=0))]
    command += ["--reference", str(tiny_models(seed=1)), "--texts", str(text_file), "--max-kl"]
    fresh = subprocess.run([sys.executable, *command, "0.0001"], capture_output=True)
    codes = [forking.run(*command, limit).returncode for limit in ("1000", "0.0001", "-1")]
    assert (fresh.returncode, codes) == (1, [0, 1, 3])
