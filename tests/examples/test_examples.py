"""The examples people copy, run as they run them, twice: what is printed and what is logged."""

from __future__ import annotations

import ast
import base64
import os
import re
import shutil
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest

from mlflow_modelmap import (
    compare,
    load_lineage,
    load_map,
    load_quantization,
    load_trajectory,
    read_texts,
)
from mlflow_modelmap.words.value_and_error import with_error
from tests import forking, tiny

EXAMPLES = Path(__file__).parents[2] / "examples"
NOTEBOOK = EXAMPLES / "walk_through_a_map.ipynb"
TEXTS = "python-docs:40"


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A tiny model whose layers are wide enough for 4 bits."""
    folder = tmp_path_factory.mktemp("model") / "base"
    sizes = {"hidden_size": 64, "intermediate_size": 128, "max_position_embeddings": 1024}
    return tiny.make_model(folder, scale=1.0, **sizes)


@pytest.fixture
def text_file(tmp_path):
    """Few documents to train on, so that no time goes into their tokens."""
    path = tmp_path / "train.jsonl"
    rows = pd.DataFrame({"text": [f"{text} {k}" for text in tiny.SENTENCES for k in range(60)]})
    rows.to_json(path, orient="records", lines=True)
    return path


@pytest.fixture
def run(store, tmp_path):
    """Run an example in the folder of the test, without the Hub; its standard output comes back."""
    environment = {
        **os.environ,
        "HF_HUB_OFFLINE": "1",
        "CUDA_VISIBLE_DEVICES": "",
        "OMP_NUM_THREADS": "1",  # tiny models gain nothing by more
        "TMPDIR": str(tmp_path),
        "PYTHONHASHSEED": "0",
    }

    def start(name: str, *arguments: object) -> str:
        done = forking.run(EXAMPLES / name, *arguments, cwd=tmp_path, env=environment, timeout=300)
        assert done.returncode == 0, done.stderr
        assert "The model map's monitor has stopped" not in done.stderr
        return done.stdout

    return start


def of_kind(runs, kind):
    found = [run for run in runs if run.data.tags.get("modelmap.kind") == kind]
    assert all(run.info.status == "FINISHED" for run in found)
    return found


def history(run, name):
    found = mlflow.MlflowClient().get_metric_history(run.info.run_id, name)
    return [(metric.step, metric.value) for metric in found]


def index_of(run):
    path = f"{run.info.artifact_uri}/modelmap/checkpoints.csv"
    path = mlflow.artifacts.download_artifacts(path)
    return pd.read_csv(path, float_precision="round_trip").set_index("step")


def weights(folder):
    from safetensors.numpy import load_file

    return load_file(folder / "model.safetensors")


@pytest.mark.slow
def test_a_trainer_is_monitored_and_goes_on_in_its_run(run, model, text_file, all_runs, tmp_path):
    asked = ["--model", model, "--train", text_file, "--texts", TEXTS, "--save-every", 4]
    printed = run("monitor_trainer.py", *asked, "--steps", 12)
    (training,) = of_kind(all_runs(), "monitor")
    (base,) = of_kind(all_runs(), "score")
    assert len(all_runs()) == 2
    index = index_of(training)
    assert list(index.index) == [0, 4, 8, 12]
    assert index["bits_per_byte"].is_monotonic_decreasing
    assert index["kl_reference"].is_monotonic_increasing
    assert dict(history(training, "modelmap/kl_reference")) == index["kl_reference"].to_dict()
    assert [step for step, _ in history(training, "loss")] == [5, 10]  # the Trainer's own
    against = compare(f"{training.info.run_id}@12", base.info.run_id)
    assert (against.kl, against.se) == pytest.approx(
        (index.at[12, "kl_reference"], index.at[12, "kl_reference_se"])
    )
    for step in (4, 8, 12):
        row = [
            with_error(index.at[step, name], index.at[step, f"{name}_se"])
            for name in ("bits_per_byte", "kl_previous", "kl_reference")
        ]
        assert re.search(rf"^ +{step} +" + " +".join(map(re.escape, row)) + "$", printed, re.M)
    assert "Breaks of continuity: none found" in printed
    page = f"#/experiments/{training.info.experiment_id}/runs/{training.info.run_id}/model-metrics"
    assert f"http://127.0.0.1:5000/{page}\n" in printed

    # As if it had been killed before the last save: the same weights come out, in the same run.
    last = tmp_path / "fine-tuned" / "checkpoint-12"
    whole = weights(last)
    shutil.rmtree(last)
    assert run("monitor_trainer.py", *asked, "--steps", 12).endswith(printed[-400:])
    again = weights(last)
    assert again.keys() == whole.keys()
    for name, values in whole.items():
        np.testing.assert_array_equal(again[name], values, err_msg=name)

    # Nothing is left to do.
    run("monitor_trainer.py", *asked, "--steps", 12)
    assert {r.info.run_id for r in all_runs()} == {training.info.run_id, base.info.run_id}
    logged = [step for step, _ in history(training, "modelmap/kl_reference")]
    assert logged == list(index_of(training).index) == [0, 4, 8, 12]
    assert not (tmp_path / "fine-tuned" / "checkpoint-13").exists()


@pytest.mark.heavy
def test_a_loop_is_monitored_and_can_act_on_what_it_hears(run, model, text_file, all_runs):
    asked = ["--model", model, "--train", text_file, "--texts", TEXTS, "--record-every", 4]
    printed = run("monitor_loop.py", *asked, "--steps", 10)
    (training,) = of_kind(all_runs(), "monitor")
    index = index_of(training)
    assert list(index.index) == [0, 4, 8, 10]
    for step, row in index.iterrows():
        kl = with_error(row["kl_reference"], row["kl_reference_se"])
        assert f"step {step}: {kl} bits/byte from the base model\n" in printed
    assert "stopped" not in printed
    assert [step for step, _ in history(training, "loss")] == list(range(1, 11))
    (base,) = of_kind(all_runs(), "score")
    assert base.data.metrics["modelmap/bits_per_byte"] == pytest.approx(
        index.at[0, "bits_per_byte"]
    )

    limit = index["kl_reference"].iloc[1] * 1.01
    second = run("monitor_loop.py", *asked, "--steps", 10, "--max-kl", limit, "--name", "careful")
    assert re.search(r"step 8: .+\nThat is .+: stopped\.\n", second)
    careful = next(r for r in of_kind(all_runs(), "monitor") if r.info.run_name == "careful")
    pd.testing.assert_frame_equal(
        index_of(careful)[["bits_per_byte", "kl_reference"]],
        index.loc[[0, 4, 8], ["bits_per_byte", "kl_reference"]],
    )
    assert len(of_kind(all_runs(), "score")) == 1  # the base model is scored once
    assert len(all_runs()) == 3


@pytest.mark.heavy
def test_quantised_copies_are_compared_and_scored_once(run, model, all_runs):
    pytest.importorskip("bitsandbytes")
    printed = run("compare_quantisations.py", "--model", model, "--texts", TEXTS)
    scores = {r.data.tags["modelmap.precision"]: r for r in of_kind(all_runs(), "score")}
    assert set(scores) == {"float32", "int8", "nf4", "fp4"}
    (made,) = of_kind(all_runs(), "quantization")
    pairs = load_quantization(made.info.run_id).pairs.set_index("precision")
    assert pairs.at["int8", "kl"] < pairs.loc[["nf4", "fp4"], "kl"].min()
    for precision, row in pairs.iterrows():
        against = compare(scores["float32"].info.run_id, scores[precision].info.run_id)
        assert (row["kl"], row["se"]) == pytest.approx((against.kl, against.se), rel=1e-6)
        bits = scores[precision].data.metrics["modelmap/bits_per_byte"]
        shown = f"{precision} +{bits:.4f} +{re.escape(with_error(row['kl'], row['se']))} +"
        words = against.words.partition(";")[0]
        assert re.search(f"^{shown}{re.escape(words)}$", printed, re.M)
    client = mlflow.MlflowClient()
    files = {file.path for file in client.list_artifacts(made.info.run_id, "modelmap")}
    assert {"modelmap/kl.png", "modelmap/map.png"} <= files

    assert run("compare_quantisations.py", "--model", model, "--texts", TEXTS).startswith(
        printed.partition("\nFigures")[0]
    )
    assert len(of_kind(all_runs(), "score")) == 4


@pytest.mark.heavy
def test_fine_tunes_in_the_registry_are_measured_against_their_parent(run, model, all_runs):
    asked = ["--model", model, "--texts", TEXTS, "--steps", 12]
    printed = run("registry_lineage.py", *asked)
    client = mlflow.MlflowClient()
    versions = {v.name: v for v in client.search_model_versions("name LIKE 'my-model-%'")}
    assert set(versions) == {"my-model-base", "my-model-docs", "my-model-code"}
    (made,) = of_kind(all_runs(), "lineage")
    table = load_lineage(made.info.run_id).table.set_index("child")
    for name in ("docs", "code"):
        row, tags = table.loc[f"my-model-{name}/1"], versions[f"my-model-{name}"].tags
        assert row["parent"] == "my-model-base/1"
        assert row["kl"] > 1.96 * row["se"]
        assert tags["base_model"] == "models:/my-model-base/1"
        assert float(tags["modelmap.kl_to_parent"]) == pytest.approx(row["kl"], rel=1e-5)
        line = f"  {row.name} from my-model-base/1: {with_error(row['kl'], row['se'])}, "
        assert line in printed
        assert f"    nearest of all: {row['nearest']} ({row['verdict']})\n" in printed
    assert "base_model" not in versions["my-model-base"].tags
    scores = of_kind(all_runs(), "score")
    assert len(scores) == 3

    assert (
        run("registry_lineage.py", *asked).partition("The tree")[0]
        == (printed.partition("The tree")[0])
    )
    assert len(client.search_model_versions("name LIKE 'my-model-%'")) == 3
    assert len(of_kind(all_runs(), "score")) == 3


def read_notebook():
    import nbformat

    return nbformat.read(NOTEBOOK, as_version=4)


def shown(notebook):
    """All text that the cells show, and how many pictures."""
    outputs = [o for cell in notebook.cells if cell.cell_type == "code" for o in cell.outputs]
    assert not [o for o in outputs if o.output_type == "error"]
    texts = [o.text for o in outputs if o.output_type == "stream" and o.name == "stdout"]
    data = [o.data for o in outputs if "data" in o]
    texts += [d["text/plain"] for d in data if "image/png" not in d]
    pictures = [base64.b64decode(d["image/png"]) for d in data if "image/png" in d]
    return "\n".join(texts), pictures


SHORTER = {
    "[0, 4, 8, 16, 32, 64, 96, 128, 160, 192, 224, 256]": "[0, 4, 8, 16, 32, 48]",
    "python_docs_corpus()": "python_docs_corpus()[:150]",
    "python-docs:150": "python-docs:30",
    "step 224": "step 32",
    "step 256": "step 48",
    "step256": "step48",
    "[16]": "[4]",
    "step16": "step4",
}
"""What is written for what in the notebook's code, so that it is over soon."""


@pytest.mark.slow
@pytest.mark.parametrize("full", [False, pytest.param(True, marks=pytest.mark.heavy)])
def test_the_notebook_runs_from_top_to_bottom(store, tmp_path, monkeypatch, all_runs, full):
    from nbclient import NotebookClient

    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    notebook = read_notebook()
    steps, texts, last = (12, 150, "step 256") if full else (6, 30, "step 48")
    for long, short in () if full else SHORTER.items():
        cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
        assert any(long in cell.source for cell in cells), long
        for cell in cells:
            cell.source = cell.source.replace(long, short)
    where = {"metadata": {"path": str(tmp_path)}}
    NotebookClient(notebook, timeout=300, kernel_name="python3", resources=where).execute()
    text, pictures = shown(notebook)
    assert [picture[:4] for picture in pictures] == [b"\x89PNG"] * 2

    assert len(of_kind(all_runs(), "score")) == 2 * steps + 1
    (map_run,) = of_kind(all_runs(), "map")
    (trajectory_run,) = of_kind(all_runs(), "trajectory")
    made = load_map(map_run.info.run_id)
    assert made.texts == texts
    assert made.nearest_to("fine-tuned on code", 1)["neighbour"].item().startswith("seed 1 step")
    for what, a, b in (
        ("two seeds, at the end", f"seed 1 {last}", f"seed 2 {last}"),
        ("fine-tuning on code", f"seed 1 {last}", "fine-tuned on code"),
    ):
        assert f"{what}: {with_error(*made.between(a, b))} bits/byte\n" in text
    kl = load_trajectory(trajectory_run.info.run_id).kl_previous.query("trajectory == 'seed 1'")
    assert len(kl) == steps - 1
    for row in kl.itertuples():
        assert with_error(row.kl, row.se) in text
        between = made.between(f"seed 1 step {row.step_from}", f"seed 1 step {row.step}")
        assert between == pytest.approx((row.kl, row.se), rel=1e-6)
    assert kl["kl"].iloc[-1] < kl["kl"].iloc[: steps // 2 - 1].min()  # what its prose says
    numbers = re.findall(r"(?:of Q|between them): +([\d.]+)", text)
    assert numbers[0] == numbers[1]


def test_the_committed_notebook_shows_what_came_out_and_nothing_of_the_machine():
    notebook = read_notebook()
    text, pictures = shown(notebook)
    assert NOTEBOOK.stat().st_size < 400_000
    assert len(pictures) == 2
    assert "25 points on 150 texts" in text
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == [*range(1, len(code) + 1)]
    assert not re.search(r"/(work|home|root|tmp|Users)/", NOTEBOOK.read_text(encoding="utf-8"))


def test_the_table_of_examples_lists_every_file_and_the_commands_of_their_docstrings():
    listed = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    files = {path.name for path in EXAMPLES.iterdir() if path.is_file()} - {"README.md"}
    assert set(re.findall(r"\]\(([\w.]+)\)", listed)) >= files
    for name in sorted(files):
        if name.endswith(".py"):
            docstring = ast.get_docstring(ast.parse((EXAMPLES / name).read_text("utf-8")))
            assert f"python examples/{name}" in docstring
            assert f"python examples/{name}" in listed


def test_the_default_texts_are_there():
    """The scripts' `python-docs:200` needs that many texts."""
    assert len(read_texts("python-docs:200")) == 200
