"""What the run of a study of trajectories holds."""

from __future__ import annotations

import math

from tests.drivers.trajectory.trainings import STEPS, TRAININGS


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
    assert run.data.tags["modelmap.members"] == str(len(TRAININGS) * len(STEPS))
