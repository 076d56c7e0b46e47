"""A study of trajectories over runs whose answers are known, logged as one run and loaded back."""

from __future__ import annotations

import json
import math
import shutil

import mlflow
import numpy as np
import pandas as pd
import pytest

from mlflow_modelmap.drivers.trajectory.study import load_trajectory
from mlflow_modelmap.drivers.trajectory.trajectory import trajectory
from mlflow_modelmap.errors import InputError
from mlflow_modelmap.surfaces.cli import main
from mlflow_modelmap.texts.text_set import TextSet
from mlflow_modelmap.texts.write import write_texts
from mlflow_modelmap.tracking.runs.study_run import write_study
from tests.numerics.generated import fbm_paths, squared_table
from tests.scored import write_score

N = 300
STEPS = [0, 1, 512, *range(1000, 25_000, 1000)]
TRAININGS = ("tiny-seed1", "tiny-seed2", "tiny-seed3", "big")
DAMAGED = 15_000


def texts() -> TextSet:
    domains = ("law", "code", "code")
    return TextSet(
        "made-up texts",
        tuple(f"the made-up text of number {k} " + "x" * (40 + k) for k in range(N)),
        domains=tuple(domains[k % 3] for k in range(N)),
    )


def vectors(seed: int = 0) -> dict[str, np.ndarray]:
    """Log-likelihoods of four trainings: c = 0.5 after warm-up, seed 3 an outlier, one damaged."""
    rng = np.random.default_rng(seed)
    size = texts().bytes
    start, end = -1.2 * size - 4 * rng.standard_normal(N), -0.7 * size
    found = {}
    for k, name in enumerate(TRAININGS):
        own = rng.standard_normal(N)
        late = np.array([step >= 1000 for step in STEPS])
        x = np.zeros((len(STEPS), N))
        x[late] = 1.5 * fbm_paths(0.5, np.arange(1, late.sum()), np.ones(N), rng)
        x += (5 if name == "tiny-seed3" else 2) * own + (
            8 * rng.standard_normal(N) if k == 3 else 0
        )
        share = np.exp(-np.array(STEPS) / 300)[:, None]
        found[name] = share * start + (1 - share) * (end + x)
    found["big"][STEPS.index(DAMAGED)] += 12 * rng.standard_normal(N)
    return found


def write_trainings(store, trainings, text_set, **options):
    return {
        (name, step): write_score(
            store,
            f"{name} step {step}",
            row,
            text_set.bytes,
            digest=text_set.digest,
            trajectory=name,
            step=step,
            precision=options.get("precision", "float32"),
            **{k: v for k, v in options.items() if k != "precision"},
        )
        for name, values in trainings.items()
        for step, row in zip(STEPS, values, strict=True)
    }


def weight_distances() -> pd.DataFrame:
    rng = np.random.default_rng(5)
    steps = np.array(STEPS[3:])
    x = fbm_paths(1.0, np.arange(1, steps.size), np.ones(300), rng)
    i, j = np.triu_indices(steps.size, 1)
    return pd.DataFrame(
        {
            "trajectory": "big",
            "step_from": steps[i],
            "step": steps[j],
            "squared_distance": squared_table(x)[i, j],
        }
    )


@pytest.fixture(scope="module")
def studied(_empty_store, tmp_path_factory):
    """The study with everything on, made once: (study, run, store, run ids)."""
    folder = tmp_path_factory.mktemp("studied")
    shutil.copy(_empty_store, folder / "mlflow.db")
    uri = f"sqlite:///{folder / 'mlflow.db'}"
    client = mlflow.MlflowClient(uri)
    client.create_experiment("test", artifact_location=(folder / "artifacts").as_uri())
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", uri)
        mlflow.set_tracking_uri(uri)
        ids = write_trainings(uri, vectors(), texts())
        weights = write_study(
            "weights", tables={"weight_distances": weight_distances()}, experiment="test"
        )
        study = trajectory(
            ["test"],
            weights_run=weights,
            texts=texts(),
            clip=None,
            drop_texts=0.03,
            start=14_000,
            splits=3,
        )
    return study, client.get_run(study.run_id), client, ids


@pytest.fixture
def there(studied):
    mlflow.set_tracking_uri(studied[2].tracking_uri)
    return studied


def test_kl_is_that_of_the_kept_texts(studied):
    study, *_ = studied
    kept = np.sort(study.texts.loc[~study.texts["dropped"], "text"])
    assert len(kept) == N - 9
    values = vectors()["tiny-seed1"][:, kept]
    unit = 2 * texts().bytes[kept].mean() * np.log(2)
    own = study.kl_previous[study.kl_previous["trajectory"] == "tiny-seed1"]
    assert own["step"].tolist() == STEPS[1:]
    np.testing.assert_allclose(own["kl"], np.var(np.diff(values, axis=0), axis=1) / unit)
    between = study.kl_between.set_index(["step", "trajectory", "other"])["kl"]
    expected = np.var(values[-1] - vectors()["big"][-1, kept]) / unit
    assert between[24_000, "big", "tiny-seed1"] == pytest.approx(expected)
    name = "big step 24000"
    assert study.kl.at[name, "tiny-seed1 step 24000"] == pytest.approx(expected)
    assert np.sum((study.coordinates[0] - study.coordinates[5]) ** 2) == pytest.approx(
        study.kl.iloc[0, 5]
    )


def test_exponents_are_recovered_with_their_intervals(studied):
    study, *_ = studied
    rows = study.summary.set_index("trajectory")
    assert (rows["t0"] == 14_000).all()
    for name in ("tiny-seed1", "tiny-seed2", "tiny-seed3"):
        assert rows.at[name, "c_q_low"] <= 0.5 <= rows.at[name, "c_q_high"]
        assert rows.at[name, "dimension_q"] == pytest.approx(2 / rows.at[name, "c_q"])
        assert abs(rows.at[name, "difference"]) < 0.02
        assert np.isnan(rows.at[name, "c_w"])
    late = study.diffusion[
        (study.diffusion["t0"] < 5000) & (study.diffusion["trajectory"] == "big")
    ]
    q, w = (late[late["space"] == space].set_index("t0") for space in ("q", "w"))
    assert ((w["low"] <= 1.0) & (w["high"] >= 1.0)).all()
    alpha = study.hoelder[study.hoelder["trajectory"] == "big"].set_index("t0")
    first = q.index[0]
    assert alpha.at[first, "alpha"] == pytest.approx(
        q.at[first, "exponent"] / w.at[first, "exponent"]
    )
    assert set(study.diffusion["space"]) == {"q", "w", "exp_q"}
    assert (study.diffusion["t1"] - study.diffusion["t0"] == 10_000).all()


def test_the_damaged_checkpoint_and_the_outlying_seed_are_found_and_tagged(studied):
    study, _, client, ids = studied
    found = study.anomalies[["trajectory", "space", "kind", "step"]].values.tolist()
    assert found == [["big", "q", "checkpoint", DAMAGED]]
    outliers = study.siblings.loc[study.siblings["outlier"], "trajectory"].tolist()
    assert outliers == ["tiny-seed3"]
    tagged = {
        key for key, run_id in ids.items() if "modelmap.anomaly" in client.get_run(run_id).data.tags
    }
    assert tagged == {("big", DAMAGED), *(("tiny-seed3", step) for step in STEPS)}
    why = client.get_run(ids["big", DAMAGED]).data.tags["modelmap.anomaly"]
    assert why.startswith("checkpoint: ")
    assert any("break continuity" in notice for notice in study.notices)


def test_metrics_have_their_steps_and_are_finite(studied):
    study, run, client, _ = studied
    history = client.get_metric_history(study.run_id, "modelmap/kl_previous/big")
    own = study.kl_previous[study.kl_previous["trajectory"] == "big"]
    assert {m.step: m.value for m in history} == dict(zip(own["step"], own["kl"], strict=True))
    names = set(run.data.metrics)
    assert {
        "modelmap/exponent_q/tiny-seed1",
        "modelmap/exponent_w/big",
        "modelmap/exponent_exp_q/big",
        "modelmap/alpha/big",
        "modelmap/kl_from_step_14000/big",
        "modelmap/kl_between/big and tiny-seed1",
        "modelmap/correlation_of_halves",
        "modelmap/summary/c_q/big",
    } <= names
    assert all(math.isfinite(value) and abs(value) < 1e300 for value in run.data.metrics.values())
    assert "modelmap/summary/c_w/tiny-seed1" not in names
    assert run.data.metrics["modelmap/anomalies"] == 1
    assert run.data.metrics["modelmap/outlying_trajectories"] == 1


def test_the_run_holds_figures_tables_and_what_was_done(studied):
    study, run, client, _ = studied
    files = {f.path.split("/")[-1] for f in client.list_artifacts(study.run_id, "modelmap")}
    figures = {name for name in files if name.endswith(".png")}
    assert figures == {
        f"{name}.png"
        for name in (
            "autocorrelation",
            "continuity_kl",
            "continuity_weights",
            "displacement",
            "domains",
            "exponents",
            "halves",
            "kl_after_removing",
            "kl_between",
            "kl_final",
            "kl_per_1000_steps",
            "kl_previous",
            "kl_previous_late",
            "late_3d",
            "map_2d",
            "map_3d",
            "pca_pairs",
            "pca_steps",
            "siblings",
            "text_scores",
            "weights_tsne",
        )
    }
    assert {"kl_previous.parquet", "diffusion.parquet", "anomalies.csv", "worst_texts.csv"} <= files
    assert run.data.tags["modelmap.kind"] == "trajectory"
    assert run.data.params["modelmap.preprocessing.dropped_texts"] == "9"
    assert run.data.params["modelmap.warm_up"] == "1000"
    assert run.data.params["modelmap.window"] == "10000"
    assert run.data.tags["modelmap.members"] == str(4 * len(STEPS))


def test_the_worst_texts_can_be_read_and_domains_are_told_apart(studied):
    study, *_ = studied
    worst = study.worst_texts
    assert len(worst) == 100
    assert worst["dropped"].sum() == 9
    assert worst.at[0, "excerpt"].startswith(f"the made-up text of number {worst.at[0, 'text']} x")
    domains = study.tables["domains"]
    assert domains.groupby("domain")["texts"].first().sum() == N - 9
    assert set(domains["domain"]) == {"code", "law"}


def test_what_was_logged_can_be_loaded_back(there):
    study, *_ = there
    read = load_trajectory(study.run_id)
    for name in ("points", "kl_previous", "kl_between", "diffusion", "summary", "siblings"):
        pd.testing.assert_frame_equal(
            getattr(read, name), getattr(study, name), check_dtype=False, check_index_type=False
        )
    np.testing.assert_array_equal(read.coordinates, study.coordinates)
    pd.testing.assert_frame_equal(read.kl, study.kl)
    assert read.notices == study.notices
    assert set(read.tables) == set(study.tables)
    assert read.settings["window"] == "10000"


def test_anomalies_can_be_left_out_by_detection(there):
    study = trajectory(
        ["test"], leave_out_anomalies=True, texts=None, splits=1, tag_runs=False, figures=False
    )
    names = set(study.points["point"])
    assert f"big step {DAMAGED}" not in names
    assert not any(name.startswith("tiny-seed3") for name in names)
    gaps = study.kl_previous[study.kl_previous["trajectory"] == "big"]
    across = gaps[gaps["step"] == DAMAGED + 1000].iloc[0]
    assert across["step_from"] == DAMAGED - 1000
    assert across["kl_per_1000_steps"] == pytest.approx(across["kl"] / 2)
    assert json.loads(json.dumps(study.settings["preprocessing.left_out"]))[0].startswith("tiny")
    assert (study.anomalies["step"] == DAMAGED).any()
    assert study.settings["start"] == 14_000


def few(store, name="a", steps=(0, 1000, 2000, 3000), seed=0, **options):
    """A short training of random vectors."""
    rng = np.random.default_rng(seed)
    size = np.full(40, 100)
    values = options.pop("values", None)
    options = {"trajectory": name, **options}
    for k, step in enumerate(steps):
        row = -80 + 5 * rng.standard_normal(40) if values is None else values[k]
        own = {key: value for key, value in options.items() if value is not None}
        if step is not None:
            own["step"] = step
        write_score(store, f"{name} at {step} {own.get('precision', '')}", row, size, **own)


def test_a_short_training_does_without_what_it_is_too_short_for(store):
    few(store, steps=range(0, 5000, 1000))
    study = trajectory(["test"], splits=1)
    assert len(study.kl_previous) == 4
    assert study.settings["window"] == 3000
    assert any("too few checkpoints" in notice for notice in study.notices)
    run = mlflow.MlflowClient().get_run(study.run_id)
    assert "modelmap/kl_previous" in run.data.metrics
    assert all(math.isfinite(value) for value in run.data.metrics.values())


def test_two_checkpoints_are_the_least(store):
    few(store, steps=(0, 512))
    study = trajectory(["test"], splits=1)
    assert study.diffusion.empty
    assert study.summary.empty
    assert any("no diffusion exponent" in notice for notice in study.notices)
    assert load_trajectory(study.run_id).summary.empty


def test_copies_in_another_precision_are_a_trajectory_of_their_own(store):
    few(store, steps=range(0, 5000, 1000), precision="float32")
    few(store, steps=(3000, 4000), precision="int8", seed=1)
    few(store, name="b", steps=(3000,), precision="int8", seed=1)
    study = trajectory(["test"], splits=1, figures=False)
    assert sorted(set(study.kl_previous["trajectory"])) == ["a", "a (int8)"]
    assert any(
        "single checkpoints" in notice and "'b at 3000" in notice for notice in study.notices
    )


def test_the_same_checkpoints_on_other_texts_are_correlated(store):
    rng = np.random.default_rng(4)
    position = np.cumsum(rng.standard_normal((12, 5)), axis=0)
    for digest, count in (("5" * 64, 400), ("6" * 64, 500)):
        values = -90 + position @ rng.standard_normal((5, count))
        for step, row in enumerate(values):
            write_score(
                store,
                f"s{step} {digest[0]}",
                row,
                np.full(count, 100),
                digest=digest,
                trajectory="a",
                step=1000 * step,
            )
    study = trajectory(
        ["test"],
        filter=f"tags.`modelmap.text_set` = '{'5' * 64}'",
        other_filter=f"tags.`modelmap.text_set` = '{'6' * 64}'",
        drop_texts=None,
        clip=None,
        splits=2,
        figures=False,
    )
    assert study.settings["other_text_set.correlation"] > 0.97
    metrics = mlflow.MlflowClient().get_run(study.run_id).data.metrics
    assert metrics["modelmap/correlation_with_other_texts"] > 0.97
    assert metrics["modelmap/correlation_of_halves"] > 0.9
    with pytest.raises(InputError, match="scored on the same text set"):
        trajectory(
            ["test"],
            filter=f"tags.`modelmap.text_set` = '{'5' * 64}'",
            other_filter=f"tags.`modelmap.text_set` = '{'5' * 64}'",
        )


def test_runs_without_trajectory_or_step_are_named(store):
    few(store, trajectory=None)
    with pytest.raises(InputError, match="None of the 4 selected runs has both a trajectory and"):
        trajectory(["test"])
    few(store, name="b", steps=(0, 1000), seed=1)
    study = trajectory(["test"], splits=1, figures=False)
    assert any(notice.startswith("Left out 4 runs without") for notice in study.notices)


@pytest.mark.parametrize(
    ("make", "options", "message"),
    [
        (lambda s: (few(s), few(s, seed=1)), {}, r"'a' has step 0 twice \("),
        (lambda s: few(s, steps=(7,)), {}, r"No selected trajectory has two checkpoints .*'a'"),
        (
            lambda s: few(s),
            {"window": 9000, "warm_up": 1000},
            "'a' spans 2000 steps from step 1000 on, fewer",
        ),
        (lambda s: few(s), {"start": 1500}, "No trajectory has a checkpoint at step 1500"),
        (lambda s: few(s), {"warm_up": -1}, "The warm-up ends at step -1"),
        (lambda s: few(s), {"warm_up": 3000}, "No two consecutive checkpoints come at or after"),
        (lambda s: few(s), {"leave_out": ["c"]}, "There is no point 'c' to leave out"),
        (lambda s: few(s), {"leave_out": ["a"]}, "Every trajectory was left out"),
        (lambda s: few(s), {"splits": 0}, "0 splits of the texts"),
        (lambda s: few(s), {"perplexity": 0.5}, "A perplexity of 0.5 is not possible"),
        (lambda s: few(s), {"texts": texts()}, r"are not those that were scored \(made-up texts"),
        (
            lambda s: few(s, values=np.full((4, 40), -80.0) + np.arange(4)[:, None]),
            {"clip": None},
            "The trajectory 'a' does not move: its 4 checkpoints",
        ),
        (
            lambda s: (few(s), few(s, name="b", digest="9" * 64)),
            {},
            "These runs were scored on different text sets",
        ),
    ],
)
def test_what_is_no_study_is_said_in_a_sentence(store, make, options, message):
    make(store)
    with pytest.raises(InputError, match=message) as error:
        trajectory(["test"], **options)
    assert str(error.value).count(". ") == 0
    assert not mlflow.MlflowClient().search_runs(
        ["1"], "tags.`modelmap.kind` = 'trajectory' and attributes.status = 'FINISHED'"
    )


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (("other", 4.0), "The weights run holds the trajectories 'other', none of those selected"),
        (("a", 0.0), "The weights of the trajectory 'a' do not move"),
    ],
)
def test_weights_of_something_else_are_refused(store, table, message):
    few(store)
    name, squared = table
    frame = pd.DataFrame(
        {"trajectory": name, "step_from": [0], "step": [1000], "squared_distance": squared}
    )
    weights = write_study("weights", tables={"weight_distances": frame}, experiment="test")
    with pytest.raises(InputError, match=message):
        trajectory(["test"], weights_run=weights)


def call(*arguments):
    with pytest.raises(SystemExit) as done:
        main(["trajectory", *map(str, arguments)])
    return done.value.code


def test_the_command_takes_empty_values_and_answers_as_json(store, capsys, tmp_path):
    few(store, steps=range(0, 9000, 1000))
    empty = [f"--{name}=" for name in ("filter", "run-id", "weights-run", "texts", "leave-out")]
    empty += [f"--{name}=" for name in ("warm-up", "window", "start", "name", "other-filter")]
    code = call(
        "--experiment", "test", "--json", "--splits", 1, "--no-figures-if", "true", *empty,
        "--leave-out-anomalies-if", "false",
    )  # fmt: skip
    assert code == 0
    out = json.loads(capsys.readouterr().out)
    assert out["checkpoints"] == 9
    assert out["summary"][0]["c_w"] is None
    assert load_trajectory(out["run_id"]).name == "trajectory"


def test_the_command_prints_a_table(store, capsys, tmp_path):
    few(store, steps=range(0, 9000, 1000))
    own = TextSet("t", tuple(f"text {k}" for k in range(40)))
    write_texts(own, tmp_path / "texts.jsonl")
    assert call("--experiment", "test", "--splits", 1, "--no-figures") == 0
    out = capsys.readouterr().out
    assert "c_q (95 %)" in out
    assert "No anomalies." in out
    assert call("--experiment", "test", "--texts", tmp_path / "texts.jsonl") == 1
    assert "are not those that were scored" in capsys.readouterr().err
    assert call("--experiment", "test", "--perplexities", "x") == 1
    assert "'x' is no list of perplexities" in capsys.readouterr().err
