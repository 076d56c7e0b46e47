"""Pairs are sorted into the paper's settings by what their runs say of themselves."""

import pandas as pd

from mlflow_modelmap.numerics.scale import pair_groups as g


def table(*rows):
    columns = ["model", "trajectory", "step", "model_type", "precision"]
    return pd.DataFrame(rows, columns=columns)


def named(points, groups, setting):
    """Pairs as sets of (trajectory or model, step, precision)."""
    label = [(r.trajectory or r.model, r.step, r.precision) for r in points.itertuples(index=False)]
    return {frozenset((label[a], label[b])) for a, b in groups.get(setting, [])}


def checkpoints(name, steps, precision="float32"):
    return [(f"org/{name}", name, step, "pythia", precision) for step in steps]


def test_early_and_later_neighbours_keep_to_their_part_of_training_and_the_usual_spacing():
    steps = [0, 1, 512, *range(1000, 144_000, 1000)]
    steps.remove(20_000)
    points = table(*checkpoints("a", steps))
    groups = g.pair_groups(points)
    early = {tuple(points["step"][list(pair)]) for pair in groups[g.EARLY]}
    later = {tuple(points["step"][list(pair)]) for pair in groups[g.LATER]}
    assert min(early) == (2000, 3000)
    assert max(early) == (49_000, 50_000)
    assert (19_000, 21_000) not in early
    assert min(later) == (93_000, 94_000)
    assert max(later) == (142_000, 143_000)


def test_seeds_and_sizes_meet_at_the_final_step():
    points = table(
        *checkpoints("p-410m", [10, 20]),
        *checkpoints("p-410m-seed1", [10, 20]),
        *checkpoints("p-1b", [10, 20]),
    )
    groups = g.pair_groups(points)
    assert named(points, groups, g.SEED) == {
        frozenset({("p-410m", 20, "float32"), ("p-410m-seed1", 20, "float32")})
    }
    assert named(points, groups, g.SIZE) == {
        frozenset({("p-410m", 20, "float32"), ("p-1b", 20, "float32")})
    }


def test_quantised_copies_meet_their_original_only():
    points = table(
        ("org/a", None, None, "t", "float16"),
        ("org/a", None, None, "t", "int8"),
        ("org/a", None, None, "t", "nf4"),
        ("org/b", None, None, "t", "int8"),
    )
    groups = g.pair_groups(points)
    assert named(points, groups, g.INT8) == {
        frozenset({("org/a", None, "float16"), ("org/a", None, "int8")})
    }
    assert named(points, groups, g.FOUR_BIT) == {
        frozenset({("org/a", None, "float16"), ("org/a", None, "nf4")})
    }
    assert g.WITHIN_TYPE not in groups


def test_a_checkpoint_with_a_step_and_its_copy_without_one():
    points = table(
        ("org/a", "a", 20, "t", "float32"),
        ("org/a", None, None, "t", "nf4"),
        ("org/child", None, None, "t", "float32"),
    ).assign(adapter_base=None, revision=None, base_model=[None, None, "org/a"])
    groups = g.pair_groups(points)
    assert groups[g.FOUR_BIT].tolist() == [[0, 1]]
    assert groups[g.FINE_TUNE].tolist() == [[0, 2]]


def test_a_copy_of_an_adapter_has_its_base():
    points = table(
        ("org/lora", None, None, "t", "float32"),
        ("org/lora", None, None, "t", "nf4"),
        ("org/lora", None, None, "t", "nf4"),
    ).assign(adapter_base=["org/base@1", "org/base@1", "org/other@2"])
    assert g.pair_groups(points)[g.FOUR_BIT].tolist() == [[0, 1]]


def test_a_file_stored_quantised_is_a_copy_of_the_base_that_it_names():
    points = table(
        ("org/a", None, None, "t", "nf4"),
        ("org/a", None, None, "t", "float32"),
        ("org/a", None, None, "t", "bfloat16"),
        ("a-Q4_K_M.gguf", None, None, "t", "Q4_K_M"),  # of org/a, as it says
        ("a-gptq", None, None, "t", "gptq-int4"),  # of org/a@main
        ("b-Q8_0.gguf", None, None, "t", "Q8_0"),  # of what was not scored
        ("c-Q8_0.gguf", None, None, "t", "Q8_0"),  # says nothing
        ("org/tuned", None, None, "t", "int8"),  # made while loading: of org/tuned
        ("lora", None, None, "t", "Q2_K"),  # an adapter on a GGUF file of org/a
    ).assign(
        revision=[None, "main", "main", *[None] * 6],
        base_model=[None, None, None, "org/a", "org/a@main", "org/b", None, "org/a", "org/a"],
        adapter_base=[*[None] * 8, "a-Q2_K.gguf@1"],
    )
    assert g.quantised_copies(points).tolist() == [[1, 3], [1, 4]]
    points["revision"] = None
    points.loc[4, "base_model"] = None
    assert g.quantised_copies(points).tolist() == [[1, 0], [1, 3]]
    assert g.FINE_TUNE not in g.pair_groups(points)
    assert g.pair_groups(points)[g.FOUR_BIT].tolist() == [[1, 0]]


def test_without_a_copy_there_are_no_pairs_of_copies():
    points = table(("org/a", None, None, "t", "float64"), ("org/a", None, None, "t", "float32"))
    assert g.quantised_copies(points).shape == (0, 2)


def test_a_fine_tune_meets_the_model_it_names():
    points = table(
        ("org/base", None, None, "t", "float32"), ("org/child", None, None, "t", "float32")
    ).assign(base_model=[None, "org/base"], revision=["main", None])
    assert g.pair_groups(points)[g.FINE_TUNE].tolist() == [[0, 1]]
    points["base_model"] = [None, "org/base@main"]
    assert g.pair_groups(points)[g.FINE_TUNE].tolist() == [[0, 1]]
    points["base_model"] = [None, "org/elsewhere"]
    assert g.FINE_TUNE not in g.pair_groups(points)


def test_adjacent_layers_of_one_model_and_no_whole_model():
    points = table(*[("org/a", None, None, "t", "float32")] * 4).assign(layer=[0, 1, 3, None])
    groups = g.pair_groups(points)
    assert groups[g.LAYER].tolist() == [[0, 1]]
    assert set(groups) == {g.LAYER}


def test_random_groups_are_capped_and_reproducible_and_users_groups_share_a_tag():
    points = table(*[(f"org/{i}", None, None, "ab"[i % 2], "float32") for i in range(40)]).assign(
        team=["x" if i < 3 else None for i in range(40)]
    )
    first, second = (
        g.pair_groups(points, group_columns=["team"], most_random=50) for _ in range(2)
    )
    assert len(first[g.RANDOM]) == 50
    assert (first[g.RANDOM] == second[g.RANDOM]).all()
    assert first["team"].tolist() == [[0, 1], [0, 2], [1, 2]]
    types = points["model_type"]
    assert all(types[a] == types[b] for a, b in first[g.WITHIN_TYPE])


def test_a_fine_tuning_is_one_pair_however_many_checkpoints_of_it_were_scored():
    points = table(
        ("org/base", None, None, "t", "float32"),
        *checkpoints("tuned", [100, 200, 300]),
        ("org/other", None, 10, "t", "float32"),
        ("org/other", None, 20, "t", "float32"),
    ).assign(base_model=[None, *["org/base"] * 5])
    assert g.pair_groups(points)[g.FINE_TUNE].tolist() == [[0, 3], [0, 5]]


def test_training_rows_are_the_checkpoints_in_full_precision_by_step():
    points = table(
        *checkpoints("a", [20, 10]), *checkpoints("a", [30], "int8"), ("b", None, 5, "t", None)
    )
    ((name, (steps, rows)),) = g.training_rows(points).items()
    assert (name, steps.tolist(), rows.tolist()) == ("a", [10, 20], [1, 0])
