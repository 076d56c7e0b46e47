"""Every study of PMI, and of responses without their prompts: the right vectors, and said."""

from __future__ import annotations

import json

import mlflow
import numpy as np
import pytest
from click.testing import CliRunner

import mlflow_modelmap as mm
from mlflow_modelmap import InputError, TextSet
from mlflow_modelmap.drivers.pair.compare import compare
from mlflow_modelmap.drivers.pair.scale_at_hand import newest_scale
from mlflow_modelmap.drivers.study.quantization import study_quantization
from mlflow_modelmap.drivers.study.scale import build_scale
from mlflow_modelmap.surfaces.cli import cli
from tests.scored import made_up, write_score

TEXTS = TextSet(
    "pairs", tuple(f"answer {n}" for n in range(40)), prompts=tuple(f"Ask {n}?" for n in range(40))
)
KIND = "modelmap.vector_kind"


@pytest.fixture
def scores(store):
    """Log-likelihoods of three scores, behind their prompts and alone, in nats; one is a copy."""
    behind, size = made_up(3)
    alone = made_up(3, seed=1)[0] - 5.0
    ids = []
    for number, name in enumerate(("m", "m int8", "other")):
        ids.append(
            write_score(
                store,
                name,
                behind[number],
                size,
                digest=TEXTS.digest,
                alone=alone[number],
                step=number,
                trajectory="t",
                precision="int8" if "int8" in name else "float32",
            )
        )
        mlflow.MlflowClient().set_tag(ids[-1], "modelmap.model", name.partition(" ")[0])
    return ids, behind, alone, size


def kl_of(first, second, size):
    """A variance, written out."""
    return np.var(first - second) / (2 * size.mean() * np.log(2))


def params(run_id):
    return mlflow.get_run(run_id).data.params


@pytest.mark.drawn
@pytest.mark.parametrize("vector", ["pmi", "unconditional"])
def test_a_map(scores, vector):
    _, behind, alone, size = scores
    made = mm.build_map(vector=vector)
    values = behind - alone if vector == "pmi" else alone
    assert made.between("m", "other").kl == pytest.approx(kl_of(values[0], values[2], size))
    bits = -(behind if vector == "pmi" else alone).mean(1) / (size.mean() * np.log(2))
    np.testing.assert_allclose(made.points["bits_per_byte"], bits)
    assert made.entropy_bound == pytest.approx(bits.min())
    assert made.closest_pairs()["bits_per_byte_difference_se"].isna().all()
    told = [notice for notice in made.notices if "PMI vectors: not KL divergences" in notice]
    assert len(told) == (vector == "pmi")
    assert params(made.run_id)[KIND] == vector
    assert mm.load_map(made.run_id).vector == vector
    plain = mm.build_map()
    assert plain.between("m", "other").kl == pytest.approx(kl_of(behind[0], behind[2], size))
    assert KIND not in params(plain.run_id)
    assert plain.vector == "conditional"
    assert not any("vectors" in notice for notice in plain.notices)
    root = mlflow.get_run(made.run_id).info.artifact_uri
    brief = "PMI vectors" if vector == "pmi" else "vectors without prompts"
    page = mlflow.artifacts.load_text(f"{root}/modelmap/map.html")
    assert f"Model map ({brief}) of 3 points" in page


def test_a_pair_in_words_that_claim_no_more_than_is_known(scores):
    ids, behind, alone, size = scores
    pmi = behind - alone
    found = compare(ids[0], ids[2], vector="pmi")
    assert found.kl == pytest.approx(kl_of(pmi[0], pmi[2], size))
    assert found.bits_per_byte == pytest.approx(-behind[0].mean() / (size.mean() * np.log(2)))
    assert found.bits_per_byte_difference == pytest.approx(
        compare(ids[0], ids[2]).bits_per_byte_difference
    )
    assert "scale of KL divergences says nothing" in found.words
    done = CliRunner().invoke(cli, ["compare", ids[0], ids[2], "--vector", "pmi"])
    assert done.output.startswith("KL divergence (PMI vectors) ")
    assert "how differently they tie answers to prompts" in done.output
    told = CliRunner().invoke(cli, ["compare", ids[0], ids[2], "--vector", "pmi", "--json"])
    assert json.loads(told.stdout)["vector"] == "pmi"
    plain = CliRunner().invoke(cli, ["compare", ids[0], ids[2], "--json"])
    assert "vector" not in json.loads(plain.stdout)


def test_a_gate(scores):
    ids, behind, alone, size = scores
    pmi = behind - alone
    decision = mm.gate(ids[0], ids[2], TEXTS, max_kl=1e3, vector="pmi")
    assert decision.kl == pytest.approx(kl_of(pmi[0], pmi[2], size))
    assert decision.candidate.bits_per_byte == pytest.approx(
        -behind[0].mean() / (size.mean() * np.log(2))
    )
    assert "KL divergence (PMI vectors)" in decision.paragraph
    assert params(decision.run_id)[KIND] == "pmi"
    assert KIND not in params(mm.gate(ids[0], ids[2], TEXTS, max_kl=1e3).run_id)


def test_quantised_copies_and_the_scale_which_is_of_nobody_elses_vectors(scores):
    _, behind, alone, size = scores
    pmi = behind - alone
    found = study_quantization(vector="pmi")
    assert found.pairs["kl"].tolist() == pytest.approx([kl_of(pmi[0], pmi[1], size)])
    made = build_scale(vector="pmi")
    assert params(found.run_id)[KIND] == params(made.run_id)[KIND] == "pmi"
    plain = build_scale()
    read = []
    newest_scale(
        [mlflow.get_run(made.run_id), mlflow.get_run(plain.run_id)],
        None,
        lambda run: read.append(run.info.run_id) or plain.table,
    )
    assert read == [plain.run_id]


def test_a_training_and_a_lineage(scores):
    ids, behind, alone, size = scores
    pmi = behind - alone
    study = mm.trajectory(vector="pmi", clip=None, drop_texts=None, figures=False)
    kls = [kl_of(pmi[k], pmi[k + 1], size) for k in range(2)]
    assert study.kl_previous["kl"].tolist() == pytest.approx(kls)
    mlflow.MlflowClient().set_tag(ids[2], "modelmap.base_model", "m")
    found = mm.lineage(run_ids=[ids[0], ids[2]], vector="pmi", hub=False, progress=False)
    row = found.table.set_index("child").loc["other"]
    assert row["kl"] == pytest.approx(kl_of(pmi[0], pmi[2], size))
    assert params(study.run_id)[KIND] == params(found.run_id)[KIND] == "pmi"


def test_a_run_without_is_left_out_or_another_of_the_same_score_taken(store, scores):
    ids, behind, _, size = scores
    lacks = write_score(store, "lacks", behind[0] + 1, size, digest=TEXTS.digest)
    made = mm.build_map(["test"], vector="pmi")
    assert set(made.points["run_id"]) == set(ids)
    (told,) = [notice for notice in made.notices if lacks in notice]
    assert "has no log-likelihoods of responses without their prompts" in told
    assert "lacks" in list(mm.build_map(["test"]).points["point"])
    # The same score made again, without: the earlier one has it.
    client = mlflow.MlflowClient()
    for run_id in (ids[0], write_score(store, "m", behind[0], size, digest=TEXTS.digest)):
        client.set_tag(run_id, "modelmap.identity", "1" * 64)
    assert set(mm.build_map(["test"], vector="pmi").points["run_id"]) == set(ids)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda a: np.where(np.arange(40) == 7, np.nan, a), "lacks text 7"),
        (lambda a: np.where(np.arange(40) == 7, 3.0, a), "holds 3"),
        (lambda a: np.where(np.arange(40) == 7, -np.inf, a), "holds -inf"),
    ],
)
def test_values_that_cannot_be_are_not_read(store, change, why):
    behind, size = made_up(2)
    ids = [
        write_score(store, f"m{n}", row, size, alone=change(row) if n else row)
        for n, row in enumerate(behind)
    ]
    with pytest.raises(mm.TrackingError, match=f"unconditional_log_likelihood {why}"):
        compare(*ids)


def test_exact_words_for_a_vector_that_there_is_not(scores):
    ids = scores[0]
    with pytest.raises(InputError, match="'both' is unknown; choose one of conditional, uncond"):
        compare(ids[0], ids[1], vector="both")
