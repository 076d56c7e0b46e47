"""Which runs a study is of: recorded with what was left out, and given back by every study."""

from __future__ import annotations

import mlflow
import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from mlflow_modelmap.drivers.lineage.lineage import lineage
from mlflow_modelmap.drivers.lineage.study import load_lineage
from mlflow_modelmap.drivers.map.build_map import build_map
from mlflow_modelmap.drivers.map.model_map import load_map
from mlflow_modelmap.drivers.study.layers import load_layers, study_layers
from mlflow_modelmap.drivers.study.quantization import load_quantization, study_quantization
from mlflow_modelmap.drivers.study.scale import build_scale, load_scale
from mlflow_modelmap.drivers.study.selection import select
from mlflow_modelmap.drivers.trajectory.study import load_trajectory
from mlflow_modelmap.drivers.trajectory.trajectory import trajectory
from mlflow_modelmap.drivers.weights.distances import load_weight_distances, weight_distances
from mlflow_modelmap.errors import InputError
from mlflow_modelmap.texts.text_set import TextSet
from mlflow_modelmap.texts.write import write_texts
from mlflow_modelmap.tracking.runs.selection import Selection
from mlflow_modelmap.tracking.runs.study_run import load_study
from tests.tracking.conftest import vector_frame

STUDIES = {
    "map": (build_map, load_map, {}),
    "layers": (study_layers, load_layers, {}),
    "quantization": (study_quantization, load_quantization, {}),
    "scale": (build_scale, load_scale, {}),
    "trajectory": (trajectory, load_trajectory, {"figures": False}),
    "weights": (weight_distances, load_weight_distances, {"progress": False}),
    "lineage": (lineage, load_lineage, {"score": False, "hub": False}),
}


def test_one_of_several_text_sets_is_chosen_by_name_digest_or_itself(
    write_run, tmp_path, monkeypatch
):
    mine = TextSet("mine", ("a", "bb", "ccc"))
    for name, digest, called in (
        ("a", mine.digest, "mine"),
        ("b", mine.digest, "mine"),
        ("c", "c" * 64, "theirs"),
        ("d", "d" * 64, "theirs"),
    ):
        write_run(name, digest=digest, text_set_name=called)
    file = write_texts(mine, tmp_path / "mine.jsonl")
    for texts in ("mine", mine.digest, mine.digest[:12], mine, file, str(file)):
        found = select(["test"], texts=texts)
        assert [run.name for run in found.runs] == ["a", "b"]
        assert found.selection.texts == mine.digest
    assert [run.name for run in select(["test"], texts="d" * 12).runs] == ["d"]
    for texts, told in (
        ("theirs", "Several text sets are called 'theirs'; choose one by its digest, of 'cccccccc"),
        ("nobody's", "No selected run was scored on texts called .*, but on mine \\(.*theirs"),
        (TextSet("new", ("x",)), "'new' .* are not those that were scored \\(mine"),
    ):
        with pytest.raises(InputError, match=told):
            select(["test"], texts=texts)
    (tmp_path / "theirs").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="theirs' holds no"):  # a folder of that name comes first
        select(["test"], texts="theirs")
    with pytest.raises(InputError, match="no run"):
        select(["test"], texts=f"runs:/{'0' * 32}")
    with pytest.raises(InputError, match=r"choose one by its name or digest \(--texts 'mine'"):
        select(["test"]).matrix()


@pytest.fixture
def scored(write_run, tmp_path):
    """Three checkpoints with layers, a quantised copy, and a run that is not finished."""
    generator = np.random.default_rng(0)
    ids = []
    for step in (0, 10, 20):
        folder = tmp_path / f"step{step}"
        folder.mkdir()
        save_file({"w": torch.full((4,), float(step))}, folder / "model.safetensors")
        values = [-50 + 5 * generator.normal(size=40) for _ in range(4)]
        about = {"model": str(folder), "trajectory": "line", "step": str(step)}
        layers = dict(enumerate(values[:2]))
        ids.append(write_run(f"at {step}", values[1], layers=layers, precision="float32", **about))
    write_run("at 20 int8", values[3], precision="int8", **about)
    write_run("half done", values[2], status="RUNNING", **about)
    return ids


@pytest.mark.parametrize("kind", STUDIES)
def test_every_study_gives_back_its_notices_and_what_was_selected(scored, kind):
    make, load, options = STUDIES[kind]
    filter = "attributes.run_name != 'nothing'"
    made = make((name for name in ["test"]), filter, (run_id for run_id in scored[:1]), **options)
    read = load(made.run_id)
    assert read.notices == made.notices
    assert "Left out 1 unfinished run: 1 running." in made.notices
    logged = load_study(made.run_id, kind)
    assert logged.selection == Selection(("test",), filter, (scored[0],))
    assert logged.notices == made.notices


def test_without_a_choice_the_current_experiment_is_recorded_by_its_name(scored):
    assert select().selection == Selection(("test",))
    made = build_scale()
    assert load_study(made.run_id, "scale").selection == Selection(("test",))


def test_another_experiment_can_stand_in_for_the_current_one(scored, write_run):
    write_run("elsewhere", experiment="other")
    found = select(otherwise="other")
    assert [point.name for point in found.runs] == ["elsewhere"]
    assert found.notices == []
    matrix, points = found.matrix()
    assert matrix.values.shape == (1, 3)
    assert points[0].bits_per_byte > 0


def test_nothing_is_said_where_nothing_was_left_out(write_run):
    generator = np.random.default_rng(1)
    for name in ("org/a", "org/b"):
        values = -50 + generator.normal(size=40)
        alike = vector_frame(values).assign(bytes=60)  # texts of one length: nothing to say
        write_run(name, values, frame=alike, model=name, model_type="llama")
    found = build_scale(["test"])
    assert found.notices == load_scale(found.run_id).notices == ()
    assert "modelmap.notices" not in mlflow.MlflowClient().get_run(found.run_id).data.params


def test_what_is_not_there_is_said(store):
    with pytest.raises(InputError, match="No finished run of kind 'score'"):
        select()
    with pytest.raises(InputError, match="no experiment 'nowhere'"):
        select(["nowhere"])
