"""The quickstart, with few steps and texts: trained, scored, mapped; killed and started again."""

from __future__ import annotations

import hashlib
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import mlflow
import pytest

from mlflow_modelmap import load_map
from mlflow_modelmap.drivers.study.scale import load_scale
from tests import forking

PROJECT = Path(__file__).parent.parent.parent / "projects" / "quickstart"
STEPS, TEXTS = 8, 16
CHECKPOINTS = [0, 1, 2, 4, 8]
MEMBERS = [f"tiny-{width}-seed{seed}" for width in (128, 64) for seed in (1, 2)]
SCORES = len(MEMBERS) * (len(CHECKPOINTS) + 2) + 1


@pytest.fixture(scope="module")
def training():
    """The quickstart's own module of that name."""
    sys.path.insert(0, str(PROJECT))
    try:
        import training

        yield training
    finally:
        sys.path.remove(str(PROJECT))


class Killed(Exception):
    pass


def test_a_training_that_is_killed_ends_in_the_very_same_weights(training, tmp_path):
    documents = [f"Document {number} says that {number} follows." for number in range(400)]
    tokenizer, tokens = tmp_path / "tokenizer", tmp_path / "tokens.safetensors"
    training.train_tokenizer(documents, tokenizer)
    training.encode(documents, tokenizer, tokens)

    def train(folder, **options):
        training.train(folder, tokens, tokenizer, [0, 1, 2, 4, 6], seed=3, width=16, **options)

    def digests(folder):
        return {
            path.parent.name: hashlib.sha256(path.read_bytes()).hexdigest()
            for path in folder.glob("*/model.safetensors")
        }

    done = []

    def kill(steps):
        done.append(steps)
        if sum(done) == 5:
            raise Killed

    train(tmp_path / "whole")
    with pytest.raises(Killed):
        train(tmp_path / "killed", progress=kill)
    assert not (tmp_path / "killed" / "step6").exists()
    counted = []
    train(tmp_path / "killed", progress=counted.append)
    assert counted == [4, 1, 1]  # it went on with step 4, the last one kept
    assert digests(tmp_path / "killed") == digests(tmp_path / "whole")
    assert len(set(digests(tmp_path / "whole").values())) == 5
    assert not list((tmp_path / "killed").glob("state*"))


def test_the_code_that_the_child_is_trained_on_has_no_docstrings(training):
    from library_code import library_code, without_docstrings

    source = 'def f():\n    """Says something."""\n    # why\n    return "kept"\n'
    assert without_docstrings(source) == "def f():\n    return 'kept'"
    modules = library_code()
    assert sum(map(len, modules)) > 500_000
    assert not [module for module in modules if "Asynchronous queues" in module]


def asked(cache: Path) -> list[str]:
    """`mlflow run projects/quickstart`, as a user types it, with less to do."""
    words = f"-m mlflow run {PROJECT} --env-manager local --experiment-name test".split()
    given = [f"steps={STEPS}", f"texts={TEXTS}", f"cache={cache}"]
    return [*words, *(word for one in given for word in ("-P", one))]


def start(cache: Path) -> subprocess.Popen[str]:
    """In fresh processes, which can be killed together."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {**os.environ, "PATH": path, "OMP_NUM_THREADS": "1"}
    environment.pop("MLFLOW_EXPERIMENT_ID", None)  # `mlflow.set_experiment` sets it
    return subprocess.Popen(
        [sys.executable, *asked(cache)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        start_new_session=True,
    )


def finish(cache: Path) -> str:
    environment = forking.environment()
    environment.pop("MLFLOW_EXPERIMENT_ID", None)
    done = forking.run(*asked(cache), env=environment, timeout=900)
    assert done.returncode == 0, done.stderr
    return done.stdout


def scored() -> list[mlflow.entities.Run]:
    found = mlflow.search_runs(["1"], "tags.`modelmap.kind` = 'score'", output_format="list")
    return [run for run in found if run.info.status == "FINISHED"]


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_killed_half_way_it_goes_on_and_done_it_is_reused(store, tmp_path):
    cache = tmp_path / "the cache"
    process = start(cache)
    try:
        while len(scored()) < 3:
            assert process.poll() is None, process.stderr.read()
            time.sleep(0.1)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    before = {run.info.run_id for run in scored()}
    assert 3 <= len(before) < SCORES

    said = finish(cache)

    runs = scored()
    assert before < {run.info.run_id for run in runs}
    assert len(runs) == SCORES
    assert max(Counter(run.data.tags["modelmap.identity"] for run in runs).values()) == 1
    for member in MEMBERS:
        checkpoints = {path.name for path in (cache / member).iterdir()}
        assert checkpoints == {f"step{step}" for step in CHECKPOINTS}
        assert f"{member} " in said
    assert re.search(r"two sizes, seed 1 +\S+ ± \S+", said)

    map_id = re.search(r"/runs/(\w+)/artifacts/modelmap/map.html", said)[1]
    model_map = load_map(map_id)
    assert len(model_map.points) == SCORES
    assert set(model_map.points["precision"]) == {"float32", "int8", "nf4"}
    first_and_last = model_map.between("tiny-64-seed1 step 0", "tiny-64-seed1 step 8")
    assert first_and_last.kl > 3 * first_and_last.se > 0

    (scale_run,) = mlflow.search_runs(["1"], "tags.`modelmap.kind` = 'scale'", output_format="list")
    groups = set(load_scale(scale_run.info.run_id).table["group"])
    assert {"Seed", "Size", "8-bit", "4-bit", "FT", "Layer"} <= groups
    trajectories = mlflow.search_runs(
        ["1"], "tags.`modelmap.kind` = 'trajectory'", output_format="list"
    )
    assert [run.info.status for run in trajectories] == ["FINISHED"]

    client = mlflow.MlflowClient()
    (child,) = client.search_model_versions("name = 'tiny-128-seed1-code'")
    assert child.tags["base_model"] == "models:/tiny-128-seed1/1"
    assert [v.version for v in client.search_model_versions("name = 'tiny-128-seed1'")] == [1]

    again = finish(cache)
    assert map_id in again
    assert {run.info.run_id for run in scored()} == {run.info.run_id for run in runs}
    assert len(mlflow.search_runs(["1"], "tags.`modelmap.kind` = 'map'", output_format="list")) == 1
