"""What a monitor logs of a checkpoint: one list, from which everything else follows."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from mlflow_modelmap.drivers.monitor.checkpoint_metrics import (
    METRICS,
    Measured,
    Recorded,
    recorded,
    values_of,
)
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
