"""A sweep on a Ray cluster that is started here."""

from __future__ import annotations

import contextlib
import os
import random
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

from mlflow_modelmap import InputError
from mlflow_modelmap.drivers.score.sweep import sweep
from mlflow_modelmap.drivers.score.workers.on_ray import OnRay, _check_fits, _room
from mlflow_modelmap.drivers.score.workers.options import Workers
from mlflow_modelmap.tracking.runs.read_vectors import read_matrix
from mlflow_modelmap.tracking.runs.select_runs import select_runs
from tests.drivers.score.workers.test_local import texts_times

pytestmark = pytest.mark.usefixtures("one_thread")


def vectors(experiment):
    matrix, points = read_matrix(select_runs([experiment]))
    return {point.name: row for point, row in zip(points, matrix.values, strict=True)}


def at_work():
    """Processes of the cluster that score just now."""
    found = []
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            if "ray::_done" in " ".join(process.cmdline()):
                found.append(process)
    return found


@pytest.mark.slow
def test_a_worker_of_a_cluster_gives_the_same_bits_and_nothing_stays(store, tiny_model, texts):
    plan = {"models": [{"model": str(tiny_model), "name": "m"}]}
    sweep(plan, texts=texts, experiment="alone", progress=False)
    on = Workers(on="ray", count=1)
    done = sweep(plan, texts=texts, experiment="ray", workers=on, progress=False)
    assert [(row.state, row.error) for row in done.rows] == [("scored", None)]
    assert np.array_equal(vectors("alone")["m"], vectors("ray")["m"])
    assert not any("ray" in process.name() for process in psutil.Process().children())


@pytest.mark.heavy
@pytest.mark.parametrize("log_from", ["driver", "worker"])
def test_workers_that_are_killed_at_random_moments_are_named(
    store, family, texts, all_runs, log_from
):
    models = [{"model": m, "name": f"m{i}-{j}"} for i, m in enumerate(family) for j in range(4)]
    plan, long, over = {"models": models}, texts_times(texts, 60), threading.Event()
    sweep(plan, texts=long, experiment="alone", progress=False)
    killed: list[int] = []

    def kill():
        draws = random.Random(7)
        while not over.is_set() and len(killed) < 3:
            time.sleep(draws.uniform(0.2, 2.0))
            for process in at_work()[:1]:
                process.kill()
                killed.append(process.pid)
            time.sleep(6)  # a model may be taken along once, not twice

    thread = threading.Thread(target=kill)
    thread.start()
    on = Workers(on="ray", count=2, threads=1, log_from=log_from)
    try:
        done = sweep(plan, texts=long, experiment="ray", workers=on, progress=False)
    finally:
        over.set()
        thread.join()
    failed = [row for row in done.rows if row.state == "failed"]
    assert all("Two workers died" in row.error for row in failed)
    assert 1 <= len(done.notices) <= len(killed)
    alone, ray = vectors("alone"), vectors("ray")
    assert len(ray) == 12 - len(failed)
    assert all(np.array_equal(alone[name], ray[name]) for name in ray)
    assert "RUNNING" not in {run.info.status for run in all_runs()}


class _Cluster:
    """What a cluster says of itself: two nodes of 8 CPUs, one with 4 GPUs."""

    def nodes(self):
        return [
            {"Alive": True, "Resources": {"CPU": 8.0, "memory": 64e9}},
            {"Alive": True, "Resources": {"CPU": 8.0, "GPU": 4.0, "memory": 32e9}},
            {"Alive": False, "Resources": {"CPU": 64.0, "GPU": 8.0}},
        ]

    def cluster_resources(self):
        return {"CPU": 16.0, "GPU": 4.0, "memory": 96e9}


def test_room_is_what_the_scarcest_resource_leaves():
    assert _room(_Cluster(), {"num_cpus": 4, "num_gpus": 0}) == 4
    assert _room(_Cluster(), {"num_cpus": 1, "num_gpus": 0.1}) == 16
    assert _room(_Cluster(), {"num_cpus": 1, "num_gpus": 0.5}) == 8


@pytest.mark.parametrize(
    ("resources", "said"),
    [
        ({"num_cpus": 9, "num_gpus": 0}, "9 CPUs"),
        ({"num_cpus": 1, "num_gpus": 8}, "8 GPUs"),
        ({"num_cpus": 1, "num_gpus": 1, "memory": 64e9}, "64 GB of memory"),
    ],
)
def test_what_no_node_has_is_refused(resources, said):
    with pytest.raises(InputError, match=f"No node of the Ray cluster has .*{said}"):
        _check_fits(_Cluster(), resources)
    _check_fits(_Cluster(), {"num_cpus": 8, "num_gpus": 4, "memory": 32e9})


@pytest.mark.slow
def test_a_cluster_that_is_not_there_is_one_sentence(store, tiny_model, texts, all_runs):
    on = Workers(on="ray", ray_address="127.0.0.1:1")
    with pytest.raises(InputError, match=r"cluster 127.0.0.1:1 cannot be reached"):
        sweep({"models": [str(tiny_model)]}, texts=texts, workers=on, progress=False)
    assert all_runs() == []


@pytest.mark.slow
def test_nodes_are_asked_whether_they_see_the_hub_s_cache(monkeypatch, tmp_path):
    import ray

    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "theirs"))
    ray.init(address="local", num_cpus=1, include_dashboard=False, log_to_driver=False)
    try:
        engine = OnRay(Workers(on="ray", count=1))
        assert engine.shares(tmp_path / "theirs")
        assert not engine.shares(tmp_path / "ours")
        assert not list(tmp_path.glob("*/.modelmap-*"))
    finally:
        ray.shutdown()


@pytest.mark.heavy
def test_a_running_cluster_that_asks_for_its_token_is_joined(store, tiny_model, text_file):
    """As docs/scaling.md types it, from a process that has not imported Ray."""
    ray = str(Path(sys.executable).parent / "ray")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    head = ("--head", f"--port={port}", "--num-cpus=1", "--include-dashboard=false")
    script = (
        "from mlflow_modelmap import sweep\nimport sys\n"
        "from mlflow_modelmap.drivers.score.workers.options import Workers\n"
        "on = Workers(on='ray', count=1, threads=1, ray_address=sys.argv[3])\n"
        "done = sweep({'models': [sys.argv[1]]}, texts=sys.argv[2], workers=on, progress=False)\n"
        "print([(row.state, row.error) for row in done.rows])\n"
    )
    subprocess.run([ray, "start", *head], check=True, capture_output=True)
    try:
        done = subprocess.run(
            [sys.executable, "-c", script, str(tiny_model), str(text_file), f"127.0.0.1:{port}"],
            env={**os.environ, "MLFLOW_TRACKING_URI": store},
            capture_output=True,
            text=True,
            timeout=180,
        )
    finally:
        subprocess.run([ray, "stop", "--force"], check=True, capture_output=True)
    assert done.stdout.splitlines()[-1:] == ["[('scored', None)]"], done.stderr[-2000:]
