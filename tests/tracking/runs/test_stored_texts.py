"""Text sets in the store: by run, name or digest, and nothing else than what was logged."""

from __future__ import annotations

from pathlib import Path

import mlflow
import pytest

from mlflow_modelmap import load_texts, log_texts
from mlflow_modelmap.drivers.score.texts import shortest_name
from mlflow_modelmap.errors import InputError, TrackingError
from mlflow_modelmap.texts.text_set import TextSet
from mlflow_modelmap.tracking.runs.stored_texts import stored_texts
from mlflow_modelmap.tracking.runs.text_dataset import TextSetSource
from tests.tracking.conftest import write_run  # noqa: F401 - a fixture

RICH = TextSet(
    "it's 10k",
    ("one", "zwei ☃", "one", "three\nlines\r\n"),
    domains=("a", "a", "b", "b"),
    weights=(1.0, 0.1 + 0.2, 3.0, 1e-3),
    documents=("x", None, "x", "y"),
    allow_duplicates=True,
)
CHAT = TextSet("chat", ("yes", "no"), prompts=("Is it?", [("system", "Be brief."), ("user", "?")]))


@pytest.mark.parametrize("texts", [RICH, CHAT], ids=["rich", "chat"])
def test_a_set_comes_back_whole_by_run_name_and_digest(store, texts):
    uri = log_texts(texts)
    assert uri == log_texts(texts)  # not twice
    (held,) = stored_texts(mlflow.MlflowClient(store))
    assert (held.uri, held.texts, held.size) == (uri, len(texts), texts.bytes.sum())
    names = [uri, f"texts:/{texts.name}", texts.name, texts.digest, texts.digest[:12]]
    for written in [*names, f"sha256:{texts.digest}"]:
        found = load_texts(written)
        assert (found.texts, found.prompts, found.domains) == (
            texts.texts,
            texts.prompts,
            texts.domains,
        )
        assert (found.weights, found.documents) == (texts.weights, texts.documents)
        assert (found.name, found.digest, found.source) == (texts.name, texts.digest, uri)
    assert TextSetSource(uri).load().digest == texts.digest


def test_the_texts_of_a_score_are_found_by_the_score(store, write_run):  # noqa: F811
    uri = log_texts(RICH)
    score = write_run("score", digest=RICH.digest, text_weights=RICH.weights_digest)
    assert load_texts(f"runs:/{score}").source == uri
    other = write_run("other", digest="b" * 64)
    with pytest.raises(InputError, match=f"{other} was made on them, but they were not logged"):
        load_texts(f"runs:/{other}")


def test_a_name_goes_on_meaning_the_same_texts(store):
    log_texts(RICH)
    with pytest.raises(InputError, match=r"other texts called .*choose another name"):
        log_texts(CHAT, name=RICH.name)
    unweighted = TextSet(RICH.name, RICH.texts, allow_duplicates=True)
    with pytest.raises(InputError, match="choose another name"):
        log_texts(unweighted)
    log_texts(unweighted, name="plain")
    assert load_texts("plain").weights is None


def test_a_file_comes_before_a_name_and_a_typing_error_is_about_files(store, tmp_path):
    log_texts(RICH, name="both.jsonl")
    Path("both.jsonl").write_text('{"text": "from the file"}\n', encoding="utf-8")
    assert load_texts("both.jsonl").texts == ("from the file",)
    assert load_texts("texts:/both.jsonl").texts == RICH.texts
    with pytest.raises(InputError, match=r"'bth\.jsonl'.*or a text set of the store \(see"):
        load_texts("bth.jsonl")
    with pytest.raises(InputError, match=r"no texts called 'bth' \(it has .*both\.jsonl"):
        load_texts("texts:/bth")
    with pytest.raises(InputError, match="no texts with the digest 0123456789ab; log them"):
        load_texts("0123456789ab")


def test_weights_are_those_of_the_score_and_names_mean_one_thing(store, write_run):  # noqa: F811
    plain = TextSet("plain", ("a", "b"))
    weighted = TextSet("weighted", ("a", "b"), weights=(1.0, 2.0))
    log_texts(plain)
    log_texts(weighted)
    score = write_run("score", digest=plain.digest)
    of_weighted = {"digest": plain.digest, "text_weights": weighted.weights_digest}
    other = write_run("other", **of_weighted)
    assert load_texts(f"runs:/{score}").name == "plain"
    assert load_texts(f"runs:/{other}").name == "weighted"
    with pytest.raises(InputError, match="with several weights; choose one by its name, of 'wei"):
        load_texts(plain.digest)
    for name in ("runs:/x", "texts:/x", "two\nlines"):
        with pytest.raises(InputError, match="read as something else"):
            log_texts(plain, name=name)
    for name, shortest in (
        ("mine", "mine"),
        ("deadbeefdeadbeef", "texts:/deadbeefdeadbeef"),
        ("python-docs:3", "texts:/python-docs:3"),
        ("artifacts", "texts:/artifacts"),
    ):
        uri = log_texts(plain, name=name)
        assert shortest_name(name) == shortest
        assert load_texts(shortest).source == uri


def test_texts_that_were_changed_or_lost_are_not_believed(store):
    uri = log_texts(CHAT)
    run = mlflow.get_run(uri.removeprefix("runs:/"))
    file = Path(run.info.artifact_uri.removeprefix("file://")) / "modelmap" / "texts.jsonl"
    written = file.read_text(encoding="utf-8")
    file.write_text(written.replace("yes", "yes!"), encoding="utf-8")
    with pytest.raises(TrackingError, match="holds other texts than the run says"):
        load_texts(uri)
    file.write_text("{", encoding="utf-8")
    with pytest.raises(TrackingError, match=r"is damaged .*log the texts again"):
        load_texts(uri)
    file.unlink()
    with pytest.raises(TrackingError, match=r"texts\.jsonl of run \w+ is missing; log the texts"):
        load_texts(uri)
    mlflow.delete_run(run.info.run_id)
    with pytest.raises(InputError, match="was deleted"):
        load_texts(uri)
    assert log_texts(CHAT) != uri
