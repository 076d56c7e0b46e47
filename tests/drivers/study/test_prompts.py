"""The same models under several prompts: shifts, their cosines, and whether they add up."""

from __future__ import annotations

import numpy as np
import pytest

from mlflow_modelmap.drivers.study.prompts import load_prompts, mean_cosines, study_prompts
from mlflow_modelmap.errors import InputError
from tests.drivers.study.known import N, expected_kl


@pytest.fixture
def prompted(write_run):
    """Three models whom two prompts push alike, and both together by the sum and a little more."""
    generator = np.random.default_rng(3)
    pushes = {"Be brief.": generator.normal(size=N), "Rhyme.": 2 * generator.normal(size=N)}
    vectors = {}
    for model in ("org/a", "org/b", "org/c"):
        own = vectors[model, ""] = -50 + 5 * generator.normal(size=N)
        write_run(model, own, model=model, precision="float32")
        moved = {p: push + 0.1 * generator.normal(size=N) for p, push in pushes.items()}
        moved["Be brief. Rhyme."] = sum(moved.values()) + 0.5 * generator.normal(size=N)
        for prompt, shift in moved.items():
            vectors[model, prompt] = own + shift
            tags = {"model": model, "precision": "float32", "prompt": prompt}
            write_run(f"{model} {prompt}", own + shift, **tags)
    return vectors


@pytest.mark.drawn
def test_shifts_are_kl_from_the_plain_prompt_and_known_by_their_direction(prompted):
    study = study_prompts(["test"])
    assert len(study.shifts) == 9
    own = {(row.model, row.prompt): row for row in study.shifts.itertuples()}
    for (model, prompt), vector in prompted.items():
        if prompt:
            row = own[model.removeprefix("org/"), prompt]
            assert row.kl == pytest.approx(expected_kl(vector, prompted[model, ""]))
            assert 0 < row.se < row.kl
            assert row.reference == model
    for row in study.cosines.itertuples():
        first, second = (
            prompted[f"org/{m}", p] - prompted[f"org/{m}", ""]
            for m, p in ((row.model, row.prompt), (row.other_model, row.other_prompt))
        )
        assert row.cosine == pytest.approx(np.corrcoef(first, second)[0, 1])
    means = mean_cosines(study.cosines)
    assert means["pairs"].to_dict() == {"same prompt": 9, "same model": 9, "neither": 18}
    assert means.loc["same prompt", "mean"] > 0.9 > means.loc["neither", "mean"]
    assert study.notices == load_prompts(study.run_id).notices
    assert load_prompts(study.run_id).cosines["cosine"].tolist() == study.cosines["cosine"].tolist()


@pytest.mark.drawn
def test_a_composite_is_held_against_the_sum_of_its_parts(prompted):
    added = study_prompts(["test"]).additivity
    assert added["model"].tolist() == ["a", "b", "c"]
    assert added["parts"].tolist() == ['["Be brief.", "Rhyme."]'] * 3
    for row in added.itertuples():
        model = f"org/{row.model}"
        brief, rhyme, both = (
            prompted[model, p] - prompted[model, ""]
            for p in ("Be brief.", "Rhyme.", "Be brief. Rhyme.")
        )
        assert row.unexplained == pytest.approx(np.var(both - brief - rhyme) / np.var(both))
        assert row.unexplained_by_one == pytest.approx(np.var(both - rhyme) / np.var(both))
        assert row.cosine == pytest.approx(np.corrcoef(both, brief + rhyme)[0, 1])
        assert row.kl_predicted == pytest.approx(expected_kl(brief + rhyme, 0 * both))
        assert row.unexplained + 3 * row.unexplained_se < row.unexplained_by_one


@pytest.mark.drawn
def test_another_prompt_can_be_the_reference(prompted):
    shifts = study_prompts(["test"], reference="Be  brief.").shifts
    assert "its own template" in set(shifts["prompt"])
    row = shifts[(shifts["prompt"] == "Rhyme.") & (shifts["model"] == "b")].iloc[0]
    expected = expected_kl(prompted["org/b", "Rhyme."], prompted["org/b", "Be brief."])
    assert row["kl"] == pytest.approx(expected)
    with pytest.raises(InputError, match=r"prompt 'Be long\.'; choose of .*'Rhyme\.'"):
        study_prompts(["test"], reference="Be long.")


@pytest.mark.drawn
def test_models_without_the_reference_or_another_prompt_are_told_of(prompted, write_run):
    more = -50 + np.random.default_rng(5).normal(size=(4, N))
    write_run("alone", more[0], model="alone")
    write_run("only rhymes", more[1], model="rhymer", prompt="Rhyme.")
    write_run("a again", more[2], model="org/a", precision="float32", prompt="Rhyme.")
    write_run("a, int8", more[3], model="org/a", precision="int8")
    study = study_prompts(["test"])
    assert set(study.shifts["model"]) == {"a (float32)", "b", "c"}
    told = " ".join(study.notices)
    assert "another point has already were left out: 'a again'" in told.replace('"', "'")
    assert "one prompt only were left out: " in told
    assert "alone" in told
    assert "reference prompt (its own template) were left out: " in told
    assert "rhymer" in told


@pytest.mark.drawn
def test_a_reference_is_the_prompt_as_it_was_written(write_run):
    generator = np.random.default_rng(0)
    for name, prompt in (("a", "Be  brief."), ("b", "Be brief."), ("c", "Be brief. (2)")):
        write_run(name, -50 + generator.normal(size=N), model="org/m", prompt=prompt)
    for written, point in (("Be brief.", "b"), ("Be  brief.", "a"), ("Be brief. (2)", "c")):
        assert set(study_prompts(["test"], reference=written).shifts["reference"]) == {point}
    with pytest.raises(InputError, match="same under every prompt"):
        study_prompts(["test"], vector="unconditional")


def test_scores_under_one_prompt_are_a_sentence(write_run):
    for name in ("a", "b"):
        write_run(name, -50 + np.random.default_rng(0).normal(size=N))
    with pytest.raises(InputError, match="all under one prompt; score a model with --system-prom"):
        study_prompts(["test"])
    write_run("c", -50 + np.random.default_rng(1).normal(size=N), prompt="Rhyme.")
    with pytest.raises(InputError, match="No model was scored under the reference prompt"):
        study_prompts(["test"])
