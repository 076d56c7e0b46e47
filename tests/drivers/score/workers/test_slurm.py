"""A sweep by Slurm jobs: submitit's local jobs for real, and Slurm's commands at their edge."""

from __future__ import annotations

import os
import signal
import stat
from pathlib import Path

import numpy as np
import pytest

from mlflow_modelmap import InputError
from mlflow_modelmap.drivers.score.sweep import sweep
from mlflow_modelmap.drivers.score.workers import on_slurm
from mlflow_modelmap.drivers.score.workers.options import Workers
from mlflow_modelmap.drivers.score.workers.slurm_job import TAKEN
from mlflow_modelmap.tracking.runs.read_vectors import read_matrix
from mlflow_modelmap.tracking.runs.select_runs import select_runs
from tests.drivers.score.workers.test_local import texts_times
from tests.hub_server import HubServer

SLURM = '''#!{python} -ES
"""sbatch, srun, sacct, scancel and scontrol of a cluster that is this machine."""
import os, signal, subprocess, sys
from pathlib import Path
root, name, asked = Path({root!r}), os.path.basename(sys.argv[0]), sys.argv[1:]
(root / "asked").open("a").write(" ".join([name, *asked]) + chr(10))
if name == "srun":
    rest = asked[next(i for i, a in enumerate(asked) if a.startswith("/")
                      and not asked[i - 1].startswith("--")):]
    os.execv(rest[0], rest)
def start(script, job, index):
    array = {{"SLURM_ARRAY_JOB_ID": str(job), "SLURM_ARRAY_TASK_ID": str(index)}}
    environment = {{**os.environ, "SLURM_JOB_ID": str(job + (index or 0)), "SLURM_NTASKS": "1",
        "SLURM_JOB_NUM_NODES": "1", "SLURM_NODEID": "0", "SLURM_PROCID": "0",
        "SLURM_LOCALID": "0", "SLURM_JOB_NODELIST": "here",
        **(array if index is not None else {{}})}}
    index = "" if index is None else f"_{{index}}"
    log = open(root / f"{{job}}{{index}}.log", "a")
    process = subprocess.Popen(["bash", script], env=environment, stdout=log, stderr=log,
                               stdin=subprocess.DEVNULL, start_new_session=True)
    (root / f"{{job}}{{index}}.pid").write_text(str(process.pid))
if name == "sbatch":
    text = Path(asked[-1]).read_text()
    if "--partition=none" in text:
        sys.exit("sbatch: error: invalid partition specified: none")
    job = 100 + 10 * len(list(root.glob("*.script")))
    script = root / f"{{job}}.script"
    script.write_text(text)
    line = [l for l in text.splitlines() if l.startswith("#SBATCH --array=")]
    if line:
        last = int(line[0].partition("=")[2].partition("%")[0].partition("-")[2])
    for index in range(last + 1) if line else [None]:
        start(script, job, index)
    print(f"Submitted batch job {{job}}")
elif name == "sacct":
    print("JobID|State|NodeList")
    for path in root.glob("*.pid"):
        try:
            state = Path(f"/proc/{{path.read_text()}}/stat").read_text().rpartition(")")[2]
            alive = state.split()[0] != "Z"
        except OSError:
            alive = False
        print(f"{{path.stem}}|{{'RUNNING' if alive else 'NODE_FAIL'}}|here")
elif name == "scancel":
    for path in root.glob("*.pid"):
        if path.stem in asked or path.stem.partition("_")[0] in asked:
            try:
                os.killpg(int(path.read_text()), signal.SIGKILL)
            except OSError:
                pass
'''


@pytest.fixture
def slurm(tmp_path, monkeypatch):
    """A folder with what Slurm was asked for; its commands are first on the path."""
    root = tmp_path / "slurm"
    (root / "bin").mkdir(parents=True)
    for name in ("sbatch", "srun", "sacct", "scancel", "squeue", "scontrol"):
        path = root / "bin" / name
        path.write_text(SLURM.format(python=os.path.realpath("/proc/self/exe"), root=str(root)))
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{root / 'bin'}:{os.environ['PATH']}")
    monkeypatch.setattr(on_slurm, "_STATE_SECONDS", 0.3)
    return root


def vectors(experiment):
    matrix, points = read_matrix(select_runs([experiment]))
    return {point.name: row for point, row in zip(points, matrix.values, strict=True)}


def plan_of(family):
    return {"models": [{"model": m, "name": f"m{i}"} for i, m in enumerate(family)]}


def same(one, other):
    return one.keys() == other.keys() and all(np.array_equal(one[k], other[k]) for k in one)


@pytest.mark.usefixtures("quick_workers")
def test_an_array_of_jobs_gives_the_same_bits(store, family, texts, slurm):
    sweep(plan_of(family), texts=texts, experiment="alone", progress=False)
    on = Workers(
        on="slurm",
        count=2,
        threads=1,
        gpus=1,
        memory=8,
        time=30,
        partition="gpu",
        sbatch=("constraint=a100", "requeue="),
    )
    done = sweep(plan_of(family), texts=texts, experiment="slurm", workers=on, progress=False)
    assert [(row.state, row.error) for row in done.rows] == [("scored", None)] * 3
    assert done.notices == ()
    assert same(vectors("alone"), vectors("slurm"))
    script = (slurm / "100.script").read_text()
    for line in ("array=0-1%2", "partition=gpu", "time=30", "gpus-per-node=1", "mem=8GB"):
        assert f"#SBATCH --{line}" in script
    assert "#SBATCH --constraint=a100" in script
    assert "export OMP_NUM_THREADS=1" in script
    assert "scancel 100_1" in (slurm / "asked").read_text()
    assert not any(_alive(path) for path in slurm.glob("*.pid"))


@pytest.mark.slow
@pytest.mark.usefixtures("one_thread")
def test_a_job_whose_node_is_lost_costs_a_retry_and_is_named(
    store, tiny_model, texts, slurm, monkeypatch
):
    long, killed = texts_times(texts, 60), []
    real = on_slurm.OnSlurm.events

    def events(self, seconds):
        if not killed and list((self._folder / TAKEN).glob("*")):
            killed.extend(slurm.glob("*.pid"))
            os.killpg(int(killed[0].read_text()), signal.SIGKILL)
        return real(self, seconds)

    plan = plan_of([str(tiny_model)])
    sweep(plan, texts=long, experiment="alone", progress=False)
    monkeypatch.setattr(on_slurm.OnSlurm, "events", events)
    on = Workers(on="slurm", count=1, threads=1)
    done = sweep(plan, texts=long, experiment="slurm", workers=on, progress=False)
    assert [(row.state, row.error) for row in done.rows] == [("scored", None)]
    (death,) = done.notices
    assert death.startswith("Worker job 100 died while it scored 'm0' (Slurm says NODE_FAIL)")
    assert same(vectors("alone"), vectors("slurm"))


def _alive(path):
    try:
        stat_line = Path(f"/proc/{path.read_text()}/stat").read_text()
    except OSError:
        return False
    return stat_line.rpartition(")")[2].split()[0] != "Z"


@pytest.mark.heavy
@pytest.mark.usefixtures("one_thread")
def test_local_jobs_that_log_and_one_that_is_preempted_goes_on(
    store, family, texts, monkeypatch, tmp_path
):
    long, preempted = texts_times(texts, 30), []
    real = on_slurm.OnSlurm.events

    def events(self, seconds):
        taken = [path.name.partition(".")[0] for path in (self._folder / TAKEN).glob("*")]
        if taken and not preempted:
            preempted.append(taken[0])
            self._jobs[taken[0]]._interrupt()
        return real(self, seconds)

    monkeypatch.setattr(on_slurm.OnSlurm, "events", events)
    sweep(plan_of(family), texts=long, experiment="alone", progress=False)
    on = Workers(
        on="slurm",
        cluster="local",
        count=1,
        threads=1,
        log_from="worker",
        folder=str(tmp_path / "a folder"),
    )
    done = sweep(plan_of(family), texts=long, experiment="jobs", workers=on, progress=False)
    assert [(row.state, row.error) for row in done.rows] == [("scored", None)] * 3
    assert preempted
    assert same(vectors("alone"), vectors("jobs"))


@pytest.mark.slow
@pytest.mark.usefixtures("one_thread", "slurm")
def test_jobs_without_a_network_score_what_the_sweep_fetches(
    store, tiny_models, texts, monkeypatch, tmp_path
):
    names = ["org/model0", "org/model1"]
    with HubServer() as hub:
        for seed, name in enumerate(names):
            hub.add(name, tiny_models("gpt_neox", seed=seed))
        hub.use(monkeypatch, cache=tmp_path / "hub")
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")  # this process has read it before
        on = Workers(on="slurm", count=1, threads=1, folder=str(tmp_path / "meet"))
        done = sweep({"models": names}, texts=texts, workers=on, keep_cache=0, progress=False)
    assert [(row.state, row.error) for row in done.rows] == [("scored", None)] * 2
    assert list((tmp_path / "hub").rglob("config.json"))
    assert not list((tmp_path / "hub").rglob("*.safetensors"))


def test_jobs_that_slurm_does_not_take_are_one_sentence(store, tiny_model, texts, slurm, all_runs):
    plan = {"models": [str(tiny_model)]}
    for options, said in (
        ({"partition": "none"}, r"Slurm does not take the jobs .*invalid partition"),
        ({"gpus": 0.5}, "Slurm gives whole ones"),
        ({"sbatch": ("=3",)}, "has no name"),
        ({"folder": "/proc/none"}, "name another with --folder"),
    ):
        on = Workers(on="slurm", **options)
        with pytest.raises(InputError, match=said):
            sweep(plan, texts=texts, workers=on, progress=False)
    assert all_runs() == []


def test_without_slurm_it_is_said_what_to_do(store, tiny_model, texts, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InputError, match="--cluster local"):
        sweep({"models": [str(tiny_model)]}, texts=texts, workers=Workers(on="slurm"))
