"""How often cycles are looked for: seldom in a program that imports, as usual while models run."""

from __future__ import annotations

import gc
import json
import subprocess
import sys

import pytest

from mlflow_modelmap.drivers.process import collector


@pytest.fixture
def thresholds():
    before, there = gc.get_threshold(), gc.isenabled()
    yield before
    gc.set_threshold(*before)
    gc.enable() if there else gc.disable()
    collector._usual = None


def test_seldom_lasts_until_a_model_runs_and_what_is_there_is_frozen(thresholds):
    gc.unfreeze()
    try:
        collector.seldom()
        collector.seldom()
        assert gc.get_threshold() == (max(collector.OBJECTS, thresholds[0]), *thresholds[1:])
        assert gc.get_freeze_count() == 0
        collector.as_usual()
        assert gc.get_threshold() == thresholds
        assert gc.get_freeze_count() > 0
        gc.set_threshold(123, 4, 5)
        collector.as_usual()
        assert gc.get_threshold() == (123, 4, 5)  # it undoes `seldom` and nothing else
    finally:
        gc.freeze()  # as tests are run


def test_whoever_collects_nothing_or_less_often_keeps_that(thresholds):
    gc.disable()
    collector.seldom()
    assert gc.get_threshold() == thresholds
    gc.enable()
    gc.set_threshold(10**6, 2, 3)
    collector.seldom()
    assert gc.get_threshold() == (10**6, 2, 3)


def test_a_model_runs_under_the_usual_thresholds(
    thresholds, store, text_file, tiny_models, monkeypatch
):
    from mlflow_modelmap.scoring.engine.scorer import Scorer
    from mlflow_modelmap.surfaces.cli import main

    seen = []
    of_batch = Scorer.of_batch

    def watched(self, batch):
        seen.append(gc.get_threshold())
        return of_batch(self, batch)

    monkeypatch.setattr(Scorer, "of_batch", watched)
    collector.seldom()
    with pytest.raises(SystemExit) as end:
        main(["score", str(tiny_models("llama")), "--texts", str(text_file)])
    assert end.value.code == 0
    assert seen
    assert set(seen) == {thresholds}


def test_the_program_collects_seldom_and_not_at_its_end_and_importing_it_changes_nothing():
    program = """
import atexit, gc, json
told = [gc.get_threshold()[0]]
import mlflow_modelmap.surfaces.cli as cli
told += [gc.get_threshold()[0], gc.get_freeze_count()]
def main():
    told.append(gc.get_threshold()[0])
    raise SystemExit(0)
cli.main = main
atexit.register(lambda: print(json.dumps([*told, gc.get_freeze_count()])))
cli.run()
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    usual, imported, frozen, running, at_end = json.loads(done.stdout)
    assert (imported, frozen, running) == (usual, 0, max(collector.OBJECTS, usual))
    assert at_end > 1000
