"""What older versions wrote is read by this one: every run opens, and no score is made again."""

from __future__ import annotations

import json
import shutil
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient
from packaging.version import Version

import mlflow_modelmap as mm
from tests.old_store import STORES, OldStore, serve_hub, unpack
from tests.serving import serving

pytestmark = pytest.mark.usefixtures("undrawn")
VERSIONS = sorted(path.stem[1:].replace("_", ".") for path in STORES.glob("v*.zip"))
HOW: dict[str, Any] = {"precision": "float32", "device": "cpu", "progress": False}
"""How the scores were made, the same on every machine."""
SETTINGS = mm.ScoringSettings(precision="float32", device="cpu")
OPENED = {
    "map",
    "map with layers",
    "map of trainings",
    "weighted map",
    "trajectory",
    "monitor",
    "scale",
    "lineage",
    "gate",
    "quantization",
    "layers",
}
"""Runs that the server's page lists."""


@pytest.fixture(scope="session", params=VERSIONS)
def unpacked(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> OldStore:
    """The store of each version, which no test writes into."""
    old = unpack(request.param, tmp_path_factory.mktemp("an older store"))
    made_by = old.index["mlflow"]
    if Version(made_by) > Version(mlflow.__version__):
        pytest.skip(f"MLflow {mlflow.__version__} opens no store of MLflow {made_by}")
    return old


def chosen(old: OldStore, folder: Path, monkeypatch: pytest.MonkeyPatch) -> OldStore:
    """The same store, as the current one; what is written beside it lies in the folder."""
    monkeypatch.chdir(folder)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", old.uri)
    mlflow.set_tracking_uri(old.uri)
    return old


@pytest.fixture
def old(unpacked: OldStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> OldStore:
    """The store of each version, to be read."""
    return chosen(unpacked, tmp_path, monkeypatch)


@pytest.fixture
def own(unpacked: OldStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[OldStore]:
    """A copy of the store of each version, to be written into, and its Hub."""
    with serve_hub(unpacked) as hub:
        hub.use(monkeypatch, tmp_path / "cache")
        yield chosen(unpack(unpacked.index["version"], tmp_path / "own"), tmp_path, monkeypatch)


def tables(old: OldStore, run: str) -> Path:
    """The folder of a run's artifacts."""
    (folder,) = (old.folder / "artifacts").glob(f"*/{old.runs[run]}/artifacts/modelmap")
    return folder


def square(path: Path) -> np.ndarray:
    """A table of points by points, as numbers."""
    return pd.read_parquet(path).drop(columns="point").to_numpy()


def count_runs(old: OldStore) -> int:
    """How many runs there are."""
    return len(MlflowClient(old.uri).search_runs(list(old.experiments.values())))


def test_every_version_that_was_released_has_its_store():
    assert "0.1.0" in VERSIONS


def test_nothing_is_left_of_where_it_was_made(old):
    client = MlflowClient(old.uri)
    texts = [path for path in old.folder.rglob("*") if path.suffix in (".csv", ".json", ".yaml")]
    assert texts
    assert not [p for p in texts if "@ROOT" in p.read_text() and p.name != "index.json"]
    for run_id in old.runs.values():
        uri = client.get_run(run_id).info.artifact_uri
        assert uri.startswith(old.folder.as_uri()), uri


@pytest.mark.parametrize("run", ["map", "map with layers", "map of trainings", "weighted map"])
def test_a_map_loads(old, run):
    made = mm.load_map(old.runs[run])
    assert np.array_equal(made.kl.to_numpy(), square(tables(old, run) / "kl.parquet"))
    errors = square(tables(old, run) / "kl_standard_error.parquet")
    assert np.array_equal(made.kl_standard_error.to_numpy(), errors)
    points = pd.read_parquet(tables(old, run) / "points.parquet")
    assert list(made.points["point"]) == list(made.kl.columns) == list(points["point"])
    assert list(made.points["run_id"]) == list(points["run_id"])
    texts = mm.read_texts(old.weighted_texts if run == "weighted map" else old.texts)
    assert (made.text_set, made.texts) == (texts.digest, len(texts))
    assert made.kl.to_numpy().max() > 0


def test_a_map_knows_its_members(old):
    single = mm.load_map(old.runs["map"]).points
    names = ("tiny/1", "tiny/2", "base", "child", "wide nf4", "tiny/1 int8", "deleted")
    assert {old.runs[name] for name in names} <= set(single["run_id"])
    layered = mm.load_map(old.runs["map with layers"]).points
    own_layers = layered.loc[layered["run_id"] == old.runs["with layers"], "layer"]
    assert sorted(own_layers.dropna().astype(int)) == [0, 1, 2]
    trained = mm.load_map(old.runs["map of trainings"]).points
    assert trained.groupby("trajectory")["step"].count().to_dict() == {
        "monitored": 6,
        "walk-seed1": 11,
        "walk-seed2": 11,
    }
    assert mm.load_map(old.runs["weighted map"]).weights is not None
    assert mm.load_map(old.runs["map"]).weights is None


def test_layers_load(old):
    found = mm.load_layers(old.runs["layers"])
    assert len(found.profiles) == 4
    assert (found.profiles["kl"] > 0).all()
    assert set(found.points["run_id"]) == {
        old.runs["with layers"],
        old.runs["child with layers"],
    }


def test_quantised_copies_load(old):
    found = mm.load_quantization(old.runs["quantization"])
    assert set(zip(found.pairs["model"], found.pairs["precision"], strict=True)) == {
        ("tests/wide", "int8"),
        ("tests/wide", "nf4"),
        ("models:/tiny/1@1", "int8"),
    }
    assert (found.pairs["kl"] > 0).all()
    assert len(found.cosines)
    assert len(found.alignment)


def test_a_scale_loads(old):
    found = mm.load_scale(old.runs["scale"])
    assert {"Later", "Seed", "8-bit", "4-bit", "FT", "Random"} <= set(found.table["group"])
    assert dict(zip(found.table["group"], found.table["n"], strict=True)) == (
        found.pairs.groupby("group").size().to_dict()
    )


def test_lineage_loads(old):
    found = mm.load_lineage(old.runs["lineage"])
    edges = found.table.dropna(subset="parent")
    claimed = set(zip(edges["child"], edges["parent"], strict=True))
    assert ("tiny/2", "tiny/1") in claimed
    assert ("tiny-chat/1", "tiny/1") in claimed
    assert ("child@main float32", "base float32") in claimed
    version = MlflowClient(old.uri).get_model_version("tiny", "2")
    kl = edges.set_index("child").at["tiny/2", "kl"]
    assert float(version.tags["modelmap.kl_to_parent"]) == pytest.approx(kl)
    assert version.tags["modelmap.lineage_run"] == old.runs["lineage"]


def test_a_trajectory_study_loads(old):
    found = mm.load_trajectory(old.runs["trajectory"])
    kl = found.kl_previous
    assert kl.groupby("trajectory").size().to_dict() == {"walk-seed1": 10, "walk-seed2": 10}
    assert (kl["kl"] > 0).all()
    assert set(found.diffusion["space"]) >= {"q", "w"}
    assert set(found.summary["trajectory"]) == {"walk-seed1", "walk-seed2"}
    written = tables(old, "trajectory") / "kl_previous.parquet"
    assert np.array_equal(kl["kl"], pd.read_parquet(written)["kl"])


def test_distances_between_weights_load(old):
    found = mm.load_weight_distances(old.runs["weights"])
    for trajectory, checkpoints in (("walk-seed1", 11), ("walk-seed2", 11), ("monitored", 6)):
        distances = found.matrix(trajectory).to_numpy()
        assert distances.shape == (checkpoints, checkpoints)
        assert (distances[~np.eye(checkpoints, dtype=bool)] > 0).all()


def test_a_gate_and_an_evaluation_say_what_they_decided(old):
    client = MlflowClient(old.uri)
    decided = client.get_run(old.runs["gate"]).data
    assert decided.tags["modelmap.gate"] == "pass"
    assert client.get_model_version("tiny", "2").tags["modelmap.gate_run"] == old.runs["gate"]
    measured = client.get_run(old.runs["evaluation"]).data
    assert measured.tags["modelmap.reference_run"] == old.runs["tiny/1"]
    assert measured.metrics["modelmap/kl"] == pytest.approx(decided.metrics["modelmap/kl"])


@pytest.mark.parametrize(
    ("run", "experiment", "options", "gone"),
    [
        ("map", "models", {}, {"deleted"}),
        ("map with layers", "models", {"layers": True}, {"deleted"}),
        ("map of trainings", "trainings", {"clip": 0.02}, set()),
        ("weighted map", "weighted", {}, set()),
    ],
)
def test_a_new_map_of_old_scores_measures_the_same(own, run, experiment, options, gone):
    before = mm.load_map(own.runs[run])
    now = mm.build_map([experiment], **options)

    def by_run(made: mm.ModelMap) -> dict[Any, str]:
        rows = made.points[["run_id", "layer", "step"]].astype("string").fillna("")
        keys = map(tuple, rows.to_numpy())
        return dict(zip(keys, made.points["point"], strict=True))

    old_names, new_names = by_run(before), by_run(now)
    shared = [key for key in old_names if key in new_names]
    assert {key[0] for key in set(old_names) - set(shared)} == {own.runs[name] for name in gone}
    old_points, new_points = ([names[k] for k in shared] for names in (old_names, new_names))
    # A standard error now also holds that the mean bytes are of the same texts.
    for attribute, within in (("kl", 1e-9), ("kl_standard_error", 0.15)):
        was = getattr(before, attribute).loc[old_points, old_points].to_numpy()
        is_now = getattr(now, attribute).loc[new_points, new_points].to_numpy()
        np.testing.assert_allclose(is_now, was, rtol=within, atol=1e-12)
    assert now.mean_bytes == before.mean_bytes


def test_a_map_takes_finished_runs_only_and_follows_sweeps_and_skips(own):
    made = mm.build_map(["models"])
    members = set(made.points["run_id"])
    assert own.runs["evaluation"] in members
    assert not members & {own.runs[name] for name in ("failed", "deleted", "skipped", "sweep")}
    assert any("unfinished" in notice or "failed" in notice for notice in made.notices)
    followed = mm.build_map(run_ids=[own.runs["sweep"], own.runs["tiny/1"]])
    assert set(followed.points["run_id"]) == {
        own.runs[name] for name in ("base", "tiny-chat/1", "base bfloat16", "tiny/1")
    }
    skipped = mm.build_map(run_ids=[own.runs["skipped"], own.runs["tiny/1"]])
    assert set(skipped.points["run_id"]) == {own.runs["base"], own.runs["tiny/1"]}
    for name, words in (("failed", "not finite"), ("deleted", "deleted")):
        with pytest.raises(mm.InputError, match=words):
            mm.build_map(run_ids=[own.runs[name], own.runs["tiny/1"]])


def test_a_run_of_a_later_schema_is_refused_by_name(own):
    later = own.runs["from the future"]
    assert later not in set(mm.build_map(["models"]).points["run_id"])
    with pytest.raises(mm.InputError, match="from the future"):
        mm.build_map(run_ids=[later, own.runs["tiny/1"]])


@pytest.mark.parametrize(
    ("run", "model", "options"),
    [
        ("tiny/1", "models:/tiny/1", {}),
        ("tiny/2", "models:/tiny/2", {}),
        ("base", "tests/base", {}),
        ("child", "tests/child@main", {}),
        ("with layers", "models:/tiny/1", {"layers": True, "name": "tiny 1 with layers"}),
        ("wide int8", "tests/wide", {"precision": "int8"}),
        ("wide nf4", "tests/wide", {"precision": "nf4"}),
        (
            "walk-seed1 step 3000",
            "tests/walk-seed1",
            {
                "revision": "step3000",
                "step": 3000,
                "trajectory": "walk-seed1",
                "experiment": "trainings",
            },
        ),
        ("weighted base", "tests/base", {"experiment": "weighted"}),
    ],
)
def test_what_was_scored_is_not_scored_again(own, run, model, options):
    before = count_runs(own)
    texts = own.weighted_texts if run.startswith("weighted") else own.texts
    found = mm.score(model, str(texts), **{"experiment": "models", **HOW, **options})
    assert found.skipped
    assert found.run_id == own.runs[run]
    vector = pd.read_parquet(tables(own, run) / "log_likelihoods.parquet")
    own_rows = vector[vector["layer"].isna()]
    assert np.array_equal(found.log_likelihoods, own_rows["log_likelihood"])
    assert count_runs(own) == before


@pytest.mark.parametrize("run", ["base", "tiny/1"])
def test_scoring_again_gives_the_old_numbers(own, run):
    model = {"base": "tests/base", "tiny/1": "models:/tiny/1"}[run]
    again = mm.score(model, str(own.texts), experiment="models", again=True, **HOW)
    vector = pd.read_parquet(tables(own, run) / "log_likelihoods.parquet")
    np.testing.assert_allclose(again.log_likelihoods, vector["log_likelihood"], rtol=1e-4)


def test_a_sweep_skips_what_was_scored(own):
    before = count_runs(own)
    plan = {
        "experiment": "models",
        "defaults": {"precision": "float32", "device": "cpu"},
        "models": ["models:/tiny/1", "tests/base", "models:/tiny-chat/1"],
    }
    done = mm.sweep(plan, texts=str(own.texts), progress=False)
    assert [row.state for row in done.rows] == ["skipped"] * 3
    names = ("tiny/1", "base", "tiny-chat/1")
    assert [row.run_id for row in done.rows] == [own.runs[name] for name in names]
    assert done.run_id is None
    assert count_runs(own) == before


def test_weights_and_trajectories_are_measured_again(own):
    before = mm.load_weight_distances(own.runs["weights"])
    now = mm.weight_distances(["trainings"], full=True, progress=False)
    columns = ["trajectory", "step_from", "step"]
    merged = before.table.merge(now.table, on=columns, validate="one_to_one")
    assert len(merged) == len(before.table) == len(now.table)
    np.testing.assert_allclose(
        merged["squared_distance_x"], merged["squared_distance_y"], rtol=1e-9
    )
    studied = mm.load_trajectory(own.runs["trajectory"])
    again = mm.trajectory(
        ["trainings"],
        "tags.`modelmap.trajectory` LIKE 'walk%'",
        weights_run=own.runs["weights"],
        figures=False,
        splits=3,
        tag_runs=False,
    )
    np.testing.assert_allclose(again.kl_previous["kl"], studied.kl_previous["kl"], rtol=1e-9)


def test_a_monitored_training_goes_on(own):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = own.folder / "checkpoints" / "monitored" / "step50"
    model = AutoModelForCausalLM.from_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    with (
        mlflow.start_run(run_id=own.runs["monitor"]),
        mm.Monitor(str(own.texts), tokenizer=tokenizer, raise_errors=True) as monitor,
    ):
        assert monitor.record(model, 50) is None
        assert monitor.steps == [0, 10, 20, 30, 40, 50]
        recorded = monitor.record(model, 60)
    assert recorded is not None
    assert recorded.kl_previous == pytest.approx(0, abs=1e-9)
    points = mm.build_map(run_ids=[own.runs["monitor"]]).points
    assert sorted(points["step"]) == [0, 10, 20, 30, 40, 50, 60]


def test_old_scores_are_compared(old):
    found = mm.compare("tiny/1 float32", "base float32", experiments=["models"])
    assert (found.a.run_id, found.b.run_id) == (old.runs["tiny/1"], old.runs["base"])
    kl = mm.load_map(old.runs["map"]).between("tiny/1 float32", "base float32").kl
    assert found.kl == pytest.approx(kl, rel=1e-9)
    checkpoint = mm.compare(f"{old.runs['monitor']}@50", old.runs["walk-seed2 step 10000"])
    assert checkpoint.kl > 0


@pytest.mark.parametrize("by", ["model", "run id"])
def test_a_gate_decides_on_old_scores(own, by):
    names = {
        "model": ("models:/tiny/2", "models:/tiny@champion"),
        "run id": (own.runs["tiny/2"], own.runs["tiny/1"]),
    }
    decided = mm.gate(
        *names[by], str(own.texts), max_kl=50.0, settings=SETTINGS, experiment="models"
    )
    assert decided.verdict == "pass"
    assert (decided.candidate.run_id, decided.reference.run_id) == (
        own.runs["tiny/2"],
        own.runs["tiny/1"],
    )
    assert not decided.candidate.scored_now
    assert not decided.reference.scored_now
    then = MlflowClient(own.uri).get_run(own.runs["gate"]).data.metrics
    assert decided.kl == pytest.approx(then["modelmap/kl"], rel=1e-9)


def asked(address: str, name: str, **query: Any) -> Any:
    """An answer of the page; one that is not 200 raises with what it says."""
    url = f"{address}/modelmap/api/{name}?{urllib.parse.urlencode(query)}"
    try:
        with urllib.request.urlopen(url, timeout=60) as response:
            return json.loads(response.read())
    except urllib.error.HTTPError as error:
        raise AssertionError(f"{url}: {error.read().decode()}") from error


@pytest.mark.slow
def test_the_page_opens_every_run_that_it_lists(unpacked, tmp_path):
    own = unpack(unpacked.index["version"], tmp_path / "own")
    with serving(own.folder, "--workers", "1", "--app-name", "modelmap") as address:
        experiments = asked(address, "experiments")["experiments"]
        assert {of["name"] for of in experiments} == set(own.experiments)
        found = {
            run["run_id"]: run["kind"]
            for of in experiments
            for run in asked(address, "experiment", experiment_id=of["id"])["runs"]
        }
        assert set(found) == {own.runs[name] for name in OPENED}
        for run_id, kind in found.items():
            told = asked(address, "run", run_id=run_id)
            assert told["head"]["kind"] == kind
            assert told["data"]
            if kind == "map":
                assert asked(address, "members", run_id=run_id)
                assert asked(address, "pair", run_id=run_id, a=0, b=1)["kl"] > 0
    shutil.rmtree(own.folder)
