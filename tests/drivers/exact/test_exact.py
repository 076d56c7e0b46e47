"""Scored models compared token by token: real tiny models, from their runs back to their files."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import mlflow
import numpy as np
import pytest
import torch
from click.testing import CliRunner
from transformers import AutoModelForCausalLM, AutoTokenizer

from mlflow_modelmap import InputError, TextSet, compare, score, study_quantization
from mlflow_modelmap.drivers.exact.exact import ExactOptions, exact_between, load_exact
from mlflow_modelmap.drivers.exact.measure import choose
from mlflow_modelmap.drivers.exact.scored_model import model_behind, texts_behind
from mlflow_modelmap.drivers.score.prepare import prepare
from mlflow_modelmap.drivers.score.request import ScoreRequest
from mlflow_modelmap.scoring.model.reference import ModelReference
from mlflow_modelmap.surfaces.cli import cli
from mlflow_modelmap.texts.read import read_texts
from mlflow_modelmap.tracking.runs.select_runs import select_runs
from mlflow_modelmap.tracking.store.client import check_reachable


def double_sum(first, second, texts):
    """KL(A || B) of whole texts in nats, float64."""
    tokenizer = AutoTokenizer.from_pretrained(first)
    a, b = (AutoModelForCausalLM.from_pretrained(p).eval().double() for p in (first, second))
    sums = []
    for text in texts:
        ids = torch.tensor(tokenizer(text)["input_ids"])[None]
        with torch.no_grad():
            p, q = (m(ids).logits[0, :-1].log_softmax(-1) for m in (a, b))
        sums.append(float((p.exp() * (p - q)).sum()))
    return np.array(sums)


@pytest.mark.drawn
def test_compare_exactly_is_logged_loaded_and_right(both_scored, models, texts):
    found = compare("original", "pushed", exact=True)
    sums = double_sum(models / "original", models / "pushed", texts.texts)
    size = np.array(texts.bytes) * np.log(2)
    right = sums.sum() / size.sum()
    assert found.exact.forward == pytest.approx(right, rel=1e-5)
    residual = (sums - right * size) / size.sum()
    n = len(sums)
    assert found.exact.forward_se == pytest.approx(np.sqrt((residual**2).sum()), rel=1e-4)
    assert found.exact.texts == n
    # Its log-likelihoods are those of the runs, so that the model is the one that was scored.
    assert found.exact.bits_per_byte_first == pytest.approx(found.bits_per_byte, abs=1e-5)
    assert found.exact.bits_per_byte_second == pytest.approx(found.other_bits_per_byte, abs=1e-5)
    back = load_exact(found.exact_study.run_id)
    assert back.pairs["forward"].tolist() == [found.exact.forward]
    assert set(back.by_domain["domain"]) == {"code", "prose"}
    assert back.by_text["forward"].to_numpy() == pytest.approx(sums, rel=1e-3)
    assert back.tokens["kl"].is_monotonic_decreasing
    run = mlflow.MlflowClient().get_run(back.run_id)
    assert run.data.tags["modelmap.kind"] == "exact"
    assert run.data.metrics["modelmap/exact_forward"] == found.exact.forward


def test_the_command_line_says_it_and_json_holds_it(both_scored):
    done = CliRunner().invoke(cli, ["compare", "original", "pushed", "--exact", "--json"])
    assert done.exit_code == 0, done.output
    exact = json.loads(done.stdout)["exact"]
    assert {
        *("forward", "reverse", "js", "forward_se", "reverse_se", "top1", "top1_se"),
        *("texts", "tokens", "run_id"),
    } <= set(exact)
    assert 0 < exact["js"] < exact["forward"]
    done = CliRunner().invoke(
        cli, ["compare", "original", "pushed", "--exact", "--exact-texts", "3"]
    )
    assert "tokens of 3 texts (A = original, B = pushed)" in done.stdout
    assert "KL(A || B)" in done.stdout
    assert "same likeliest token" in done.stdout


def test_other_vocabularies_changed_models_and_lost_texts_are_one_sentence(
    both_scored, models, written, tmp_path
):
    score(models / "other", written, precision="float32", name="other", progress=False)
    with pytest.raises(
        InputError, match=r"(different vocabularies|read text 0 differently) .* is what there is\."
    ):
        compare("original", "other", exact=True)
    written.rename(tmp_path / "moved.jsonl")
    with pytest.raises(InputError, match="say with --texts"):
        compare("original", "pushed", exact=True)
    options = ExactOptions(texts=tmp_path / "moved.jsonl")
    assert compare("original", "pushed", exact=True, options=options).exact is not None
    with pytest.raises(InputError, match="are not those that"):
        compare(
            "original",
            "pushed",
            exact=True,
            options=replace(options, texts=TextSet("x", ("one text", "another text"))),
        )
    config = models / "pushed" / "config.json"
    before = config.read_text()
    config.write_text(before + " ")
    try:
        with pytest.raises(InputError, match="is no longer what 'pushed' scored"):
            compare("original", "pushed", exact=True, options=options)
    finally:
        config.write_text(before)


def test_quantised_copies_have_the_exact_value_beside_the_estimate(store, models, written):
    for precision in ("float32", "nf4", "int8"):
        score(models / "original", written, precision=precision, progress=False)
    study = study_quantization(exact=True)
    pairs = study.pairs.set_index("precision")
    assert (pairs["exact_forward"] > 0).all()
    assert pairs.loc["nf4", "exact_forward"] > pairs.loc["int8", "exact_forward"]
    logged = mlflow.MlflowClient().get_run(study.run_id).data.metrics
    assert logged["modelmap/estimate_over_exact/nf4"] == pytest.approx(
        pairs.loc["nf4", "kl"] / pairs.loc["nf4", "exact_forward"]
    )
    exact = load_exact(study.exact_run)
    assert sorted(exact.pairs["forward"]) == sorted(pairs["exact_forward"])


@pytest.mark.parametrize(
    ("texts", "chosen"), [(None, [0, 1, 2, 3, 4]), (3, [0, 2, 4]), (9, [0, 1, 2, 3, 4])]
)
def test_texts_are_chosen_evenly(texts, chosen):
    assert choose(np.full(5, 10), 4, texts).tolist() == chosen


def test_too_large_a_file_takes_fewer_texts_and_one_text_is_refused():
    assert len(choose(np.full(1000, 2**20), 2**4, None)) == 256
    with pytest.raises(InputError, match="1 texts are too few"):
        choose(np.full(5, 10), 4, 1)


def test_a_pair_that_fails_late_costs_no_other(both_scored, models, written, store):
    # Its weights are no numbers: found only when it is run.
    broken = models.parent / f"{models.name}-broken"
    shutil.copytree(models / "original", broken, dirs_exist_ok=True)
    model = AutoModelForCausalLM.from_pretrained(models / "original")
    score(broken, written, precision="float32", name="broken", progress=False)
    points = {point.name: point for point in select_runs(("test",), store=check_reachable())}
    with torch.no_grad():
        model.model.norm.weight.fill_(float("nan"))
    commit = points["broken"].commit
    model.save_pretrained(broken)
    changed = prepare(
        ScoreRequest(reference=ModelReference.parse(broken)), read_texts(written)
    ).files.commit
    assert changed != commit
    points["broken"] = replace(points["broken"], commit=changed)
    pairs = [(points["broken"], points["pushed"]), (points["original"], points["broken"])]
    good = (points["original"], points["pushed"])
    study = exact_between([*pairs, good], check_reachable(), strict=False, progress=False)
    assert study.pairs[["first", "second"]].to_numpy().tolist() == [["original", "pushed"]]
    assert len(study.notices) == 2
    assert all("are not finite" in notice for notice in study.notices), study.notices
    assert load_exact(study.run_id).notices == study.notices


def test_code_of_a_model_runs_only_if_that_very_model_is_named(both_scored):
    point = next(iter(select_runs(run_ids=(both_scored["pushed"],), store=check_reachable())))
    assert not ExactOptions().trusts(point)
    assert not ExactOptions(trusted_code=("org/another",)).trusts(point)
    assert ExactOptions(trusted_code=("org/another", point.model)).trusts(point)
    texts = texts_behind(point, check_reachable())
    for trusted in (False, True):
        prepared = model_behind(point, texts, check_reachable(), trust_remote_code=trusted)
        assert prepared.request.settings.trust_remote_code is trusted
