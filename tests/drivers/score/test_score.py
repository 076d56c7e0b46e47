"""A score run from Python: what it holds, when it is skipped, how it fails."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import shutil
import struct
import subprocess
import sys
import termios

import mlflow
import numpy as np
import pandas as pd
import pytest

import mlflow_modelmap as mm
from mlflow_modelmap import InputError, ScoringError, TextSet, TrackingError
from mlflow_modelmap.drivers.score import score_into, spool
from mlflow_modelmap.drivers.score.score import score
from mlflow_modelmap.machine.processes import read_process, this_process
from mlflow_modelmap.scoring.engine.score_texts import score_texts
from mlflow_modelmap.scoring.model.folder import local_files
from mlflow_modelmap.scoring.settings import ScoringSettings
from mlflow_modelmap.tracking.runs.artifacts import local_path
from mlflow_modelmap.tracking.runs.read_vectors import read_matrix
from mlflow_modelmap.tracking.runs.select_runs import select_runs
from mlflow_modelmap.tracking.runs.vector_table import vectors_digest, vectors_of
from tests import forking


def get(store, run_id):
    return mlflow.MlflowClient(store).get_run(run_id)


def test_a_run_holds_what_the_contract_says(store, tiny_model, text_file, texts):
    done = mm.score(
        tiny_model,
        text_file,
        trajectory="training a",
        step=512,
        base_model="org/parent",
        name="my model",
        progress=False,
    )
    run = get(store, done.run_id)
    files = local_files(str(tiny_model))
    expected = score_texts(files, texts, ScoringSettings())
    assert run.info.status == "FINISHED"
    assert run.info.run_name == done.name == "my model"
    tags = {k: v for k, v in run.data.tags.items() if k.startswith("modelmap.")}
    assert len(tags.pop("modelmap.identity")) == 64
    assert read_process(tags.pop("modelmap.process")) == this_process()
    assert tags.pop("modelmap.vector") == vectors_digest(vectors_of(expected))
    assert tags == {
        "modelmap.schema": "1",
        "modelmap.kind": "score",
        "modelmap.model": str(tiny_model),
        "modelmap.commit": files.commit,
        "modelmap.trajectory": "training a",
        "modelmap.step": "512",
        "modelmap.model_type": "gpt_neox",
        "modelmap.base_model": "org/parent",
        "modelmap.precision": "float32",
        "modelmap.engine": "transformers",
        "modelmap.weights_format": "safetensors",
        "modelmap.text_set": texts.digest,
        "modelmap.text_set_name": "short texts",
    }
    params = run.data.params
    assert {k: params[f"modelmap.{k}"] for k in ("device", "bos", "overlong", "texts")} == {
        "device": "cpu",
        "bos": "auto",
        "overlong": "error",
        "texts": "24",
    }
    assert {"modelmap.torch", "modelmap.transformers", "modelmap.mlflow_modelmap"} <= set(params)
    metrics = run.data.metrics
    bits = -expected.log_likelihoods.mean() / (texts.mean_bytes * np.log(2))
    assert metrics["modelmap/bits_per_byte"] == pytest.approx(bits, rel=1e-9)
    assert metrics["modelmap/mean_log_likelihood"] == pytest.approx(
        expected.log_likelihoods.mean(), rel=1e-9
    )
    assert metrics["modelmap/scored_tokens"] == expected.scored_tokens.sum()
    assert metrics["modelmap/tokens_per_second"] > 0
    history = mlflow.MlflowClient(store).get_metric_history(done.run_id, "modelmap/bits_per_byte")
    assert [m.step for m in history] == [512]
    dataset = run.inputs.dataset_inputs[0].dataset
    assert (dataset.name, dataset.digest) == ("short texts", texts.digest[:32])
    frame = pd.read_parquet(
        local_path(run.info.artifact_uri) / "modelmap" / "log_likelihoods.parquet"
    )
    assert list(frame) == ["text", "layer", "log_likelihood", "scored_tokens", "bytes"]
    assert frame["text"].tolist() == list(range(24))
    assert frame["layer"].isna().all()
    assert np.array_equal(frame["log_likelihood"], expected.log_likelihoods)
    assert np.array_equal(frame["scored_tokens"], expected.scored_tokens)
    assert np.array_equal(frame["bytes"], texts.bytes)
    assert np.array_equal(done.log_likelihoods, expected.log_likelihoods)
    assert not done.skipped


def test_the_same_score_is_found_and_not_made_again(store, tiny_model, texts, all_runs):
    first = score(tiny_model, texts, progress=False)
    second = score(tiny_model, texts, progress=False)
    assert second.skipped
    assert second.run_id == first.run_id
    assert np.array_equal(second.log_likelihoods, first.log_likelihoods)
    assert second.bits_per_byte == pytest.approx(first.bits_per_byte, rel=1e-12)
    assert len(all_runs()) == 1
    third = score(tiny_model, texts, progress=False, again=True)
    assert not third.skipped
    assert third.run_id != first.run_id


@pytest.mark.parametrize(
    "change",
    [
        {"step": 3},
        {"trajectory": "x"},
        {"name": "x"},
        {"precision": "bfloat16"},
        {"overlong": "truncate"},
        {"experiment": "other"},
        {"layers": True},
    ],
)
def test_another_setting_label_or_experiment_is_another_score(store, tiny_model, texts, change):
    first = score(tiny_model, texts, progress=False)
    assert not score(tiny_model, texts, progress=False, **change).skipped
    assert score(tiny_model, texts, progress=False).run_id == first.run_id


def test_other_texts_and_other_weights_are_other_scores(store, tiny_models, texts):
    score(tiny_models(), texts, progress=False)
    fewer = TextSet("fewer", texts.texts[:-1])
    assert not score(tiny_models(), fewer, progress=False).skipped
    assert not score(tiny_models(seed=1), texts, progress=False).skipped


def test_a_failed_run_is_not_taken_for_a_score(store, tiny_model, texts):
    first = score(tiny_model, texts, progress=False)
    mlflow.MlflowClient(store).set_terminated(first.run_id, "FAILED")
    assert not score(tiny_model, texts, progress=False).skipped


def test_a_run_whose_artifact_is_gone_is_not_taken_for_a_score(store, tiny_model, texts):
    first = score(tiny_model, texts, progress=False)
    root = local_path(get(store, first.run_id).info.artifact_uri)
    (root / "modelmap" / "log_likelihoods.parquet").unlink()
    assert not score(tiny_model, texts, progress=False).skipped


def test_with_layers_the_artifact_has_rows_for_each(store, tiny_model, texts):
    done = score(tiny_model, texts, layers=True, progress=False)
    runs = select_runs(run_ids=[done.run_id])
    own, _ = read_matrix(runs)
    matrix, points = read_matrix(runs, layers=True)
    assert [point.layer for point in points] == [0, 1, 2]
    assert np.allclose(matrix.values[-1], own.values[0], atol=1e-3)
    assert not np.allclose(matrix.values[0], own.values[0], atol=1)


def test_inside_an_active_run_it_is_a_nested_child(store, tiny_model, texts):
    with mlflow.start_run() as outer:
        done = score(tiny_model, texts, progress=False)
        assert mlflow.active_run().info.run_id == outer.info.run_id
    run = get(store, done.run_id)
    assert run.data.tags["mlflow.parentRunId"] == outer.info.run_id
    assert run.info.status == "FINISHED"
    assert get(store, outer.info.run_id).data.metrics == {}


def test_a_given_run_holds_the_score(store, tiny_model, texts, all_runs):
    with mlflow.start_run(run_name="training") as outer:
        done = score(tiny_model, texts, run_id=outer.info.run_id, progress=False)
    assert done.run_id == outer.info.run_id
    assert len(all_runs()) == 1
    run = get(store, done.run_id)
    assert (run.info.status, run.info.run_name) == ("FINISHED", "training")
    assert read_matrix(select_runs(run_ids=[done.run_id]))[0].values.shape == (1, 24)
    with (
        mlflow.start_run(),
        pytest.raises(InputError, match="already holds a score"),
    ):
        score(tiny_model, texts, run_id=done.run_id, progress=False)


def test_a_given_run_that_failed_never_counts_even_if_its_owner_ends_it_well(
    store, tiny_model, tmp_path, all_runs
):
    with mlflow.start_run() as outer, pytest.raises(InputError, match="no text file"):
        score(tiny_model, tmp_path / "none.json", run_id=outer.info.run_id, progress=False)
    run = get(store, outer.info.run_id)
    assert run.info.status == "FINISHED"
    assert "no text file" in run.data.tags["modelmap.error"]
    with pytest.raises(InputError, match="is failed"):
        select_runs(run_ids=[outer.info.run_id])


def test_the_project_s_run_is_used_and_says_when_it_skips(
    store, tiny_model, texts, monkeypatch, all_runs
):
    client = mlflow.MlflowClient(store)
    ids = []
    for _ in range(2):
        ids.append(client.create_run("0", run_name="calm-bird-123").info.run_id)
        monkeypatch.setenv("MLFLOW_RUN_ID", ids[-1])
        done = score(tiny_model, texts, progress=False)
        client.set_terminated(ids[-1])  # as `mlflow run` does for exit code 0
    assert len(all_runs()) == 2
    assert done.skipped
    assert done.run_id == ids[0]
    first, second = (get(store, run_id) for run_id in ids)
    assert first.data.tags["modelmap.kind"] == "score"
    assert first.info.run_name == tiny_model.name
    assert second.data.tags["modelmap.kind"] == "skipped"
    assert second.data.tags["modelmap.same_as"] == ids[0]
    monkeypatch.delenv("MLFLOW_RUN_ID", raising=False)
    assert [r.run_id for r in select_runs(run_ids=[ids[1]])] == [ids[0]]


def test_bad_input_makes_no_run(store, tiny_model, texts, all_runs, tmp_path):
    long = TextSet("long", ("word " * 400,))
    for arguments, said in [
        ((tmp_path / "none", texts), "no directory"),
        ((tiny_model, tmp_path / "none.json"), "no text file"),
        ((tiny_model, long), "256 tokens"),
    ]:
        with pytest.raises(InputError, match=said):
            score(*arguments, progress=False)
    with pytest.raises(InputError, match="Unknown precision 'int5'"):
        score(tiny_model, texts, precision="int5", progress=False)
    with pytest.raises(InputError, match="step is -1"):
        score(tiny_model, texts, step=-1, progress=False)
    assert all_runs() == []


def test_a_model_that_overflows_fails_its_run(store, tiny_models, texts, all_runs):
    broken = tiny_models("gpt_neox", seed=5, scale=1e30)
    with pytest.raises(ScoringError, match="not finite"):
        score(broken, texts, progress=False)
    (run,) = all_runs()
    assert run.info.status == "FAILED"
    assert "not finite" in run.data.tags["modelmap.error"]


def test_ctrl_c_kills_the_run(store, tiny_model, texts, all_runs, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("mlflow_modelmap.scoring.engine.score_texts.score_texts", interrupted)
    with pytest.raises(KeyboardInterrupt):
        score(tiny_model, texts, progress=False)
    (run,) = all_runs()
    assert run.info.status == "KILLED"
    assert run.data.tags["modelmap.error"] == "Stopped before the end."


def test_an_unreachable_store_is_said_before_anything_is_scored(
    tiny_model, texts, spool_folder, monkeypatch
):
    def scored(*_, **__):
        raise AssertionError("scored before the store was asked")

    monkeypatch.setattr("mlflow_modelmap.scoring.engine.score_texts.score_texts", scored)
    mlflow.set_tracking_uri("http://127.0.0.1:9")
    with pytest.raises(TrackingError, match=r"127.0.0.1:9.*cannot be used"):
        score(tiny_model, texts, progress=False)
    assert not spool_folder.exists()


def test_a_store_that_dies_after_scoring_loses_nothing(
    store, tiny_model, texts, spool_folder, monkeypatch, all_runs
):
    def dies(*_, **__):
        raise OSError("http://me:secret@host went away")

    with monkeypatch.context() as broken:
        broken.setattr(score_into, "log_score", dies)
        with pytest.raises(TrackingError, match="scored but could not be logged") as caught:
            score(tiny_model, texts, progress=False)
    (kept,) = spool_folder.glob("*.parquet")
    assert str(kept) in str(caught.value)
    assert "secret" not in str(caught.value)
    assert [run.info.status for run in all_runs()] == ["FAILED"]

    def scores(*_, **__):
        raise AssertionError("scored again")

    with monkeypatch.context() as lazy:
        lazy.setattr("mlflow_modelmap.scoring.engine.score_texts.score_texts", scores)
        done = score(tiny_model, texts, progress=False)
    expected = score_texts(local_files(str(tiny_model)), texts, ScoringSettings())
    assert np.array_equal(done.log_likelihoods, expected.log_likelihoods)
    assert get(store, done.run_id).data.params["modelmap.head"] == expected.provenance["head"]
    assert list(spool_folder.iterdir()) == []


def test_what_was_scored_again_and_not_logged_is_logged_by_the_same_command(
    store, tiny_model, texts, spool_folder, monkeypatch
):
    there = score(tiny_model, texts, progress=False)

    def dies(*_, **__):
        raise OSError("went away")

    def fails(**again):
        with monkeypatch.context() as broken:
            broken.setattr(score_into, "log_score", dies)
            with pytest.raises(TrackingError, match="the same command logs it from there"):
                score(tiny_model, texts, progress=False, **again)

    fails(again=True)
    with monkeypatch.context() as lazy:
        lazy.delattr("mlflow_modelmap.scoring.engine.score_texts.score_texts")
        done = score(tiny_model, texts, progress=False, again=True)
    assert not done.skipped
    assert done.run_id != there.run_id
    assert list(spool_folder.iterdir()) == []
    # What waits since a plain command is no score made again.
    mlflow.MlflowClient(store).delete_run(there.run_id)
    mlflow.MlflowClient(store).delete_run(done.run_id)
    fails()
    with monkeypatch.context() as lazy:
        lazy.delattr("mlflow_modelmap.scoring.engine.score_texts.score_texts")
        with pytest.raises(ImportError):
            score(tiny_model, texts, progress=False, again=True)


def test_a_damaged_spool_is_not_believed(store, tiny_model, texts, spool_folder):
    result = score_texts(local_files(str(tiny_model)), texts, ScoringSettings(layers=True))
    path = spool.keep("x", result)
    back = spool.waiting(["x"], 24)
    assert np.array_equal(back.log_likelihoods, result.log_likelihoods)
    assert np.array_equal(back.layer_log_likelihoods, result.layer_log_likelihoods)
    assert back.provenance == result.provenance
    assert spool.waiting(["x"], 23) is None
    path.write_bytes(path.read_bytes()[:-20])
    assert spool.waiting(["x"], 24) is None
    assert spool.waiting(["y"], 24) is None


def test_a_hub_token_in_the_environment_gets_nowhere(store, tiny_model, texts, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_abcdefghijklmnopqrstuvwx")
    done = score(tiny_model, texts, progress=False)
    run = get(store, done.run_id)
    assert "abcdefghijklmnop" not in str((run.data.to_dictionary(), run.inputs.to_dictionary()))


CODE = """
import sys
import mlflow_modelmap as mm
model, texts, shown = sys.argv[1:]
mm.score(model, texts, progress=shown == "bar", experiment=shown)
"""


@pytest.mark.slow
def test_nothing_is_printed_but_a_bar_on_a_terminal(store, tiny_model, text_file):
    command = ["-c", CODE, str(tiny_model), str(text_file)]
    for shown in ("bar", "nothing"):
        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 100, 0, 0))
        if shown == "bar":
            done = forking.run(*command, shown, stderr=theirs)
        else:  # what is printed when anything is imported is seen in a fresh one only
            fresh = [sys.executable, *command, shown]
            done = subprocess.run(fresh, stdout=subprocess.PIPE, stderr=theirs, text=True)
        os.close(theirs)
        printed = b""
        with contextlib.suppress(OSError):  # how a terminal says that its other end is closed
            while part := os.read(ours, 4096):
                printed += part
        os.close(ours)
        assert (done.returncode, done.stdout) == (0, ""), printed.decode()
        if shown == "bar":
            assert b"100%" in printed
            assert b"tok/s" in printed
        else:
            assert printed == b""


def test_a_name_that_another_model_has_is_refused_before_anything_is_made(
    tiny_model, texts, store, tmp_path
):
    first = score(tiny_model, texts, name="mine", progress=False)
    assert score(tiny_model, texts, name="mine", progress=False).run_id == first.run_id
    other = tmp_path / "other"
    shutil.copytree(tiny_model, other)
    with pytest.raises(InputError, match=r"The name 'mine' belongs to another model .*: model '"):
        score(other, texts, name="mine", progress=False)
    with pytest.raises(InputError, match=r"precision 'float32', not 'bfloat16'\); give another"):
        score(tiny_model, texts, name="mine", precision="bfloat16", progress=False)
    client = mlflow.MlflowClient()
    for name in ("Anna's", 'a "new" one', 'Anna\'s "best"', "mine"):
        client.update_run(first.run_id, name=name)
        with pytest.raises(InputError, match=rf"The name .*{re.escape(name)[-4:]}.* another model"):
            score(other, texts, name=name, progress=False)
    runs = mlflow.search_runs(search_all_experiments=True)
    assert runs["run_id"].tolist() == [first.run_id]
    assert not score(tiny_model, texts, name="mine", again=True, progress=False).skipped
    there = score(other, texts, name="mine", experiment="elsewhere", progress=False)
    assert there.name == "mine"
