"""Vectors from files become points with the KL that the numbers have, and come out as they were."""

from __future__ import annotations

import io
import json
import re
import zipfile
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mlflow_modelmap import (
    InputError,
    TextSet,
    build_map,
    build_scale,
    compare,
    export_vectors,
    import_vectors,
    log_texts,
    study_layers,
    trajectory,
)
from mlflow_modelmap.drivers.exact.scored_model import model_behind
from mlflow_modelmap.drivers.pair.reference_score import reference_score
from mlflow_modelmap.drivers.study.selection import select
from mlflow_modelmap.tracking.runs.read_vectors import read_matrix
from mlflow_modelmap.tracking.runs.select_runs import select_runs
from tests.scored import DIGEST, made_up, write_family, write_score

TEXTS = TextSet("made up", tuple(f"text {k} " + "z" * (70 + k) for k in range(40)))
VALUES, _ = made_up(6, 40)


def kl_by_hand(a: np.ndarray, b: np.ndarray, size: np.ndarray) -> float:
    return float(np.var(a - b) / (2 * np.mean(size) * np.log(2)))


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, store: str) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write_npz(**more) -> str:
    names = np.array([f"m{k}" for k in range(len(VALUES))])
    np.savez("x.npz", **{"log_likelihoods": VALUES, "names": names, **more})
    return "x.npz"


@pytest.mark.parametrize(
    ("ending", "made_as"),
    [("npz", "runs"), ("npz", "vectors"), ("parquet", "vectors"), ("csv", "vectors")],
)
def test_what_is_exported_is_imported_to_the_bit(here, store, ending, made_as):
    write_family(store, (0, 1), experiment="test")
    random = np.random.default_rng(1)
    size = random.integers(60, 120, 40)
    digest, weights = "7" * 64, random.uniform(0.5, 2, 40)
    for k, row in enumerate(-1.0 * size + random.normal(0, 5, (3, 40))):
        write_score(
            store, f"w{k}, quoted \"so\"\n", row, size, experiment="weighted", digest=digest,
            weights=weights, base_model="w0" if k else "", precision="nf4",
        )  # fmt: skip
    client = mlflow.MlflowClient()
    client.set_tag(select_runs(["weighted"])[0].run_id, "seed", "17")
    for experiment in ("test", "weighted"):
        made = export_vectors(f"{experiment}.{ending}", [experiment])
        found = import_vectors(made.file, made_as=made_as, experiment=f"again {experiment}")
        assert found.found == 0
        assert found.made_as == made_as
        assert len(found.run_ids) == (made.points if made_as == "runs" else 1)
        first, points = read_matrix(select_runs([experiment]))
        second, others = read_matrix(select_runs([f"again {experiment}"]))
        assert first.points == second.points
        np.testing.assert_array_equal(first.values, second.values)
        np.testing.assert_array_equal(first.text_bytes, second.text_bytes)
        assert (first.weights is None) == (second.weights is None)
        if first.weights is not None:
            np.testing.assert_array_equal(first.weights, second.weights)
        for a, b in zip(points, others, strict=True):
            for name in ("model", "trajectory", "step", "model_type", "base_model", "precision"):
                assert getattr(a, name) == getattr(b, name), name
            assert (a.text_set, a.text_set_name) == (b.text_set, b.text_set_name)
            assert a.tags.get("seed") == b.tags.get("seed")


def test_it_is_float32_only_where_nothing_is_lost(here):
    for values, kind in ((VALUES, np.float64), (VALUES.astype(np.float32), np.float32)):
        write_npz(log_likelihoods=values)
        made = import_vectors("x.npz", texts=TEXTS, made_as="vectors", experiment=str(kind))
        info = mlflow.MlflowClient().get_run(made.run_ids[0]).info
        root = Path(info.artifact_uri.removeprefix("file://"))
        assert np.load(root / "modelmap/vectors.npy").dtype == kind
        export_vectors("out.npz", [str(kind)])
        assert np.load("out.npz")["log_likelihoods"].dtype == kind


def test_every_study_takes_imported_points(here):
    """One run of two trainings, a fine-tune, a copy and two layers: the KL that numpy finds."""
    steps = [0, 1000, 2000, 3000, -1, -1, -1, -1]
    values = np.concatenate([VALUES, VALUES[:2] - np.arange(40) % 3])
    write_npz(
        log_likelihoods=values,
        names=np.array([f"t step {s}" for s in steps[:4]] + ["tuned", "copy", "t 0", "t 1"]),
        models=np.array(["t"] * 4 + ["tuned", "t", "l", "l"]),
        trajectories=np.array(["t"] * 4 + [""] * 4),
        steps=np.array(steps),
        layers=np.array([-1] * 6 + [0, 1]),
        base_models=np.array([""] * 4 + ["t"] + [""] * 3),
        precisions=np.array(["float32"] * 5 + ["nf4"] + ["float32"] * 2),
    )
    made = import_vectors("x.npz", texts=TEXTS, experiment="test")
    assert made.made_as == "vectors"
    assert made.points == 8
    size = TEXTS.bytes
    drawn = build_map(["test"], perplexity=2)
    assert len(drawn.points) == 6  # layers were not asked for
    assert drawn.kl.at["tuned", "copy"] == pytest.approx(kl_by_hand(values[4], values[5], size))
    assert set(drawn.points["run_id"]) == set(made.run_ids)
    assert len(select(["test"]).matrix(layers=True)[1]) == 8
    scale = build_scale(["test"])
    layer = scale.pairs[scale.pairs["group"] == "Layer"]
    assert layer["kl"].tolist() == pytest.approx([kl_by_hand(values[6], values[7], size)])
    assert {"4-bit", "FT", "Layer"} <= set(scale.table["group"])
    layers = study_layers(["test"], perplexity=1)
    assert layers.profiles["model"].tolist() == ["l"]
    along = trajectory(["test"], filter="tags.`modelmap.trajectory` = 't'", figures=False)
    assert along.points["step"].tolist() == [0, 1000, 2000, 3000]
    by_name = compare("t 0", f"{made.run_ids[0]}@t step 1000", experiments=["test"])
    assert by_name.kl == pytest.approx(kl_by_hand(values[6], values[1], size))
    reference = reference_score("tuned", TEXTS, experiment="test")
    np.testing.assert_array_equal(reference.log_likelihoods, values[4])
    assert (reference.name, reference.run_id) == ("tuned", made.run_ids[0])
    with pytest.raises(InputError, match=r"stands for 8 scores, .* or as RUN_ID@NAME"):
        compare(made.run_ids[0], "tuned")
    for others in (["test"], [], None):  # whoever finds it: the store, or what was read of it
        with pytest.raises(InputError, match="'t' stands for 5 scores"):
            compare("t", "tuned", **({"experiments": others} if others is not None else {}))
    with pytest.raises(InputError, match="'t' stands for 5 scores"):
        reference_score("t", TEXTS, experiment="test")
    with pytest.raises(InputError, match=f"{made.run_ids[0]} holds no point 'turned'; there is"):
        compare(f"{made.run_ids[0]}@turned", "tuned")
    copy = next(run for run in select_runs(["test"]) if run.name == "copy")
    with pytest.raises(InputError, match="'copy' was imported from a file"):
        model_behind(copy, TEXTS, mlflow.MlflowClient())


def test_layers_alone_are_no_models(here):
    write_npz(layers=np.arange(6), models=np.array(["l"] * 6))
    import_vectors("x.npz", texts=TEXTS, experiment="test")
    with pytest.raises(InputError, match="The 6 selected points are layers only"):
        build_map(["test"])
    assert build_scale(["test"]).table["group"].tolist() == ["Layer"]
    with pytest.raises(InputError, match="Layers cannot be imported as runs"):
        import_vectors("x.npz", texts=TEXTS, made_as="runs")


def test_the_same_file_is_imported_once(here, monkeypatch):
    write_npz()
    first_of_runs: tuple[str, ...] = ()
    for made_as, count in (("runs", 6), ("vectors", 1)):
        first = import_vectors("x.npz", texts=TEXTS, made_as=made_as, experiment=made_as)
        first_of_runs = first.run_ids if made_as == "runs" else first_of_runs
        again = import_vectors("x.npz", texts=TEXTS, made_as=made_as, experiment=made_as)
        assert again.run_ids == first.run_ids
        assert again.found == count
        anew = import_vectors("x.npz", texts=TEXTS, made_as=made_as, experiment=made_as, again=True)
        assert not set(anew.run_ids) & set(first.run_ids)
        assert anew.found == 0
        runs = select_runs([made_as])
        assert {run.run_id for run in runs} == set(anew.run_ids)  # the latest of each counts
        assert len(runs) == 6
    mlflow.MlflowClient().delete_run(select_runs(["runs"])[2].run_id)
    assert import_vectors("x.npz", texts=TEXTS, made_as="runs", experiment="runs").found == 6
    mlflow.MlflowClient().delete_run(first_of_runs[2])
    gone_on = import_vectors("x.npz", texts=TEXTS, made_as="runs", experiment="runs")
    assert (gone_on.found, len(gone_on.run_ids)) == (5, 6)  # as after a stop half-way
    with pytest.raises(InputError, match="The name 'x' is for one run"):
        import_vectors("x.npz", texts=TEXTS, name="x", experiment="other")


def test_up_to_a_hundred_points_are_runs(here):
    values = np.tile(VALUES, (17, 1)) - np.arange(102)[:, None]
    for count, made_as in ((100, "runs"), (101, "vectors")):
        names = np.array([f"m{k}" for k in range(count)])
        np.savez("x.npz", log_likelihoods=values[:count], names=names)
        if made_as == "runs":
            from mlflow_modelmap.drivers.exchange.import_vectors import MOST_RUNS

            assert count == MOST_RUNS  # a hundred runs would take seconds
            continue
        assert import_vectors("x.npz", texts=TEXTS, experiment="x").made_as == made_as


def test_texts_belong_to_the_file(here):
    write_npz()
    with pytest.raises(
        InputError, match=r"no bytes of its texts in the file 'x.npz'; give the texts"
    ):
        import_vectors("x.npz")
    few = TextSet("few", TEXTS.texts[:30])
    with pytest.raises(InputError, match="are of 40 texts, and 'few' holds 30"):
        import_vectors("x.npz", texts=few)
    write_npz(bytes=TEXTS.bytes, text_set=DIGEST, text_set_name="theirs")
    with pytest.raises(InputError, match=f"text set theirs \\({DIGEST[:12]}\\), and 'made up' is"):
        import_vectors("x.npz", texts=TEXTS)
    write_npz(bytes=TEXTS.bytes + 1)
    with pytest.raises(InputError, match=r"Text 0 has 78 bytes in .* and 77 in 'made up'"):
        import_vectors("x.npz", texts=TEXTS)
    documents = tuple(f"d{k // 2}" for k in range(40))
    weighted = TextSet("w", TEXTS.texts, weights=(2.0,) * 39 + (1.0,), documents=documents)
    write_npz()
    import_vectors("x.npz", texts=weighted, made_as="vectors", experiment="w")
    matrix, points = read_matrix(select_runs(["w"]))
    assert matrix.weights.tolist() == [2.0] * 39 + [1.0]
    assert matrix.documents.tolist() == [k // 2 for k in range(40)]
    assert points[0].tags["modelmap.text_weights"] == weighted.weights_digest


NAN = VALUES.copy()
NAN[3, 7] = np.nan
BAD = {
    "NaN": ({"log_likelihoods": NAN}, r"text 7 of 'm3' in the file 'x\.npz' is nan \(1 of 6"),
    "losses": ({"log_likelihoods": -VALUES}, "give log-likelihoods, not losses"),
    "words": ({"log_likelihoods": VALUES.astype(str)}, "log-likelihoods are numbers"),
    "flat": ({"log_likelihoods": VALUES[0], "names": np.array(["a"] * 40)}, "no vectors in"),
    "none": ({"log_likelihoods": VALUES[:0], "names": np.array([], str)}, "no vectors in"),
    "one name twice": ({"names": np.array(list("abcdea"))}, "Two points of .* the name 'a'"),
    "no name": ({"names": np.array(list("abcde "))}, "Point 5 of .* has the name ' '"),
    "few names": ({"names": np.array(list("abc"))}, "one text for each of its 6 vectors"),
    "names that are numbers": ({"names": np.arange(6)}, "has int64 of shape"),
    "half a byte": ({"bytes": np.full(40, 70.5)}, r"holds 70\.5 as the bytes of text 0; give a wh"),
    "documents of no number": ({"documents": np.full(40, np.nan)}, "holds nan as the documents of"),
    "a truth value for a step": ({"steps": np.array([True] * 6)}, "holds bool as steps"),
    "noise below 0": ({"noise_kl": np.full(6, -1.0)}, r"The noise_kl of point 0 in .* is '-1\.0'"),
    "a path for a tag": ({"a//b": np.array(list("abcdef"))}, r"'a//b' of .* MLflow takes"),
    "a label in two arrays": ({"steps": np.arange(6), "step": np.arange(6)}, "the step of its poi"),
    "names in two arrays": ({"point": np.array(list("abcdef"))}, "the point of its points in two"),
    "two set names": ({"text_set_name": np.array(["a", "b"])}, "as text_set_name, which is one te"),
    "a step too few": ({"steps": np.arange(5)}, r"'steps' of shape \(5,\), but 6 vectors"),
    "half a step": ({"steps": np.arange(6) / 2}, r"The step of point 1 in .* is '0\.5'"),
    "a layer below 0": ({"layers": np.array([0, 1, 2, 3, 4, -5])}, "The layer of point 5"),
    "a type that is a number": ({"model_types": np.arange(6)}, "model_types, which are texts"),
    "a tag of odd name": ({"a+b": np.array(list("abcdef"))}, r"'a\+b' of .* MLflow takes"),
    "bytes of 0": ({"bytes": np.zeros(40, int)}, "The bytes of text 0 in .* are 0"),
    "bytes too few": ({"bytes": np.ones(39, int)}, r"The bytes in .* have the shape \(39,\)"),
    "weight of 0": ({"weights": np.zeros(40)}, "The weights of text 0 in .* are 0"),
    "no digest": ({"bytes": np.ones(40, int), "text_set": "abc"}, "64 hexadecimal digits"),
}  # fmt: skip


def refused(file: str) -> str:
    with pytest.raises(InputError) as error:
        import_vectors(file, texts=TEXTS)
    return str(error.value)


def test_bad_numbers_are_one_sentence(here):
    for what, (given, said) in BAD.items():
        write_npz(**given)
        assert re.search(said, refused("x.npz")), what
    assert not mlflow.search_runs(search_all_experiments=True).size


def npz_of(**members: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(f"{name}.npy", data)
    return file.getvalue()


def npy(value: np.ndarray, **how) -> bytes:
    file = io.BytesIO()
    np.save(file, value, **how)
    return file.getvalue()


def test_bad_files_are_one_sentence(here, monkeypatch):
    pq.write_table(
        pa.table(
            {
                "point": ["a"],
                "log_likelihoods": [
                    [-1.0],
                ],
            }
        ),
        "short.parquet",
    )
    pq.write_table(
        pa.table({"point": ["a", "b"], "log_likelihoods": [[-1.0], [-1.0, -2.0]]}), "u.parquet"
    )
    pq.write_table(pa.table({"point": ["a"], "log_likelihoods": [[-1.0, None]]}), "null.parquet")
    pq.write_table(pa.table({"point": ["a"], "0": [-1.0], "2": [-1.0]}), "gap.parquet")
    pq.write_table(pa.table({"point": ["a"], "x": [-1.0]}), "none.parquet")
    pq.write_table(pa.table({"name": ["a"], "0": [-1.0]}), "unnamed.parquet")
    lists = [[-1.0], [-2.0]]
    listed: dict[str, dict] = {
        "rows.parquet": {
            "point": pa.array([], pa.string()),
            "log_likelihoods": pa.array([], pa.list_(pa.float32())),
        },
        "two.parquet": {"point": ["a", "b"], "log_likelihoods": lists, "0": [-1.0, -2.0]},
        "words.parquet": {"point": ["a", "b"], "log_likelihoods": lists, "noise_kl": ["low", None]},
        "half.parquet": {"point": ["a", "b"], "log_likelihoods": lists, "step": [1.0, 1.5]},
        "truth.parquet": {"point": ["a", "b"], "log_likelihoods": lists, "layer": [True, None]},
        "numbers.parquet": {"point": ["a", "b"], "log_likelihoods": lists, "model": [None, 7]},
    }  # fmt: skip
    for name, columns in listed.items():
        pq.write_table(pa.table(columns), name)
    objects = npy(np.array([None]), allow_pickle=True)
    written: dict[str, tuple[bytes | str | None, str]] = {
        "none.npz": (None, "cannot be read: No such file"),
        "text.npz": ("nonsense", "is no numpy archive"),
        "lfs.npz": ("version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
        "lacks.npz": (npz_of(names=npy(np.array(["a"]))), "lacks the array 'log_likelihoods'"),
        "objects.npz": (npz_of(log_likelihoods=objects), "which cannot be read, as its values"),
        "cut.npz": (npz_of(log_likelihoods=npy(VALUES)[:-8]), "promises 0.0 MB of numbers"),
        "x.txt": ("a", "has an ending that says no format"),
        "x.npy": (npy(VALUES), "says no names; give them with --names"),
        "bad.parquet": ("PAR1", "is no Parquet file"),
        "u.parquet": (None, "unlike length, 2 in row 1 and 1 in row 0"),
        "null.parquet": (None, "has an empty value in row 0"),
        "gap.parquet": (None, "has 2 columns of texts and no column 1"),
        "none.parquet": (None, "neither a column log_likelihoods nor columns 0, 1, 2"),
        "unnamed.parquet": (None, "has no column point"),
        "empty.csv": ("", "is no CSV file"),
        "word.csv": ("point,0\na,x\n", "is no CSV file .*x"),
        "hole.csv": ("point,0,1\na,-1,\n", "empty cell in row 0, column 1"),
        "nan.csv": ("point,0,1\na,-1,NaN\n", "text 1 of 'a' in .* is nan"),
        "twice.csv": ("point,0\na,-1\na,-2\n", "Two points of .* have the name 'a'"),
        "rows.csv": ("point,0,1\n", "There are no vectors in"),
        "rows.parquet": (None, "There are no vectors in"),
        "two.parquet": (None, "has a column log_likelihoods and a column 0"),
        "words.parquet": (None, "The noise_kl of point 0 in .* is 'low'"),
        "half.parquet": (None, r"The step of point 1 in .* is '1\.5'"),
        "truth.parquet": (None, "The layer of point 0 in .* is 'True'"),
        "numbers.parquet": (None, "holds 7 in the column model, which is text"),
        "half.csv": ("point,step,0\na,1,-1\nb,1.5,-1\n", r"The step of point 1 in .* is '1\.5'"),
        "column.csv": ("point,0,0\na,-1,-2\n", "has the column '0' twice"),
    }
    for name, (content, said) in written.items():
        if content is not None:
            Path(name).write_bytes(content if isinstance(content, bytes) else content.encode())
        assert re.search(said, refused(name)), name
    with pytest.raises(InputError, match="are of 1 texts, and 'made up' holds 40"):
        import_vectors("short.parquet", texts=TEXTS)
    with pytest.raises(InputError, match="leave out --names"):
        import_vectors("text.npz", names="x.txt")
    with pytest.raises(InputError, match="leave out --keys"):
        import_vectors("text.npz", keys="step")
    with pytest.raises(InputError, match=r"has no single \{\} for what differs"):
        import_vectors("text.npz", model_format="pythia")


def test_an_archive_that_unpacks_to_much_is_not_unpacked(here):
    data = npz_of(log_likelihoods=b"\0" * 50_000_000)
    assert len(data) < 100_000
    claims = data.replace((50_000_000).to_bytes(4, "little"), (2**32 - 2).to_bytes(4, "little"))
    Path("bomb.npz").write_bytes(claims)
    with pytest.raises(InputError, match=r"unpacks to 4,295\.0 MB|bad|promises|is no numpy"):
        import_vectors("bomb.npz", texts=TEXTS)


def test_a_table_by_hand_and_an_array_beside_names(here):
    """What somebody writes with pandas alone; the columns of texts in any order."""
    frame = pd.DataFrame(VALUES[:, ::-1], columns=[str(k) for k in reversed(range(40))])
    frame.insert(0, "point", [f"m{k}" for k in range(6)])
    frame["licence"] = ["mit", "apache"] * 3
    frame.to_parquet("hand.parquet")
    frame.to_csv("hand.csv", index=False)
    np.save("hand.npy", np.asfortranarray(VALUES))
    Path("names.json").write_text(json.dumps(frame["point"].tolist()))
    for name in ("hand.parquet", "hand.csv", "hand.npy"):
        names = "names.json" if name.endswith("npy") else None
        import_vectors(name, texts=TEXTS, names=names, made_as="vectors", experiment=name)
        matrix, points = read_matrix(select_runs([name]))
        np.testing.assert_array_equal(matrix.values, VALUES)
        assert points[0].name == "m0"
        assert matrix.text_bytes.tolist() == TEXTS.bytes.tolist()
        if names is None:
            assert points[1].tags["licence"] == "apache"
    Path("names.json").write_text('["a"]')
    with pytest.raises(InputError, match="There are 6 vectors and 1 names"):
        import_vectors("hand.npy", texts=TEXTS, names="names.json")


def test_where_an_export_cannot_go(here, store):
    write_family(store, (0, 1))
    Path("taken.npz").mkdir()
    Path("a.txt").write_text("")
    for out, said in (
        ("x.json", "Vectors are written as .npz, .parquet, .csv"),
        ("taken.npz", "Vectors are written as"),
        ("a.txt/x.npz", "cannot be written"),
        ("a\0b.csv", "cannot be written"),
    ):
        with pytest.raises(InputError, match=said):
            export_vectors(out, ["test"])
    # MLflow 3.5 makes the folder of its own default store, and a lock lies beside a database
    there = {path.name for path in here.iterdir() if not path.name.startswith(".")} - {"mlruns"}
    assert there == {"a.txt", "taken.npz", "artifacts", "mlflow.db"}


def test_texts_of_the_store_are_named_as_everywhere(here, store):
    uri = log_texts(TEXTS)
    for written in (uri, TEXTS.name, TEXTS.digest[:12]):
        made = import_vectors(write_npz(), texts=written, again=True, made_as="vectors")
        assert made.points == len(VALUES)
    (run,) = mlflow.MlflowClient().search_runs(["1"], f"run_id = '{made.run_ids[0]}'")
    assert run.data.tags["modelmap.text_set"] == TEXTS.digest
