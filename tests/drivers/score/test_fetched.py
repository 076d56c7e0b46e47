"""Weights that were fetched go with their last user, whole or not, and not before."""

from __future__ import annotations

import errno
from pathlib import Path
from types import SimpleNamespace

import pytest

from mlflow_modelmap.drivers.score.fetched import FetchedWeights, together
from mlflow_modelmap.drivers.score.request import ScoreRequest
from mlflow_modelmap.machine.in_use import unused
from mlflow_modelmap.scoring.model.cached_weights import lacks_weights, lock_of
from mlflow_modelmap.scoring.model.hub_parts import fetch_file
from mlflow_modelmap.scoring.model.reference import ModelReference
from mlflow_modelmap.scoring.settings import ScoringSettings
from tests.hub_server import HubServer


@pytest.fixture
def cache(monkeypatch, tmp_path):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    return tmp_path


def asked(name, precision="float32"):
    reference = ModelReference.parse(name)
    return ScoreRequest(reference=reference, settings=ScoringSettings(precision=precision))


def fetcher(cache, request, base=None, commit="c0"):
    """What puts a model of 1,000 bytes of weights into the cache, as the Hub's client does."""
    repository = cache / f"models--{request.reference.name.replace('/', '--')}"
    snapshot, blobs, refs = repository / "snapshots" / commit, repository / "blobs", "refs"

    def fetch():
        for folder in (snapshot, blobs, repository / refs):
            folder.mkdir(parents=True, exist_ok=True)
        (repository / refs / (request.reference.revision or "main")).write_text(commit)
        (snapshot / "config.json").write_text("{}")
        (blobs / "w").write_bytes(b"x" * 1000)
        if not (snapshot / "model.safetensors").exists():
            (snapshot / "model.safetensors").symlink_to(blobs / "w")
        applied = None if base is None else SimpleNamespace(base=None)
        return SimpleNamespace(model_path=str(base or snapshot), adapter=applied)

    return fetch


def bytes_in(cache):
    return sum(p.stat().st_size for p in cache.glob("models--*/blobs/*"))


def test_weights_go_with_the_last_of_their_users(cache):
    one, other = asked("org/a"), asked("org/a", "int8")
    weights = FetchedWeights(0, [one, other])
    weights.watch(one, fetcher(cache, one))
    weights.not_needed(one)
    assert bytes_in(cache) == 1000  # the second has not begun
    weights.watch(other, fetcher(cache, other))
    weights.not_needed(other)
    assert bytes_in(cache) == 0
    for request in (one, other):  # both are taken up once more
        weights.watch(request, fetcher(cache, request))
    weights.not_needed(one)
    assert bytes_in(cache) == 1000
    weights.not_needed(other)
    assert bytes_in(cache) == 0
    assert not weights.full
    weights.close()


def test_two_names_of_one_commit_are_two_users(cache):
    one, other = asked("org/a@main"), asked(f"org/a@{'c' * 40}")
    weights = FetchedWeights(0, [one, other])
    for request in (one, other):
        weights.watch(request, fetcher(cache, request, commit="c" * 40))
    weights.not_needed(other)
    assert bytes_in(cache) == 1000
    weights.not_needed(one)
    assert bytes_in(cache) == 0
    weights.close()


def test_what_another_sweep_needs_goes_when_that_has_ended(cache):
    """Another process is no different: each opening of a file locks for itself."""
    model, small = asked("org/a"), asked("org/b")
    first, second = FetchedWeights(0, [model, small]), FetchedWeights(0, [model])
    first.watch(model, fetcher(cache, model))
    second.watch(model, fetcher(cache, model))
    first.not_needed(model)
    assert bytes_in(cache) == 1000
    assert first.full
    first.watch(small, fetcher(cache, small))
    second.not_needed(model)  # that was there before it
    assert bytes_in(cache) == 2000
    first.not_needed(small)
    assert bytes_in(cache) == 0
    first.close()
    second.close()


@pytest.mark.parametrize(("commit", "left"), [("c0", 1000), ("c1", 0)])
def test_what_is_being_fetched_again_stays_and_other_revisions_go(cache, commit, left):
    """The fetch would find a file there, and have none in the end."""
    old, new = asked("org/a@old"), asked("org/a@new")
    weights, other = FetchedWeights(0, [old, new]), FetchedWeights(0, [new])
    weights.watch(old, fetcher(cache, old, commit=commit))
    there = []

    def look():
        weightless = fetcher(cache, new)()
        if commit != "c0":
            Path(weightless.model_path, "model.safetensors").unlink()
        return weightless

    def meanwhile():
        weights.not_needed(old)
        there.append(bytes_in(cache))
        return fetcher(cache, new)()

    other.watch(new, meanwhile, look)
    assert there == [left]
    assert Path(meanwhile().model_path, "model.safetensors").exists()
    other.close()
    weights.close()


def test_what_was_interrupted_counts_and_goes(cache):
    """A full disk is not left to the models that follow."""
    request = asked("org/a")
    weights = FetchedWeights(100, [request])
    blobs = cache / "models--org--a" / "blobs"
    blobs.mkdir(parents=True)
    (blobs / "theirs.incomplete").write_bytes(b"x" * 50)

    def full_disk():
        (blobs / "ours.incomplete").write_bytes(b"x" * 500)
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        weights.watch(request, full_disk)
    assert weights.full
    weights.not_needed(request)
    assert not weights.full
    assert [path.name for path in blobs.iterdir()] == ["theirs.incomplete"]

    def refused():
        fetcher(cache, request)()
        raise ValueError("refused")

    with pytest.raises(ValueError, match="refused"):
        weights.watch(request, refused)
    assert bytes_in(cache) == 1050
    weights.not_needed(request)
    assert bytes_in(cache) == 50
    weights.close()


def test_bases_of_adapters_stay_although_they_were_scored_themselves(cache):
    base, adapter = asked("org/a"), asked("org/adapter")
    weights = FetchedWeights(0, [base, adapter])
    made = weights.watch(base, fetcher(cache, base))
    weights.watch(adapter, fetcher(cache, adapter, base=made.model_path))
    weights.not_needed(base)
    weights.not_needed(adapter)
    assert bytes_in(cache) == 1000
    assert not weights.full
    weights.close()


@pytest.mark.parametrize("gone", [False, True])
def test_a_base_stays_for_adapters_that_come_from_elsewhere(cache, gone):
    """A folder's adapter was no model of the Hub: its base went with the base's own score."""
    base, adapter = asked("org/a"), asked(str(cache))
    weights, other = FetchedWeights(0, [base, adapter]), FetchedWeights(0, [base])
    made = weights.watch(base, fetcher(cache, base))
    of_base = []

    def fetch():
        on = fetcher(cache, base, base=made.model_path)()
        if gone and not of_base:  # another sweep, before this one holds it
            Path(made.model_path, "model.safetensors").unlink()
        of_base.append(on)
        return on

    weights.watch(adapter, fetch)
    assert len(of_base) == 1 + gone
    weights.not_needed(base)
    other.watch(base, fetcher(cache, base))
    other.not_needed(base)
    assert bytes_in(cache) == 1000
    weights.close()
    other.close()


def test_a_gguf_file_that_an_adapter_is_on_stays_too(cache):
    base, adapter = asked("org/a/w.gguf"), asked(str(cache))
    snapshot = cache / "models--org--a" / "snapshots" / ("b" * 40)
    weights, other = FetchedWeights(0, [base, adapter]), FetchedWeights(0, [base])

    def fetch(on=None):
        snapshot.mkdir(parents=True, exist_ok=True)
        (cache / "models--org--a" / "refs").mkdir(exist_ok=True)
        (cache / "models--org--a" / "refs" / "main").write_text("b" * 40)
        (snapshot / "w.gguf").write_bytes(b"x" * 1000)
        return SimpleNamespace(model_path=str(cache), adapter=on)

    applied = SimpleNamespace(base=base.reference)
    weights.watch(base, fetch)
    weights.watch(adapter, lambda: fetch(applied))
    weights.not_needed(base)
    other.watch(base, fetch)
    other.not_needed(base)
    weights.not_needed(adapter)
    assert (snapshot / "w.gguf").exists()
    weights.close()
    other.close()


def test_another_program_s_running_download_is_left_alone(cache):
    fcntl = pytest.importorskip("fcntl", reason="a POSIX system locks so")
    request = asked("org/a")
    weights = FetchedWeights(0, [request])
    blobs, locks = cache / "models--org--a" / "blobs", cache / ".locks" / "models--org--a"
    for folder in (blobs, locks):
        folder.mkdir(parents=True)

    def fetch():
        (blobs / "theirs.1234abcd.incomplete").write_bytes(b"x" * 500)
        (blobs / "ours.incomplete").write_bytes(b"x" * 500)
        return fetcher(cache, request)()

    with (locks / "theirs.lock").open("w") as theirs:
        fcntl.flock(theirs, fcntl.LOCK_EX)
        weights.watch(request, fetch)
        weights.not_needed(request)
    assert [path.name for path in blobs.iterdir()] == ["theirs.1234abcd.incomplete"]
    weights.close()


def test_a_fetch_that_ends_after_the_sweep_holds_nothing(cache):
    request = asked("org/a")
    weights, other = FetchedWeights(0, [request]), FetchedWeights(0, [request])

    def late():
        made = fetcher(cache, request)()
        weights.close()
        return made

    weights.watch(request, late)
    with unused(lock_of(cache / "models--org--a" / "snapshots" / "c0")) as free:
        assert free
    other.close()


def test_gguf_files_of_the_hub_go_too(monkeypatch, tmp_path):
    names = ["org/a/Q8/model.gguf", "org/a/Q4.gguf"]
    requests = [asked(name, "auto") for name in names]
    weights = FetchedWeights(0, requests)
    with HubServer() as hub:
        hub.add("org/a", {"Q8/model.gguf": b"GGUF8" * 10, "Q4.gguf": b"GGUF4"})
        hub.use(monkeypatch, cache=tmp_path)
        for request in requests:

            def fetch(request=request):
                path, _ = fetch_file(request.reference)
                return SimpleNamespace(model_path=path, adapter=None)

            weights.watch(request, fetch)
        weights.not_needed(requests[0])
        assert bytes_in(tmp_path / "hub") == 5
        weights.not_needed(requests[1])
        assert bytes_in(tmp_path / "hub") == 0
    weights.close()


def test_models_of_the_same_weights_come_together_in_the_order_of_the_plan():
    names = ["org/a", "org/b", "org/c", "org/b", "org/a"]
    assert together([asked(name) for name in names]) == [0, 4, 1, 3, 2]


def test_a_name_that_the_hub_does_not_take_is_refused_by_whoever_asks_for_files(cache):
    """A model behind a server may be called so."""
    served = ScoreRequest(
        reference=ModelReference.parse("served--model"),
        settings=ScoringSettings(engine="endpoint", url="http://127.0.0.1:9"),
    )
    here = SimpleNamespace(model_path=str(cache), adapter=None)
    weights = FetchedWeights(0, [served])
    assert weights.watch(served, lambda: here) is here
    weights.close()
    assert not lacks_weights(served.reference)
    assert not lacks_weights(ModelReference.parse("org/a--b"))
    assert lacks_weights(ModelReference.parse("org/a"))
