"""Texts in windows from every surface: a call, a plan, the command line, a monitored training."""

from __future__ import annotations

import json

import mlflow
import numpy as np
import pytest
from transformers import AutoModelForCausalLM, AutoTokenizer

from mlflow_modelmap import InputError, Monitor, TextSet, compare
from mlflow_modelmap.drivers.score.score import score
from mlflow_modelmap.drivers.score.sweep import sweep
from mlflow_modelmap.surfaces.cli import main
from mlflow_modelmap.tracking.runs.read_vectors import read_matrix
from mlflow_modelmap.tracking.runs.select_runs import select_runs
from tests.scoring import reckoning


@pytest.fixture
def long(texts):
    return TextSet("long", (*texts.texts[:4], "a lazy fox 京都 " * 60))


def params_of(run_id):
    found = mlflow.MlflowClient().get_run(run_id).data.params
    return {name.removeprefix("modelmap."): value for name, value in found.items()}


def test_a_run_says_how_and_is_found_again_only_under_the_same_windows(store, tiny_model, long):
    with pytest.raises(InputError, match="or score them in windows with overlong=window"):
        score(tiny_model, long, progress=False)
    done = score(tiny_model, long, overlong="window", progress=False)
    right = reckoning.score(tiny_model, long, overlong="window").log_likelihoods
    np.testing.assert_array_equal(done.log_likelihoods, right)
    said = params_of(done.run_id)
    names = ("overlong", "window_tokens", "stride", "windowed", "truncated", "batch_policy")
    assert [said[name] for name in names] == [
        *("window", "256", "128", "1", "0", "length-sorted tokens"),
    ]
    assert score(tiny_model, long, overlong="window", progress=False).skipped
    other = score(tiny_model, long, overlong="window", stride=64, progress=False)
    assert not other.skipped
    assert params_of(other.run_id)["stride"] == "64"
    assert other.log_likelihoods[4] != done.log_likelihoods[4]
    np.testing.assert_array_equal(other.log_likelihoods[:4], done.log_likelihoods[:4])


def test_a_plan_may_ask_for_windows(store, tiny_models, long):
    models = [str(tiny_models("gpt_neox", seed=seed)) for seed in range(2)]
    done = sweep(
        {"models": models, "defaults": {"overlong": "window", "stride": 100}},
        texts=long,
        progress=False,
    )
    assert [row.state for row in done.rows] == ["scored"] * 2
    matrix, _ = read_matrix(select_runs(run_ids=[done.run_id]))
    right = reckoning.score(models[1], long, overlong="window", stride=100).log_likelihoods
    np.testing.assert_array_equal(matrix.values[1], right)
    with pytest.raises(InputError, match="stride"):
        sweep({"models": models, "defaults": {"stride": 100}}, texts=long, progress=False)


def test_the_command_line_takes_windows(store, tiny_model, long, tmp_path, capfd):
    path = tmp_path / "long.json"
    path.write_text(json.dumps(list(long.texts)), encoding="utf-8")
    call = ["score", str(tiny_model), "--texts", str(path), "--overlong", "window", "--json"]
    with pytest.raises(SystemExit) as ended:
        main([*call, "--window-tokens", "100", "--stride", "30"])
    assert ended.value.code == 0
    said = params_of(json.loads(capfd.readouterr().out)["run_id"])
    assert (said["window_tokens"], said["stride"]) == ("100", "30")
    with pytest.raises(SystemExit) as ended:
        main([*call, "--window-tokens", "100", "--stride", "100"])
    assert ended.value.code == 1
    assert "stride is 100; it must be less than window_tokens" in capfd.readouterr().err


def test_two_models_are_compared_exactly_under_the_settings_of_their_scores(
    store, tiny_models, texts, long, tmp_path
):
    path = tmp_path / "long.json"
    path.write_text(json.dumps([*texts.texts, long.texts[4]]), encoding="utf-8")
    for seed, name in ((1, "one"), (2, "other")):
        score(
            tiny_models("llama", seed, bos=True),
            path,
            bos="never",
            overlong="window",
            window_tokens=64,
            stride=20,
            name=name,
            progress=False,
        )
    found = compare("one", "other", exact=True)
    assert found.exact.bits_per_byte_first == pytest.approx(found.bits_per_byte, abs=1e-6)
    assert found.exact.bits_per_byte_second == pytest.approx(found.other_bits_per_byte, abs=1e-6)


def test_a_training_is_watched_on_texts_in_windows(store, tiny_model, long):
    model = AutoModelForCausalLM.from_pretrained(tiny_model)
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    monitor = Monitor(
        long, tokenizer=tokenizer, overlong="window", stride=50, exact=True, raise_errors=True
    )
    assert monitor.record(model, 0) is not None
    said = params_of(monitor.run_id)
    assert (said["overlong"], said["stride"]) == ("window", "50")
    monitor.close()
