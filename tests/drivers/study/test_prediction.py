"""`modelmap predict` over runs whose scores are known beforehand."""

from __future__ import annotations

import json

import mlflow
import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from mlflow_modelmap import TextSet
from mlflow_modelmap.drivers.study.prediction import LEAK, load_prediction, predict
from mlflow_modelmap.drivers.study.scores_of_points import families, scores_in_table
from mlflow_modelmap.errors import InputError
from mlflow_modelmap.surfaces.cli import cli
from mlflow_modelmap.tracking.runs.point import Point
from mlflow_modelmap.tracking.runs.selection import Selection
from mlflow_modelmap.tracking.runs.study_run import load_study
from tests.drivers.study.known import N

KINDS = ("llama", "mistral", "qwen2", "gemma2", "olmo")
POINTS = [
    Point("a" * 32, "llama-0", "org/llama-0", "d" * 64, ""),
    Point("b" * 32, "two float32", "copied", "d" * 64, ""),
    Point("c" * 32, "two int8", "copied", "d" * 64, ""),
]
TEXTS = TextSet("read", tuple(f"text number {k}" for k in range(N)))


@pytest.fixture
def models(write_run):
    """Five families of four models in three directions; the score of each, linear in its place."""
    generator = np.random.default_rng(3)
    basis = generator.normal(size=(3, N))
    scores = {}
    for kind in KINDS:
        centre = generator.normal(size=3)
        for number in range(4):
            z = centre + 0.7 * generator.normal(size=3)
            name = f"{kind}-{number}"
            values = -50 + 3 * z @ basis
            write_run(name, values, digest=TEXTS.digest, model=f"org/{name}", model_type=kind)
            scores[name] = float(60 + 8 * z[0] - 5 * z[2])
    return scores


@pytest.mark.drawn
def test_a_planted_score_is_found_logged_and_loaded_back(models, tmp_path):
    path = tmp_path / "scores.csv"
    given = {name: value for name, value in models.items() if name not in ("llama-0", "olmo-3")}
    # By the name of the run, or of the model, or an empty cell; a model of nobody.
    rows = [
        (f"org/{name}" if name.startswith("qwen2") else name, value, 1 - value)
        for name, value in given.items()
    ]
    rows += [("olmo-3", "", ""), ("gpt-5", 99, 1)]
    pd.DataFrame(rows, columns=["point", "mmlu", "error"]).to_csv(path, index=False)
    found = predict(path, ["test"], texts=TEXTS)
    by = dict(list(found.predictions.set_index("point").groupby("benchmark")))
    for sign, table in ((1, by["mmlu"]), (-1, by["error"])):
        assert table["out_of_fold"].sum() == 18
        new = table[table["score"].isna()]
        assert set(new.index) == {"llama-0", "olmo-3"}
        for name, row in new.iterrows():
            truth = models[name] if sign > 0 else 1 - models[name]
            assert row["predicted"] == pytest.approx(truth, abs=0.1)
            assert row["low"] <= row["predicted"] <= row["high"]
        known = table[table["out_of_fold"]]
        assert np.corrcoef(known["predicted"], known["score"])[0, 1] > 0.999
        assert known["group"].tolist() == [name.rpartition("-")[0] for name in known.index]
    skill = found.skill.set_index(["benchmark", "predictor"])
    assert skill.loc[("mmlu", "map"), "r"] > 0.999
    assert skill.loc[("mmlu", "map"), ["points", "groups"]].tolist() == [18, 5]
    of_mmlu = found.texts.query("benchmark == 'mmlu'")
    assert len(of_mmlu) == 100
    assert of_mmlu["excerpt"].tolist() == [f"text number {k}" for k in of_mmlu["text"]]
    assert of_mmlu["weight"].abs().is_monotonic_decreasing
    (told,) = (notice for notice in found.notices if "gpt-5" in notice)
    assert told.startswith("Rows of the scores that name no selected point were left out: 'gpt-5'")
    assert any(notice.startswith("mmlu: 18 points in 5 groups") for notice in found.notices)
    assert LEAK not in found.notices
    read = load_prediction(found.run_id)
    assert read.notices == found.notices
    for name in ("predictions", "skill", "texts"):
        pd.testing.assert_frame_equal(getattr(read, name), getattr(found, name), check_dtype=False)
    logged = load_study(found.run_id, "predict")
    digest = mlflow.get_run(found.run_id).data.tags["modelmap.text_set"]
    assert logged.selection == Selection(("test",), texts=digest)
    assert logged.metrics["modelmap/r/mmlu"] == skill.loc[("mmlu", "map"), "r"]
    artifacts = mlflow.MlflowClient().list_artifacts(found.run_id, "modelmap")
    there = {artifact.path.removeprefix("modelmap/") for artifact in artifacts}
    assert {"predictions.csv", "predictions.parquet", "prediction_texts.csv"} <= there
    assert {"prediction_1.png", "prediction_2.png"} <= there


def test_a_metric_of_the_runs_is_a_score_and_the_command_says_what_it_found(models):
    client = mlflow.MlflowClient()
    experiment = client.get_experiment_by_name("test").experiment_id
    for run in client.search_runs([experiment]):
        if run.info.run_name != "olmo-3":
            client.log_metric(run.info.run_id, "eval/acc", models[run.info.run_name])
    done = CliRunner().invoke(
        cli, ["predict", "--metric", "eval/acc", "--experiment", "test", "--json", "--quiet"]
    )
    assert done.exit_code == 0, done.output
    out = json.loads(done.stdout)
    assert out["skill"][0]["r"] > 0.999
    assert out["in_words"]["eval/acc"].startswith("The map tells more")
    (new,) = (row for row in out["predictions"] if not row["out_of_fold"])
    assert new["point"] == "olmo-3"
    assert new["predicted"] == pytest.approx(models["olmo-3"], abs=0.1)
    logged = load_study(out["run_id"], "predict")
    assert logged.metrics["modelmap/r"] == pytest.approx(out["skill"][0]["r"])
    assert logged.metrics["modelmap/scored_points"] == 19
    said = CliRunner().invoke(cli, ["predict", "--metric", "eval/acc", "--experiment", "test"])
    assert "olmo-3" in said.stdout
    assert "eval/acc: The map tells more" in said.stdout
    with pytest.raises(InputError, match=r"No selected run has the metric 'acc'; choose of 'eval/"):
        predict(experiments=["test"], metrics=["acc"])


def table(*rows: tuple[str, str], header: str = "point,mmlu") -> str:
    return "\n".join([header, *(",".join(row) for row in rows)])


@pytest.mark.parametrize(
    ("written", "said"),
    [
        (table(("llama-0", "x")), r"The score 'x' of 'llama-0' in the column 'mmlu' is no finite"),
        (table(("llama-0", "NaN")), r"The score 'NaN' of 'llama-0'.*leave the cell empty"),
        (table(("llama-0", "1"), ("org/llama-0", "2")), r"two rows for the point 'llama-0'"),
        (table(("llama-9", "1")), r"None of the 1 names in the scores, such as 'llama-9'"),
        (table(("", "1")), r"A row of the scores has no name"),
        (table(("copied", "1")), r"'copied' stands for 2 scores"),
        (table(("llama-0", "1"), header="model,mmlu"), r"none called 'point'"),
        (table(("llama-0", "1", "2"), header="point,a,a"), r"two columns 'a'"),
        (table(("llama-0", "1", "2")), r"row of 'llama-0' in the scores .* has 3 cells"),
        ("point,mmlu", r"hold no row below a header"),
        ("point\nllama-0", r"no column but 'point'"),
    ],
)
def test_scores_that_cannot_be_right_are_told_in_one_sentence(tmp_path, written, said):
    path = tmp_path / "scores.csv"
    path.write_text(written, encoding="utf-8")
    with pytest.raises(InputError, match=said):
        scores_in_table(path, POINTS, (), [])


def test_scores_go_to_the_points_that_their_names_stand_for(tmp_path):
    path = tmp_path / "scores.csv"
    named = [("org/llama-0", "1"), ("two int8", "2e0"), (POINTS[1].run_id, " 3 "), ("olmo", "")]
    path.write_text("\ufeff" + table(*named) + "\n\n", encoding="utf-8")
    notices: list[str] = []
    found = scores_in_table(path, POINTS, (), notices)
    np.testing.assert_array_equal(found["mmlu"], [1, 3, 2])
    assert len(notices) == 1
    assert "left out: 'olmo' (the nearest name there is" in notices[0]


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({}, "There are no scores"),
        ({"metrics": ["a"], "columns": ["acc"]}, "column 'acc' is of no file"),
        ({"scores": {"llama-0": 1.0}, "folds": 1}, "1 folds in 5 repeats"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_read(asked, said):
    with pytest.raises(InputError, match=said):
        predict(**asked)


def test_a_file_column_or_tag_that_is_not_there_is_named():
    with pytest.raises(InputError, match=r"'none\.csv' cannot be read \(No such file"):
        scores_in_table("none.csv", POINTS, (), [])
    with pytest.raises(InputError, match=r"no column 'acc' of numbers; choose of 'score'"):
        scores_in_table({"llama-0": 1.0}, POINTS, ("acc",), [])
    with pytest.raises(InputError, match="No selected run has the tag 'colour'"):
        families(POINTS, "colour")


def test_a_column_with_too_few_scores_is_left_out_and_points_as_groups_are_told_to_leak(models):
    frame = pd.DataFrame({"point": models.keys(), "mmlu": models.values(), "few": np.nan})
    frame.loc[:3, "few"] = 1.0
    found = predict(frame, ["test"], groups="none", repeats=1)
    assert set(found.skill["benchmark"]) == {"mmlu"}
    assert found.skill["groups"].tolist() == [20] * 3
    assert any(notice.startswith("'few' was left out: Only 4 points") for notice in found.notices)
    assert LEAK in found.notices
    with pytest.raises(InputError, match="Only 4 points have a score of 'few'"):
        predict(frame, ["test"], columns=["few"])


def test_a_family_is_the_type_or_the_trajectory_or_the_model():
    tags = [
        {"modelmap.model_type": "llama", "modelmap.trajectory": "line"},
        {"modelmap.trajectory": "line"},
        {"wave": "first"},
    ]
    points = [
        Point(str(k), f"run {k}", f"org/{k}", TEXTS.digest, "", tags=own)
        for k, own in enumerate(tags)
    ]
    assert families(points, "model_type").tolist() == ["llama", "line", "org/2"]
    assert families(points, "trajectory").tolist() == ["line", "line", "org/2"]
    assert families(points, "wave").tolist() == ["org/0", "org/1", "first"]
    assert len(set(families(points, "none"))) == 3
