"""`modelmap map` and `modelmap compare` as people and scripts call them."""

from __future__ import annotations

import json
import re

import mlflow
import pytest

from mlflow_modelmap.drivers.map.model_map import load_map
from mlflow_modelmap.surfaces.cli import main
from tests.scored import made_up, write_family, write_score


def call(capsys, *arguments):
    """Exit code, stdout, stderr."""
    with pytest.raises(SystemExit) as done:
        main(list(arguments))
    captured = capsys.readouterr()
    return done.value.code, captured.out, captured.err


@pytest.fixture
def family(store):
    return write_family(store)


def test_map_prints_closest_pairs_bound_and_where_to_look(family, store, capsys):
    code, out, err = call(capsys, "map", "--experiment", "test")
    assert code == 0
    assert "10 points on 40 texts (made-up texts)" in out
    assert "entropy is at most" in out
    assert out.count(" ± ") >= 5
    run = load_map(re.search(r"Run (\w+) in experiment", out)[1])
    *_, where, typed = out.splitlines()
    assert where == f"Look at http://127.0.0.1:5000/modelmap/?run={run.run_id} while this runs:"
    assert typed == f"mlflow server --app-name modelmap --backend-store-uri {store}"
    assert "perplexity was lowered" in err


def test_map_as_json_names_the_run_and_nothing_else_is_printed(family, store, capsys):
    code, out, _ = call(capsys, "map", "--experiment", "test, test", "--json", "--clip", "")
    assert code == 0
    result = json.loads(out)
    assert load_map(result["run_id"]).entropy_bound == result["entropy_bound"]
    assert result["closest_pairs"][0]["kl"] > 0
    assert len(result["bits_per_byte"]) == 10


def test_quiet_map_prints_the_run_id_only(family, store, capsys):
    code, out, err = call(capsys, "map", "--run-id", ",".join(family[:4]), "--quiet")
    assert code == 0
    assert mlflow.MlflowClient(store).get_run(out.strip()).data.tags["modelmap.members"] == "4"
    assert err == ""


def test_layers_flag_and_filter_pass_through(family, capsys):
    filter = "tags.modelmap.trajectory = 'tiny-seed1'"
    code, out, _ = call(
        capsys, "map", "--experiment", "test", "--filter", filter, "--layers-if", "false", "--json"
    )
    assert code == 0
    assert json.loads(out)["points"] == 5


def test_a_map_of_nothing_is_one_sentence_and_exit_code_one(store, capsys):
    code, out, err = call(capsys, "map", "--experiment", "test")
    assert (code, out) == (1, "")
    assert err.startswith("Error: No finished run")
    assert err.count("\n") == 1


def test_compare_prints_kl_error_interval_bits_and_words(family, capsys):
    code, out, _ = call(capsys, "compare", "tiny seed 0 step 0", "tiny seed 0 step 512")
    assert code == 0
    assert "bits/byte, 95 % interval" in out
    assert "That is " in out
    assert out.count("bits per byte") == 2
    assert family[0] in out


def test_compare_as_json(store, capsys):
    values, size = made_up(2)
    for k, row in enumerate(values):
        write_score(store, f"m{k}", row, size)
    code, out, _ = call(capsys, "compare", "m0", "m1", "--experiment", "test", "--json")
    result = json.loads(out)
    assert code == 0
    assert result["low"] < result["kl"] < result["high"]
    assert result["a"]["bits_per_byte"] > 0


def test_compare_with_an_unknown_name_fails_in_one_sentence(family, capsys):
    code, _, err = call(capsys, "compare", "tiny seed 0 step 0", "nobody")
    assert code == 1
    assert err.startswith("Error: No finished score of 'nobody'")


def test_points_are_placed_and_identified(store, capsys):
    values, size = made_up(9)
    ids = [write_score(store, f"m{k}", row, size) for k, row in enumerate(values)]
    first = json.loads(call(capsys, "map", "--run-id", ",".join(ids[:7]), "--json")[1])["run_id"]
    code, out, err = call(capsys, "place", ids[7], ids[8], "--map", first)
    assert code == 0, err
    assert "placed  nearest point" in out
    assert "9 points" in out
    told = json.loads(call(capsys, "place", ids[7], "--map", first, "--json")[1])
    assert (told["map_run"], told["points"], told["placed"][0]["point"]) == (first, 8, "m7")
    extended = json.loads(call(capsys, "map", "--run-id", ids[8], "--extend", first, "--json")[1])
    assert extended["points"] == 8
    code, out, err = call(capsys, "identify", ids[7], "--map", first)
    assert code == 0, err
    assert "Likely parent" in out or "None of these" in out
    told = json.loads(call(capsys, "identify", ids[7], "--map", first, "--json")[1])
    assert len(told["nearest"]) == 7
