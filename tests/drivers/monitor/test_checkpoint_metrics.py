"""What a monitor logs of a checkpoint: one list, from which everything else follows."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from mlflow_modelmap.drivers.monitor.checkpoint_metrics import (
    METRICS,
    Measured,
    Recorded,
    drawn,
    recorded,
    values_of,
)
from mlflow_modelmap.errors import InputError
from mlflow_modelmap.numerics.diffusion.exponents import Exponent, exponent_of_coordinates
from mlflow_modelmap.numerics.trajectory.running import Latest

FIRST = Measured(Latest(0), (2.0, 0.1), None, None, judged=False, seconds=1.0, share=0.5)
LATER = replace(
    FIRST, latest=Latest(7, 0, 0.3, 0.03, 0.4, 0.04), kl_reference=(0.5, 0.05), judged=True
)


def test_the_list_is_what_runs_of_the_first_version_have():
    """Readers of old runs and old readers of new runs know a metric by its name."""
    assert [metric.name for metric in METRICS[:12]] == [
        *("bits_per_byte", "bits_per_byte_se", "kl_previous", "kl_previous_se"),
        *("kl_reference", "kl_reference_se", "diffusion_exponent", "diffusion_exponent_low"),
        *("diffusion_exponent_high", "anomaly", "monitor_seconds", "monitor_share"),
    ]
    assert [metric.name for metric in METRICS[12:]] == [
        *("exact_forward", "exact_forward_se", "exact_reverse", "exact_top1"),
        "diffusion_lack_of_fit",
    ]
    assert all(metric.says for metric in METRICS)


def test_what_is_not_known_yet_is_no_number():
    known = {name for name, value in values_of(FIRST).items() if not math.isnan(value)}
    assert known == {"bits_per_byte", "bits_per_byte_se", "monitor_seconds", "monitor_share"}
    values = values_of(LATER)
    assert (values["kl_previous"], values["kl_previous_se"]) == (0.3, 0.03)
    assert (values["kl_reference"], values["kl_reference_se"]) == (0.5, 0.05)


@pytest.mark.parametrize(
    ("anomaly", "judged", "flag"),
    [("jump", False, 1.0), ("jump", True, 1.0), (None, True, 0.0), (None, False, None)],
)
def test_continuity_is_flagged_where_it_is_broken_or_can_be_judged(anomaly, judged, flag):
    measured = replace(LATER, anomaly=anomaly, judged=judged)
    assert values_of(measured)["anomaly"] == pytest.approx(
        math.nan if flag is None else flag, nan_ok=True
    )
    assert recorded(7, measured).anomaly == anomaly


def test_what_is_told_of_a_checkpoint_is_what_is_logged():
    told = recorded(7, LATER)
    values = values_of(LATER)
    assert told.step == 7
    for metric in METRICS:
        if metric.name != "anomaly":
            assert getattr(told, metric.name) == pytest.approx(values[metric.name], nan_ok=True)
    assert set(vars(told)) == {"step", *(metric.name for metric in METRICS)}
    assert isinstance(told, Recorded)


def test_few_numbers_are_curves_and_a_flag_is_one_where_it_is_raised():
    few = drawn("few")
    assert [m.name for m in METRICS if few(m.name, 1.0)] == [
        *("bits_per_byte", "kl_previous", "kl_reference", "diffusion_exponent", "anomaly"),
        "exact_forward",
    ]
    assert not few("anomaly", 0.0)
    everything = drawn("all")
    assert all(everything(metric.name, 0.0) for metric in METRICS)
    with pytest.raises(InputError, match=r"curves is 'al'; give 'few' or 'all' \(did you mean"):
        drawn("al")


def exponent(exponent: float, low: float, high: float, lack_of_fit: float) -> Exponent:
    return Exponent(exponent, low, high, 0.99, 10, 5.0, 0.01, 0.05, lack_of_fit)


@pytest.mark.parametrize(
    ("found", "told"),
    [
        (exponent(0.9, 0.7, 1.1, 0.3), (0.9, 0.7, 1.1, 0.3)),
        (exponent(0.9, 0.7, 1.1, 0.005), (math.nan, math.nan, math.nan, 0.005)),
        (exponent(0.9, 0.7, 1.1, math.nan), (math.nan,) * 4),
        (exponent(0.9, math.nan, math.nan, 0.3), (math.nan, math.nan, math.nan, 0.3)),
    ],
    ids=["fits", "does not fit", "fit unknown", "no interval"],
)
def test_an_exponent_is_told_where_it_means_something(found, told):
    values = values_of(replace(LATER, latest=replace(LATER.latest, exponent=found)))
    names = ("exponent", "exponent_low", "exponent_high", "lack_of_fit")
    assert [values[f"diffusion_{name}"] for name in names] == pytest.approx(told, nan_ok=True)


@pytest.mark.parametrize(("checkpoints", "means"), [(3, False), (4, False), (5, True), (10, True)])
def test_of_a_random_walk_it_means_something_once_its_fit_is_known(checkpoints, means):
    walk = np.random.default_rng(0).normal(size=(checkpoints + 1, 300)).cumsum(axis=0)
    found = exponent_of_coordinates(np.arange(1, checkpoints + 1), walk)
    values = values_of(replace(LATER, latest=replace(LATER.latest, exponent=found)))
    assert math.isfinite(values["diffusion_exponent"]) == means
