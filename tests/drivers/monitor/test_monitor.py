"""The monitor in a plain training loop: it leaves no trace on training, and joins what it finds."""

from __future__ import annotations

import random
import signal
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
import torch

from mlflow_modelmap import InputError, Monitor, TextSet, TrackingError, score, weight_distances
from mlflow_modelmap.tracking.runs.artifacts import local_path
from mlflow_modelmap.tracking.runs.read_vectors import read_matrix
from mlflow_modelmap.tracking.runs.select_runs import select_runs
from tests import forking
from tests.killed import HELD_UP, working
from tests.scored import write_score
from tests.training import examples, model_of, monitoring_texts, start_model, tokenizer_of


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return start_model(tmp_path_factory.mktemp("start"))


@pytest.fixture
def texts() -> TextSet:
    return monitoring_texts()


def train_step(model, tokenizer, optimizer) -> float:
    rows = torch.tensor([row["input_ids"] for row in examples(tokenizer)[:4]])
    loss = model(input_ids=rows, labels=rows).loss
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    return loss.item()


def test_it_leaves_no_trace_on_the_model_and_the_generators(store, start, texts):
    model, tokenizer = model_of(start), tokenizer_of(start)
    model.train()
    model.model.layers[0].eval()  # somebody froze a layer's dropout
    model(input_ids=torch.arange(8)[None], labels=torch.arange(8)[None]).loss.backward()
    gradients = [p.grad.clone() for p in model.parameters() if p.grad is not None]
    assert gradients
    values = [p.detach().clone() for p in model.parameters()]
    forward = model.forward
    states = random.getstate(), np.random.get_state()[1].copy(), torch.get_rng_state()
    with Monitor(texts, tokenizer=tokenizer) as monitor:
        assert monitor.record(model, 0) is not None
    assert model.training
    assert not model.model.layers[0].training
    assert model.model.layers[1].training
    assert model.forward == forward
    assert torch.is_grad_enabled()
    for before, parameter in zip(values, model.parameters(), strict=True):
        assert torch.equal(before, parameter)
    after = [p.grad for p in model.parameters() if p.grad is not None]
    assert all(torch.equal(a, b) for a, b in zip(gradients, after, strict=True))
    assert random.getstate() == states[0]
    assert np.array_equal(np.random.get_state()[1], states[1])
    assert torch.equal(torch.get_rng_state(), states[2])


def test_what_it_returns_is_what_it_logs(store, start, texts):
    model, tokenizer = model_of(start), tokenizer_of(start)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    recorded = []
    with mlflow.start_run() as active, Monitor(texts, tokenizer=tokenizer) as monitor:
        for step in range(6):
            recorded.append(monitor.record(model, step))
            train_step(model, tokenizer, optimizer)
        assert monitor.record(model, 5) is None  # recorded already
        assert monitor.steps == list(range(6))
        assert monitor.run_id == active.info.run_id
    index = pd.read_csv(
        mlflow.artifacts.download_artifacts(f"runs:/{active.info.run_id}/modelmap/checkpoints.csv")
    )
    for row, found in zip(index.to_dict("records"), recorded, strict=True):
        for name in ("step", "bits_per_byte", "kl_previous", "kl_previous_se", "kl_reference"):
            assert row[name] == pytest.approx(getattr(found, name), nan_ok=True)
    assert np.isnan(recorded[0].kl_previous)
    assert recorded[1].kl_previous == recorded[1].kl_reference
    assert recorded[5].diffusion_exponent_low < recorded[5].diffusion_exponent
    assert recorded[5].diffusion_exponent < recorded[5].diffusion_exponent_high


def test_wrapped_models_are_scored_as_what_they_wrap(store, start, texts):
    model, tokenizer = model_of(start), tokenizer_of(start)
    wrapped = [torch.nn.DataParallel(model), torch.compile(model)]
    with Monitor(texts, tokenizer=tokenizer, name="wrapped") as monitor:
        for step, one in enumerate([model, *wrapped]):
            assert monitor.record(one, step) is not None
        run_id = monitor.run_id
    matrix, _ = read_matrix(select_runs(run_ids=[run_id]))
    assert np.array_equal(matrix.values[0], matrix.values[1])
    assert np.array_equal(matrix.values[0], matrix.values[2])


def test_weighted_texts_give_weighted_numbers_and_vectors_with_their_weights(store, start, texts):
    from mlflow_modelmap.numerics.divergence.kl import kl_between

    weights = np.random.default_rng(0).uniform(0.2, 4.0, len(texts))
    weighted = TextSet("weighted", texts.texts, weights=tuple(weights))
    model, tokenizer = model_of(start), tokenizer_of(start)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    with Monitor(weighted, tokenizer=tokenizer) as monitor:
        monitor.record(model, 0)
        train_step(model, tokenizer, optimizer)
        last = monitor.record(model, 1)
        run_id = monitor.run_id
    matrix, points = read_matrix(select_runs(run_ids=[run_id]))
    assert matrix.weights == pytest.approx(weights)
    expected = kl_between(
        *matrix.values, matrix.mean_bytes, weights=weights, text_bytes=matrix.text_bytes
    )
    assert (last.kl_previous, last.kl_previous_se) == pytest.approx(expected)
    assert last.bits_per_byte == pytest.approx(points[1].bits_per_byte)
    with pytest.raises(InputError, match="has another weights"):
        Monitor(texts, tokenizer=tokenizer, run_id=run_id, raise_errors=True).start(model)


def test_a_finished_run_is_taken_up_again_by_its_id_and_ended_again(store, start, texts):
    model, tokenizer = model_of(start), tokenizer_of(start)
    with Monitor(texts, tokenizer=tokenizer, name="line") as monitor:
        monitor.record(model, 0)
        run_id = monitor.run_id
    assert mlflow.get_run(run_id).info.status == "FINISHED"
    again = Monitor(texts, tokenizer=tokenizer, run_id=run_id, raise_errors=True)
    again.start(model)
    assert mlflow.get_run(run_id).info.status == "RUNNING"
    assert again.record(model, 0) is None
    recorded = again.record(model, 7)
    assert recorded.kl_previous == 0
    again.close()
    assert mlflow.get_run(run_id).info.status == "FINISHED"
    assert [point.step for point in select_runs(run_ids=[run_id])] == [0, 7]


def test_a_crash_of_the_loop_ends_its_run_as_failed_and_keeps_what_is_recorded(store, start, texts):
    model, tokenizer = model_of(start), tokenizer_of(start)
    monitor = Monitor(texts, tokenizer=tokenizer, name="line")
    monitor.record(model, 0)
    run_id = monitor.run_id
    with pytest.raises(ZeroDivisionError), monitor:
        monitor.record(model, 1 // 0)
    assert mlflow.get_run(run_id).info.status == "FAILED"
    assert [point.step for point in select_runs(run_ids=[run_id])] == [0]


def test_a_row_that_was_not_finished_does_not_count_and_is_recorded_again(store, start, texts):
    """As if the process was killed after the index was written and before the tag was set."""
    model, tokenizer = model_of(start), tokenizer_of(start)
    client = mlflow.MlflowClient()
    with mlflow.start_run() as active:
        monitor = Monitor(texts, tokenizer=tokenizer, raise_errors=True)
        monitor.record(model, 0)
        monitor.record(model, 5)
    client.set_tag(active.info.run_id, "modelmap.checkpoints", "1")
    assert [point.step for point in select_runs(run_ids=[active.info.run_id])] == [0]
    with mlflow.start_run(run_id=active.info.run_id):
        monitor = Monitor(texts, tokenizer=tokenizer, raise_errors=True)
        assert monitor.record(model, 5) is not None
    assert [point.step for point in select_runs(run_ids=[active.info.run_id])] == [0, 5]


def test_metrics_that_a_killed_process_did_not_log_are_logged_when_it_goes_on(
    store, start, texts, monkeypatch
):
    from mlflow_modelmap.tracking.runs.log_values import OpenRun

    model, tokenizer = model_of(start), tokenizer_of(start)
    with mlflow.start_run() as active:
        monitor = Monitor(texts, tokenizer=tokenizer, raise_errors=True)
        monitor.record(model, 0)
        with monkeypatch.context() as patch:
            patch.setattr(OpenRun, "log_entities", _killed)
            with pytest.raises(KeyboardInterrupt):
                monitor.record(model, 5)
    client = mlflow.MlflowClient()

    def logged():
        found = client.get_metric_history(active.info.run_id, "modelmap/bits_per_byte")
        return [metric.step for metric in found]

    assert logged() == [0]
    with mlflow.start_run(run_id=active.info.run_id):
        Monitor(texts, tokenizer=tokenizer, raise_errors=True).start(model)
    steps = [point.step for point in select_runs(run_ids=[active.info.run_id])]
    assert logged() == steps


def _killed(self, metrics=(), params=(), tags=()):
    if metrics:
        raise KeyboardInterrupt
    self.store.log_batch(self.run_id, [], list(params), list(tags))


def test_runs_that_hold_something_else_or_other_texts_are_refused(store, start, texts):
    model, tokenizer = model_of(start), tokenizer_of(start)
    other = write_score(store, "a score", np.full(3, -30.0), np.full(3, 20), status="RUNNING")
    with pytest.raises(InputError, match=f"Run {other} already holds a score"):
        Monitor(texts, tokenizer=tokenizer, run_id=other, raise_errors=True).start(model)
    with Monitor(texts, tokenizer=tokenizer) as monitor:
        monitor.record(model, 0)
        run_id = monitor.run_id
    few = TextSet("few", texts.texts[:9])
    with pytest.raises(InputError, match=r"monitoring texts \(.*and few .*another text set"):
        Monitor(few, tokenizer=tokenizer, run_id=run_id, raise_errors=True).start(model)
    mlflow.MlflowClient().delete_run(run_id)
    with pytest.raises(InputError, match="was deleted"):
        Monitor(texts, tokenizer=tokenizer, run_id=run_id, raise_errors=True).start(model)


def test_a_run_made_for_a_training_that_cannot_be_taken_up_is_ended(
    store, start, texts, monkeypatch, all_runs
):
    monkeypatch.setattr(
        "mlflow_modelmap.tracking.runs.monitor_run.MonitorRun.log_settings", _killed
    )
    monitor = Monitor(texts, tokenizer=tokenizer_of(start), name="line")
    with pytest.raises(KeyboardInterrupt):
        monitor.start(model_of(start))
    (run,) = all_runs()
    assert (run.info.run_name, run.info.status) == ("line", "KILLED")


def test_a_step_before_the_last_one_is_passed_over(store, start, texts, caplog):
    model, tokenizer = model_of(start), tokenizer_of(start)
    with Monitor(texts, tokenizer=tokenizer) as monitor:
        monitor.record(model, 10)
        assert monitor.record(model, 5) is None
        assert monitor.record(model, 6) is None
        assert monitor.record(model, 11) is not None
        with torch.no_grad():
            model.get_output_embeddings().weight.fill_(float("nan"))
        assert monitor.record(model, 12) is None
    assert sum("is before step 10" in record.message for record in caplog.records) == 1
    assert sum("not finite" in record.message for record in caplog.records) == 1


def test_a_text_longer_than_the_model_is_named_before_any_scoring(store, start, texts):
    long = TextSet("long", (*texts.texts, "word " * 400))
    model, tokenizer = model_of(start), tokenizer_of(start)
    with pytest.raises(InputError, match=r"Text 36 .*more than the 256 tokens"):
        Monitor(long, tokenizer=tokenizer, raise_errors=True).start(model)
    cut = Monitor(long, tokenizer=tokenizer, overlong="truncate", raise_errors=True)
    assert cut.record(model, 0) is not None
    cut.close()


def test_what_is_no_language_model_is_refused(store, texts, start):
    monitor = Monitor(texts, tokenizer=tokenizer_of(start), raise_errors=True)
    with pytest.raises(InputError, match="A Linear is no causal language model"):
        monitor.record(torch.nn.Linear(2, 2), 0)


def test_saved_checkpoints_serve_weight_distances(store, start, texts, tmp_path):
    model, tokenizer = model_of(start), tokenizer_of(start)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    with Monitor(texts, tokenizer=tokenizer, trajectory="line") as monitor:
        for step in (0, 1, 2):
            folder = tmp_path / f"step{step}"
            model.save_pretrained(folder)
            monitor.record(model, step, saved=str(folder))
            train_step(model, tokenizer, optimizer)
        monitor.record(model, 3)
        run_id = monitor.run_id
    found = weight_distances(run_ids=[run_id], full=True, progress=False)
    assert found.table[["step_from", "step"]].values.tolist() == [[0, 1], [0, 2], [1, 2]]
    assert found.notices == ("Left out 1 monitored checkpoint whose weights were not saved.",)
    saved = Monitor(texts, trajectory="saved", raise_errors=True)  # without its tokenizer
    with pytest.raises(InputError, match="holds no tokenizer"):
        saved.record_saved(tmp_path / "step0", 0)
    saved = Monitor(texts, tokenizer=tokenizer, trajectory="saved", raise_errors=True)
    for step in (0, 2):
        saved.record_saved(tmp_path / f"step{step}", step)
    by_hand, _ = read_matrix(select_runs(run_ids=[saved.run_id]))
    live, _ = read_matrix(select_runs(run_ids=[run_id]))
    assert by_hand.values == pytest.approx(live.values[[0, 2]], abs=1e-4)


def test_it_records_in_the_run_of_mlflow_run(store, start, texts, monkeypatch, all_runs):
    client = mlflow.MlflowClient()
    where = client.get_experiment_by_name("test").experiment_id
    project = client.create_run(where, run_name="project").info.run_id
    monkeypatch.setenv("MLFLOW_RUN_ID", project)
    with Monitor(texts, tokenizer=tokenizer_of(start)) as monitor:
        monitor.record(model_of(start), 0)
    (run,) = all_runs()
    assert (run.info.run_id, run.info.status) == (project, "RUNNING")
    assert [point.step for point in select_runs(run_ids=[project])] == [0]


def test_a_reference_may_be_a_checkpoint_of_another_training(store, start, texts):
    model, tokenizer = model_of(start), tokenizer_of(start)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    with Monitor(texts, tokenizer=tokenizer, name="first") as monitor:
        monitor.record(model, 0)
        train_step(model, tokenizer, optimizer)
        monitor.record(model, 1)
        first = monitor.run_id
    with Monitor(texts, tokenizer=tokenizer, name="second", reference=f"{first}@1") as monitor:
        same = monitor.record(model, 0)
    assert same.kl_reference == 0
    with Monitor(texts, tokenizer=tokenizer, name="third", reference=f"{first}@0") as monitor:
        assert monitor.record(model, 0).kl_reference > 0
    with Monitor(texts, tokenizer=tokenizer, name="fourth", reference=None) as monitor:
        assert np.isnan(monitor.record(model, 0).kl_reference)
        run_id = monitor.run_id
    assert "modelmap/kl_reference" not in mlflow.get_run(run_id).data.metrics


def test_no_secret_of_the_store_reaches_the_warning(start, texts, caplog, monkeypatch):
    mlflow.set_tracking_uri("http://user:hunter2@127.0.0.1:9")
    Monitor(texts, tokenizer=tokenizer_of(start)).start(model_of(start))
    assert "monitor has stopped" in caplog.text
    assert "hunter2" not in caplog.text


def test_scoring_it_again_from_disk_gives_the_same_numbers(store, start, texts):
    with Monitor(texts, tokenizer=tokenizer_of(start)) as monitor:
        monitor.record(model_of(start), 0)
        run_id = monitor.run_id
    matrix, _ = read_matrix(select_runs(run_ids=[run_id]))
    assert np.array_equal(matrix.values[0], score(start, texts, progress=False).log_likelihoods)


def test_a_finished_training_that_cannot_be_taken_up_keeps_its_status(store, start, texts):
    model, tokenizer = model_of(start), tokenizer_of(start)
    with Monitor(texts, tokenizer=tokenizer, name="line") as monitor:
        monitor.record(model, 0)
        run_id = monitor.run_id
    before = mlflow.get_run(run_id).info
    root = local_path(before.artifact_uri) / "modelmap"
    for name, fails in (("checkpoints.csv", "damaged"), ("checkpoints/step-0.parquet", "damaged")):
        whole = (root / name).read_bytes()
        (root / name).write_bytes(b"step\n" if name.endswith("csv") else whole[:50])
        again = Monitor(texts, tokenizer=tokenizer, run_id=run_id, raise_errors=True)
        with pytest.raises(TrackingError, match=fails):
            again.start(model)
        (root / name).write_bytes(whole)
        after = mlflow.get_run(run_id)
        assert (after.info.status, after.info.end_time) == ("FINISHED", before.end_time)
    other = Monitor(texts, tokenizer=tokenizer, run_id=run_id, raise_errors=True, bos="never")
    with pytest.raises(TrackingError, match="already holds the param"):
        other.start(model)
    assert mlflow.get_run(run_id).info.status == "FINISHED"


def test_a_checkpoint_that_was_swapped_is_refused_and_an_earlier_index_is_read(store, start, texts):
    model, tokenizer = model_of(start), tokenizer_of(start)
    with Monitor(texts, tokenizer=tokenizer, name="line") as monitor:
        monitor.record(model, 0)
        with torch.no_grad():
            model.lm_head.weight.mul_(1.5)
        monitor.record(model, 1)
        run_id = monitor.run_id
    matrix, _ = read_matrix(select_runs(run_ids=[run_id]))
    root = local_path(mlflow.get_run(run_id).info.artifact_uri) / "modelmap"
    (root / "checkpoints/step-0.parquet").write_bytes(
        (root / "checkpoints/step-1.parquet").read_bytes()
    )
    with pytest.raises(TrackingError, match=r"step-0.*is another one.*checkpoints\.csv"):
        read_matrix(select_runs(run_ids=[run_id]))
    index = pd.read_csv(root / "checkpoints.csv")
    assert index["vector"].str.fullmatch("[0-9a-f]{64}").all()
    # As it was written before there were digests: read, and gone on with.
    index.drop(columns="vector").to_csv(root / "checkpoints.csv", index=False)
    swapped, _ = read_matrix(select_runs(run_ids=[run_id]))
    assert np.array_equal(swapped.values, matrix.values[[1, 1]])
    with Monitor(texts, tokenizer=tokenizer, run_id=run_id, raise_errors=True) as monitor:
        monitor.record(model, 2)
    assert pd.read_csv(root / "checkpoints.csv")["vector"].notna().tolist() == [False, False, True]
    assert len(read_matrix(select_runs(run_ids=[run_id]))[1]) == 3


LOOP = """
from mlflow_modelmap import Monitor
from tests.training import model_of, monitoring_texts, tokenizer_of
model, tokenizer = model_of(sys.argv[1]), tokenizer_of(sys.argv[1])
monitor = Monitor(monitoring_texts(), tokenizer=tokenizer, name="line", raise_errors=True)
if sys.argv[2] == "with":
    with monitor:
        monitor.record(model, 0)
        here()
monitor.record(model, 0)
if sys.argv[2] == "crash":
    raise ValueError("no more data")
here()
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("how", "number", "status", "why"),
    [
        ("with", signal.SIGINT, "KILLED", "Stopped before the end."),
        ("bare", signal.SIGINT, "KILLED", "Stopped before the end."),
        ("bare", signal.SIGKILL, "RUNNING", None),
    ],
)
def test_an_interrupted_loop_is_killed_with_the_reason(
    store, start, texts, all_runs, how, number, status, why
):
    with working(LOOP, str(start), how) as process:
        process.send_signal(number)
        process.wait(timeout=60)
    (run,) = all_runs()
    assert (run.info.status, run.data.tags.get("modelmap.error")) == (status, why)
    model, tokenizer = model_of(start), tokenizer_of(start)
    with Monitor(texts, tokenizer=tokenizer, run_id=run.info.run_id, raise_errors=True) as monitor:
        assert monitor.record(model, 1) is not None
    (run,) = all_runs()
    assert (run.info.status, run.data.tags.get("modelmap.error")) == ("FINISHED", None)
    assert [point.step for point in select_runs(run_ids=[run.info.run_id])] == [0, 1]


@pytest.mark.slow
def test_a_loop_that_crashes_says_why_on_its_run(store, start, all_runs):
    done = forking.run("-c", HELD_UP + LOOP, start, "crash")
    assert done.returncode == 1
    (run,) = all_runs()
    assert run.info.status == "FAILED"
    assert run.data.tags["modelmap.error"] == "ValueError: no more data"


def test_what_prompts_are_put_under_is_scored_so_and_said(store, start, texts, all_runs):
    responses = tuple(f"{s[:30]} {k}" for k in range(3) for s in ("The quick fox", "京都 is old"))
    asked = TextSet("asked", responses, prompts=("Why? fox",) * 3 + ("Who?",) * 3)
    given = {"system_prompt": "Be brief.", "end_of_turn": True}
    tokenizer = tokenizer_of(start)
    with Monitor(asked, tokenizer=tokenizer, name="asked", **given, raise_errors=True) as monitor:
        monitor.record(model_of(start), 0)
    (run,) = all_runs()
    assert run.data.tags["modelmap.prompt"] == "system: Be brief."
    assert run.data.params["modelmap.system_prompt"] == "Be brief."
    assert run.data.params["modelmap.end_of_turn"] == "true"
    assert run.data.params["modelmap.template_applied"] == "none"
    values = read_matrix(select_runs(["test"]))[0].values[0]
    own = score(start, asked, **given, progress=False)
    assert np.array_equal(own.log_likelihoods, values)
    with pytest.raises(InputError, match="no responses to prompts, so that end_of_turn and system"):
        Monitor(texts, **given)
