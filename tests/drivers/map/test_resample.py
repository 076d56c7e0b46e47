"""A smaller, weighted text set from a map: right, found again, and clear about what is missing."""

from __future__ import annotations

import json

import mlflow
import numpy as np
import pytest

import mlflow_modelmap as mm
from mlflow_modelmap import InputError, TextSet
from mlflow_modelmap.drivers.map.build_map import build_map
from mlflow_modelmap.drivers.map.model_map import load_map
from mlflow_modelmap.drivers.map.resample import resample_texts
from mlflow_modelmap.drivers.score.score import score
from mlflow_modelmap.drivers.trajectory.trajectory import trajectory
from mlflow_modelmap.numerics.divergence.interval import confidence_interval
from mlflow_modelmap.numerics.divergence.kl import kl_between
from mlflow_modelmap.surfaces.cli import main
from mlflow_modelmap.texts.read import read_texts
from mlflow_modelmap.texts.write import write_texts
from tests.own_store import own_store
from tests.scored import write_family, write_score
from tests.tracking.conftest import vector_frame, write_run  # noqa: F401 - a fixture

N = 600


@pytest.fixture(scope="module")
def whole() -> TextSet:
    texts = tuple(f"the made-up text of number {k} " + "x" * (k % 50) for k in range(N))
    return TextSet("whole", texts, tuple("law" if k % 3 else "code" for k in range(N)))


def vectors(models, size, seed=0):
    """Models that differ more on some texts than on others."""
    rng = np.random.default_rng(seed)
    scale = np.exp(0.6 * np.random.default_rng(9).standard_normal(len(size)))
    return -0.8 * size + 3.0 * scale * rng.standard_normal((models, len(size)))


def write_map(store, whole) -> str:
    for k, row in enumerate(vectors(8, whole.bytes)):
        write_score(store, f"m{k}", row, whole.bytes, digest=whole.digest)
    return build_map(["test"]).run_id


@pytest.fixture(scope="module")
def _read_only(_empty_store, tmp_path_factory, whole) -> tuple[str, str]:
    with own_store(_empty_store, tmp_path_factory.mktemp("map")) as store:
        return store, write_map(store, whole)


@pytest.fixture
def map_id(_read_only) -> str:
    """A map in a store that is current, and read by every test that asks for it."""
    mlflow.set_tracking_uri(_read_only[0])
    return _read_only[1]


@pytest.fixture
def modelmap(capsys, tmp_path, monkeypatch):
    """Runs the command line in a folder of its own: (exit code, stdout, stderr)."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        with pytest.raises(SystemExit) as ended:
            main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return ended.value.code, captured.out, captured.err

    return run


def test_the_choice_is_part_of_the_texts_and_says_what_it_is_good_for(map_id, whole):
    found = mm.resample_texts(map_id, 100, texts=whole)
    part = found.text_set
    assert [whole.texts[k] for k in found.chosen] == list(part.texts)
    assert [whole.domains[k] for k in found.chosen] == list(part.domains)
    assert (len(part), found.of, part.name) == (100, N, "whole-kl-100")
    assert np.mean(part.weights) == pytest.approx(1.0)
    assert max(part.weights) == found.largest_weight < 5
    assert found.variance_ratio < 0.9
    at_random = resample_texts(map_id, 100, texts=whole, method="uniform")
    assert set(at_random.text_set.weights) == {1.0}
    assert at_random.variance_ratio == pytest.approx(1.0)
    assert found.relative_error_before < found.relative_error < at_random.relative_error


def test_the_seed_alone_makes_the_choice(map_id, whole):
    first, again, other = (resample_texts(map_id, 50, texts=whole, seed=s) for s in (0, 0, 1))
    assert first.text_set == again.text_set
    assert first.text_set.digest != other.text_set.digest
    larger = resample_texts(map_id, 200, texts=whole)
    assert len(set(first.chosen) & set(larger.chosen)) > 45


def test_a_map_of_the_chosen_texts_is_the_map_of_all_within_its_errors(store, whole):
    """New models, scored on the few texts alone, through the store into a map."""
    map_id = write_map(store, whole)
    new = vectors(8, whole.bytes, seed=5)
    found = resample_texts(map_id, 150, texts=whole)
    part = found.text_set
    for k, row in enumerate(new):
        frame = {"size": part.bytes, "digest": part.digest, "experiment": "few"}
        write_score(store, f"n{k}", row[found.chosen], weights=part.weight_array, **frame)
    few = build_map(["few"])
    np.testing.assert_allclose(load_map(few.run_id).weights, part.weights)
    inside = []
    for i in range(8):
        for j in range(i):
            truth, _ = kl_between(new[i], new[j], whole.mean_bytes)
            kl, se = few.between(f"n{i}", f"n{j}")
            low, high = confidence_interval(kl, se)
            inside.append(low <= truth <= high)
    assert np.mean(inside) > 0.85
    bare = [kl_between(new[0][found.chosen], row[found.chosen], part.bytes.mean()) for row in new]
    truth = [kl_between(new[0], row, whole.mean_bytes)[0] for row in new]
    assert np.mean([kl for kl, _ in bare[1:]]) > 1.15 * np.mean(truth[1:])


def test_weighted_texts_can_be_made_fewer_again(store, write_run, whole):  # noqa: F811
    weights = np.where(np.arange(N) % 2, 0.2, 1.8)
    for k, row in enumerate(vectors(8, whole.bytes)):
        frame = vector_frame(row).assign(bytes=whole.bytes, weight=weights)
        write_run(f"m{k}", frame=frame, digest=whole.digest)
    made = build_map(["test"])
    weighted = TextSet("whole", whole.texts, weights=tuple(5.0 * weights))
    found = resample_texts(made.run_id, 100, texts=weighted, method="uniform")
    np.testing.assert_allclose(
        found.text_set.weights, weights[found.chosen] / weights[found.chosen].mean()
    )
    found = resample_texts(made.run_id, 200, texts=weighted)
    total = [
        (np.array(found.text_set.weights) * w).sum()
        for w in (found.chosen % 2 == k for k in (0, 1))
    ]
    assert total[0] / total[1] == pytest.approx(9.0, rel=0.4)
    with pytest.raises(
        InputError, match="'whole' have other weights than those with which the map"
    ):
        resample_texts(made.run_id, 100, texts=whole)


def test_texts_are_found_where_the_score_runs_read_them(store, tiny_models, text_file, modelmap):
    for seed in range(3):
        score(tiny_models(seed=seed), text_file, experiment="real", progress=False)
    run_id = build_map(["real"]).run_id
    code, out, err = modelmap(
        "texts", "resample", "--run-id", run_id, "--size", 10, "-o", "few.jsonl", "--json"
    )
    assert code == 0, err
    told = json.loads(out)
    part = read_texts("few.jsonl")
    assert set(part.texts) <= set(read_texts(text_file).texts)
    assert (told["texts"], told["of"], told["digest"]) == (10, 24, part.digest)
    assert told["largest_weight"] == pytest.approx(max(part.weights))
    done = score(tiny_models(), "few.jsonl", progress=False)
    assert done.weights.tolist() == list(part.weights)
    text_file.rename(text_file.with_name("moved.json"))
    with pytest.raises(InputError, match=r"read from '.*short texts.json', which is not there"):
        resample_texts(run_id, 10)


def test_the_answer_for_people(modelmap, map_id, whole, tmp_path):
    write_texts(whole, tmp_path / "whole.jsonl")
    command = ("texts", "resample", "--run-id", map_id, "--texts", "whole.jsonl")
    code, out, _ = modelmap(*command, "--size", 60, "-o", "few.jsonl")
    assert code == 0
    assert "weights     mean 1, largest" in out
    assert "on all 600" in out
    assert "times that of 60 texts chosen at random" in out
    code, out, _ = modelmap(*command, "--size", 60, "-o", "few.jsonl", "--quiet")
    assert out.strip() == read_texts("few.jsonl").digest
    code, _, err = modelmap(*command, "--size", 60, "-o", "few.json")
    assert (code, "'few.json' has no room for weights" in err) == (1, True)
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"size": 601}, "601 texts cannot be chosen from the 600 of the map"),
        ({"size": 1}, "give a size from 2 to 600"),
        ({"method": "best"}, "method 'best' is unknown; choose one of kl"),
        ({"texts": None}, "were not read from a file; say with --texts"),
        ({"texts": TextSet("other", ("a", "b"))}, "'other' .*are not those that were scored"),
        ({"run_id": "f" * 32}, "There is no run"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(map_id, whole, change, message):
    asked = {"run_id": map_id, "size": 50, "texts": whole, **change}
    with pytest.raises(InputError, match=message):
        resample_texts(asked.pop("run_id"), asked.pop("size"), **asked)


def test_another_kind_of_run_is_no_map(store):
    write_family(store, steps=(0, 1, 2, 4, 512, 600, 700))
    study = trajectory(["test"], figures=False)
    with pytest.raises(InputError, match="is of kind 'trajectory', not 'map'"):
        resample_texts(study.run_id, 10)


def test_a_map_whose_points_do_not_differ_chooses_nothing(store, whole):
    for name in "abc":
        write_score(store, name, -0.8 * whole.bytes, whole.bytes, digest=whole.digest)
    run_id = build_map(["test"]).run_id
    with pytest.raises(InputError, match="do not differ on any text"):
        resample_texts(run_id, 10, texts=whole)
