"""The gate: scores what is missing, decides by the interval, records the decision."""

from __future__ import annotations

import json

import mlflow
import numpy as np
import pytest

from mlflow_modelmap import InputError, ScoringError, ScoringSettings, TextSet, score
from mlflow_modelmap.drivers.gate.gate import gate
from mlflow_modelmap.numerics.divergence.kl import kl_between
from mlflow_modelmap.numerics.gate.verdict import decide_kl
from tests.logged import log_model
from tests.scored import write_score

NF4 = ScoringSettings(precision="nf4")


@pytest.fixture(scope="module")
def many(texts) -> TextSet:
    """48 short texts: the session's, and each with another ending."""
    more = tuple(f"{text} again, {k}" for k, text in enumerate(texts.texts))
    return TextSet("many texts", texts.texts + more)


@pytest.fixture
def write_pair(store, many):
    """Two scores of the texts that no model made, `spread` nats a text apart."""

    def write(spread: float = 1.0, shift: float = 0.0, size=None) -> tuple[str, str]:
        random = np.random.default_rng(0)
        first = random.normal(-50, 5, len(many))
        step = random.normal(0, 1, len(many))
        step = (step - step.mean()) / step.std()
        size = many.bytes if size is None else size
        ids = [
            write_score(store, name, row, size, digest=many.digest)
            for name, row in (
                ("reference", first),
                (f"candidate {spread:g} {shift:g}", first + spread * step - shift),
            )
        ]
        return ids[1], ids[0]

    return write


def test_a_quantised_copy_passes_a_wide_limit_and_fails_a_narrow_one(
    store, tiny_models, many, all_runs
):
    # bitsandbytes needs inputs of a multiple of 64
    tiny_model = tiny_models("gpt_neox", hidden_size=64, intermediate_size=128)
    passed = gate(tiny_model, tiny_model, many, max_kl=1.0, settings=NF4)
    failed = gate(tiny_model, tiny_model, many, max_kl=0.0001, settings=NF4)
    assert (passed.verdict, passed.exit_code) == ("pass", 0)
    assert (failed.verdict, failed.exit_code) == ("fail", 1)
    assert (passed.candidate.precision, passed.reference.precision) == ("nf4", "float32")
    assert passed.candidate.scored_now
    assert not failed.candidate.scored_now
    assert len(all_runs()) == 4  # two scores, two decisions
    expected, se = kl_between(
        score(tiny_model, many, precision="nf4").log_likelihoods,
        score(tiny_model, many).log_likelihoods,
        many.mean_bytes,
        text_bytes=np.array(many.bytes),
    )
    assert (passed.kl, passed.kl_se) == pytest.approx((expected, se))


@pytest.mark.drawn
def test_the_decision_is_a_finished_run_that_says_everything(write_pair, many, store):
    candidate, reference = write_pair()
    decision = gate(
        candidate, reference, many, max_kl=1e-9, max_bits_per_byte_increase=0.5, name="release 7"
    )
    run = mlflow.get_run(decision.run_id)
    assert (run.info.status, run.info.run_name) == ("FINISHED", "release 7")
    tags, metrics, params = run.data.tags, run.data.metrics, run.data.params
    assert tags["modelmap.kind"] == "gate"
    assert tags["modelmap.gate"] == decision.verdict == "fail"
    assert tags["modelmap.candidate_run"] == candidate
    assert tags["modelmap.reference_run"] == reference
    assert tags["modelmap.text_set"] == many.digest
    link = f"](modelmap/?run={decision.run_id})"
    assert tags["mlflow.note.content"].startswith(decision.paragraph)
    assert link in tags["mlflow.note.content"]
    assert metrics["modelmap/kl"] == pytest.approx(decision.kl)
    assert metrics["modelmap/kl_low"] < decision.kl < metrics["modelmap/kl_high"]
    assert metrics["modelmap/bits_per_byte_difference"] == pytest.approx(0, abs=1e-9)
    assert params["modelmap.max_kl"] == "1e-09"
    paths = {f.path for f in mlflow.MlflowClient().list_artifacts(run.info.run_id, "modelmap")}
    assert paths == {"modelmap/decision.json", "modelmap/gate.png"}
    written = json.loads(
        mlflow.artifacts.load_text(f"runs:/{run.info.run_id}/modelmap/decision.json")
    )
    assert written["verdict"] == "fail"
    assert written["limits"][0]["quantity"] == "kl"
    assert written["limits"][1]["verdict"] == "pass"
    assert written["candidate"]["run_id"] == candidate


def test_the_paragraph_names_both_the_texts_the_interval_and_the_verdict(write_pair, many):
    decision = gate(*write_pair(), many, max_kl=1e-9)
    for part in ("candidate 1 0", "reference", "48 texts of many texts", "bits/byte, which is"):
        assert part in decision.paragraph
    assert "95 % interval" in decision.paragraph
    assert "Verdict: fail, because of the KL divergence" in decision.paragraph
    assert "\n" not in decision.paragraph


def test_an_interval_on_both_sides_is_undecided_and_says_how_many_texts(write_pair, many):
    pair = write_pair()
    kl = gate(*pair, many, max_kl=10.0).kl
    decision = gate(*pair, many, max_kl=1.1 * kl)
    assert (decision.verdict, decision.exit_code) == ("undecided", 2)
    assert decision.limits[0].texts_needed > len(many)
    assert f"about {decision.limits[0].texts_needed:,} such texts" in decision.paragraph


def test_any_failing_limit_fails(write_pair, many):
    pair = write_pair(spread=1.0, shift=5.0)
    worse = 5.0 / many.mean_bytes / np.log(2)
    assert gate(*pair, many, max_kl=1.0).verdict == "pass"
    both = gate(*pair, many, max_kl=1.0, max_bits_per_byte_increase=worse / 2)
    assert both.verdict == "fail"
    assert [limit.verdict for limit in both.limits] == ["pass", "fail"]
    assert both.bits_per_byte_difference == pytest.approx(worse)
    assert gate(*pair, many, max_bits_per_byte_increase=worse * 2).verdict == "pass"


def test_a_model_against_itself_is_0_and_passes(store, tiny_model, texts):
    decision = gate(tiny_model, tiny_model, texts, max_kl=0.0, max_bits_per_byte_increase=0.0)
    assert (decision.kl, decision.kl_se, decision.verdict) == (0, 0, "pass")
    assert decision.notices == ()


def test_few_texts_are_said(store, many):
    random = np.random.default_rng(0)
    for count in (5, 20):
        few = TextSet(f"{count} texts", many.texts[:count])
        ids = [
            write_score(store, f"{name} {count}", row, few.bytes, digest=few.digest)
            for name, row in zip("ab", random.normal(-50, 3, (2, count)), strict=True)
        ]
        decision = gate(*ids, few, max_kl=1e6)
        assert decision.verdict == ("undecided" if count == 5 else "pass")
        assert decision.notices
        assert decision.notices[0] in decision.paragraph
    with pytest.raises(InputError, match="holds one text, which decides nothing"):
        gate("a 5", "b 5", TextSet("one", many.texts[:1]), max_kl=1.0)


def test_the_verdict_becomes_a_tag_of_the_registered_version(store, tiny_model, many):
    with mlflow.start_run():
        log_model(tiny_model, registered_model_name="tiny")
    client = mlflow.MlflowClient(store)
    client.set_registered_model_alias("tiny", "candidate", "1")
    decision = gate("models:/tiny@candidate", tiny_model, many, max_kl=1.0, tag_version=True)
    tags = client.get_model_version("tiny", "1").tags
    assert tags["modelmap.gate"] == "pass"
    assert tags["modelmap.gate_run"] == decision.run_id
    assert decision.candidate.model == "models:/tiny/1"


def test_a_gate_within_a_run_is_its_child_and_the_scores_are_not(store, tiny_models, many):
    with mlflow.start_run() as outer:
        decision = gate(tiny_models(seed=0), tiny_models(seed=1), many, max_kl=1000.0)
    run = mlflow.get_run(decision.run_id)
    assert run.data.tags["mlflow.parentRunId"] == outer.info.run_id
    for one in (decision.candidate, decision.reference):
        assert "mlflow.parentRunId" not in mlflow.get_run(one.run_id).data.tags


def test_in_a_project_s_process_the_decision_goes_into_its_run(write_pair, many, monkeypatch):
    pair = write_pair()
    client = mlflow.MlflowClient()
    where = client.get_experiment_by_name("test").experiment_id
    given = client.create_run(where).info.run_id
    monkeypatch.setenv("MLFLOW_RUN_ID", given)
    decision = gate(*pair, many, max_kl=1.0)
    assert decision.run_id == given
    assert client.get_run(given).data.tags["modelmap.gate"] == "pass"


def test_what_cannot_be_decided_is_refused_before_anything_is_scored(
    store, tiny_model, many, all_runs
):
    def refused(match, **options):
        with pytest.raises(InputError, match=match):
            gate(tiny_model, tiny_model, many, **options)

    refused("needs a limit")
    refused("largest KL divergence of -1", max_kl=-1)
    refused(r"confidence level of 1\.5", max_kl=1, confidence=1.5)
    refused("is no version of a registered model", max_kl=1, tag_version=True)
    with pytest.raises(InputError, match="No candidate was given"):
        gate("", tiny_model, many, max_kl=1)
    with pytest.raises(InputError, match="candidate 'nobody' is neither a run"):
        gate("nobody", tiny_model, many, max_kl=1)
    assert all_runs() == []


def test_truncated_scores_and_other_texts_are_refused(write_pair, store, many, texts):
    candidate, _ = write_pair()
    cut = many.bytes.copy()
    cut[3] -= 1
    _, truncated = write_pair(size=cut)
    with pytest.raises(InputError, match=r"of text 3.*because one of them truncated it"):
        gate(candidate, truncated, many, max_kl=1)
    with pytest.raises(InputError, match=r"The candidate .* was scored on the text set made-up"):
        gate(candidate, candidate, texts, max_kl=1)


def test_an_error_while_scoring_is_no_decision(store, tiny_models, many, tmp_path, all_runs):
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = tiny_models(seed=0)
    broken = AutoModelForCausalLM.from_pretrained(folder)
    with torch.no_grad():
        next(broken.parameters()).fill_(float("nan"))
    broken.save_pretrained(tmp_path / "broken")
    AutoTokenizer.from_pretrained(folder).save_pretrained(tmp_path / "broken")
    with pytest.raises(ScoringError, match="not finite"):
        gate(tmp_path / "broken", folder, many, max_kl=1)
    assert "gate" not in {run.data.tags["modelmap.kind"] for run in all_runs()}


def test_scores_that_hold_other_tokens_are_told_of(write_pair, many, store):
    client = mlflow.MlflowClient(store)
    pair = write_pair(0.1)
    for run_id, bos in zip(pair, ("true", "false"), strict=True):
        client.log_param(run_id, "modelmap.bos_applied", bos)
    decided = gate(*pair, many, max_kl=1.0)
    assert any("first token of each text" in notice for notice in decided.notices)


def test_texts_that_would_decide_are_texts_where_documents_are_counted(store):
    """Five texts a document: as many documents as texts would be without them, times five."""
    texts = tuple(f"text number {k:3d}" for k in range(200))
    few = TextSet("few", texts)
    documents = tuple(f"d{k // 5}" for k in range(200))
    pieces = TextSet("pieces", texts, documents=documents)
    random = np.random.default_rng(0)
    rows = random.normal(-50, 5, (2, 40)).repeat(5, axis=1)  # texts of a document are alike
    ids = [
        write_score(store, name, row, few.bytes, digest=few.digest)
        for name, row in zip(("a", "b"), rows, strict=True)
    ]
    kl = gate(*ids, few, max_kl=1e9).kl
    (limit,) = gate(*ids, pieces, max_kl=1.1 * kl).limits
    assert limit.verdict == "undecided"
    alone = decide_kl(limit.value, limit.se, 1.1 * kl, 40)
    assert limit.texts_needed == 5 * alone.texts_needed
    eight = TextSet("eight", texts, documents=tuple(f"d{k // 25}" for k in range(200)))
    told = gate(*ids, eight, max_kl=1.1 * kl)
    assert any("eight holds 8 documents, too few" in notice for notice in told.notices)
