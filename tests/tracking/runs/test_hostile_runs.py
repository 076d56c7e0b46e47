"""Runs as an attacker writes them: refused in a sentence by name, left out with it among many."""

from __future__ import annotations

import io
import re
import resource
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mlflow_modelmap import InputError, TrackingError, build_map, compare
from mlflow_modelmap.drivers.study.selection import select
from mlflow_modelmap.errors import ModelMapError
from mlflow_modelmap.tracking.runs import parquet_table
from mlflow_modelmap.tracking.runs.artifacts import read_artifact
from mlflow_modelmap.tracking.runs.largest_sizes import PAGE, VECTORS, NotRead
from mlflow_modelmap.tracking.runs.read_vectors import read_matrix
from mlflow_modelmap.tracking.runs.select_runs import select_runs
from tests.tracking.conftest import vector_frame

GOOD = np.array([[-30.0, -40.0, -50.0], [-31.0, -39.0, -52.0], [-29.0, -41.0, -50.5]])


def parquet(table: Any, **options: Any) -> bytes:
    file = io.BytesIO()
    if isinstance(table, pd.DataFrame):
        table.to_parquet(file, **options)
    else:
        pq.write_table(table, file, **options)
    return file.getvalue()


def column(name: str, values: Any) -> bytes:
    """A score in which one column holds something else."""
    frame = vector_frame(GOOD[0])
    table = pa.Table.from_pandas(frame, preserve_index=False)
    made = values if isinstance(values, pa.Array) else pa.array(values)
    if name not in table.column_names:
        return parquet(table.append_column(name, made))
    return parquet(table.set_column(table.column_names.index(name), name, made))


def twice(name: str) -> bytes:
    table = pa.Table.from_pandas(vector_frame(GOOD[0]), preserve_index=False)
    return parquet(table.append_column(name, table[name]))


def repeated(rows: int, value: Any) -> pa.Array:
    """One value in every row, which takes no room in a file."""
    return pa.DictionaryArray.from_arrays(np.zeros(rows, np.int32), pa.array([value]))


def bomb(rows: int, **columns: Any) -> bytes:
    names = ("text", "layer", "log_likelihood", "scored_tokens", "bytes")
    table = {name: columns.get(name, repeated(rows, 1)) for name in names}
    return parquet(pa.table(table), compression="zstd")


def many_layers() -> bytes:
    number = np.arange(1_001)
    frame = pd.DataFrame({"text": 0 * number, "layer": number, "log_likelihood": -1.0})
    return parquet(frame.assign(scored_tokens=1, bytes=9))


def with_layer(layer: Any) -> bytes:
    frame = vector_frame(GOOD[0])
    return parquet(frame.assign(layer=layer))


whole = parquet(vector_frame(GOOD[0]))
ARTIFACTS: dict[str, tuple[Callable[[], bytes | None], str]] = {
    "NaN": (lambda: column("log_likelihood", [-1, float("nan"), -2]), "of text 1 is nan"),
    "infinity": (lambda: column("log_likelihood", [-1, -np.inf, -2]), "of text 1 is -inf"),
    "plus infinity": (lambda: column("log_likelihood", [np.inf, -1.0, -2]), "of text 0 is inf"),
    "a number without bounds": (lambda: column("log_likelihood", [-1e308, -1, -2]), "is -1e.308"),
    "no number": (lambda: column("log_likelihood", ["<b>", "x", "y"]), "else than numbers"),
    "a number in letters": (lambda: column("log_likelihood", ["-1", "2", "3"]), "than numbers"),
    "an empty cell": (lambda: column("log_likelihood", [-1, None, -2]), "holds empty cells"),
    "times": (
        lambda: column("log_likelihood", pa.array([1, 2, 3], pa.timestamp("us"))),
        "holds something else than numbers",
    ),
    "structs": (
        lambda: column("log_likelihood", [{"a": -1.0}] * 3),
        "holds no plain values in the column 'log_likelihood'",
    ),
    "lists": (lambda: column("text", [[0], [1], [2]]), "no plain values in the column 'text'"),
    "a column twice": (lambda: twice("log_likelihood"), "the column 'log_likelihood' 2 times"),
    "a weight column twice": (
        lambda: parquet(
            pa.Table.from_pandas(vector_frame(GOOD[0]), preserve_index=False)
            .append_column("weight", pa.array([1.0, 1, 1]))
            .append_column("weight", pa.array([1.0, 1, 1]))
        ),
        "the column 'weight' 2 times",
    ),
    "a column missing": (
        lambda: parquet(vector_frame(GOOD[0]).drop(columns="bytes")),
        "lack the column bytes",
    ),
    "no rows": (lambda: parquet(vector_frame(GOOD[0]).head(0)), "hold no rows"),
    "a text twice": (lambda: column("text", [0, 1, 1]), "are not 0 to 2, each once"),
    "a text beyond": (lambda: column("text", [0, 1, 2**62]), "are not 0 to 2, each once"),
    "half a text": (lambda: column("text", [0, 0.5, 1]), "holds something else than numbers"),
    "no bytes": (lambda: column("bytes", [9, 0, 9]), "text 1 has no bytes"),
    "negative bytes": (lambda: column("bytes", [9, -5, 9]), "text 1 has no bytes"),
    "too many bytes": (lambda: column("bytes", [9, 2**62, 9]), "bytes, which no text has"),
    "a weight of 0": (lambda: column("weight", [1, 0, 1]), "weight of text 1 is 0"),
    "a negative weight": (lambda: column("weight", [1.0, -1, 1]), "weight of text 1 is -1"),
    "an infinite weight": (lambda: column("weight", [1, np.inf, 1]), "weight of text 1 is inf"),
    "a huge weight": (lambda: column("weight", [1e308, 1, 1]), "weight of text 0 is 1e.308"),
    "a NaN weight": (lambda: column("weight", [1, np.nan, 1]), "weight of text 1 is nan"),
    "layers alone": (lambda: with_layer(3), "holds layers only"),
    "an infinite layer": (lambda: with_layer([np.inf] * 3), "layer inf is no whole number"),
    "half a layer": (lambda: with_layer([None, 0.5, 1.0]), "layer 0.5 is no whole number"),
    "a negative layer": (lambda: with_layer([None, -3.0, 1.0]), "layer -3 is no whole number"),
    "a layer in letters": (lambda: with_layer("top"), "layer holds something else than numbers"),
    "layers of other texts": (lambda: with_layer([None, None, 1.0]), "not 0 to|of other texts"),
    "a thousand layers": (many_layers, "1,001 layers, and at most 1,000 are read"),
    "a row for ever": (lambda: bomb(13_000_000), "has 13,000,000 rows, and .* at most 12,000,000"),
    "a long text in every row": (
        lambda: bomb(20_000, text=repeated(20_000, "x" * 100_000)),
        r"unpacks to 2,000.0 MB, and mlflow-modelmap reads at most 536.9 MB",
    ),
    "another file": (lambda: b"MZ\x90\x00", "cannot be read"),
    "nothing": (lambda: b"", "cannot be read"),
    "the half of it": (lambda: whole[: len(whole) // 2], "cannot be read"),
    "without its beginning": (lambda: b"PAR1" + whole[400:], "cannot be read|a page of it|lie out"),
    "letters between": (
        lambda: whole[:40] + b"\xff" * 40 + whole[80:],
        "cannot be read|a page of it|not 0 to|is -?[0-9n]",
    ),
    "none": (lambda: None, "log_likelihoods.parquet is missing"),
    "fewer texts": (
        lambda: parquet(vector_frame(np.array([-1.0, -2.0]))),
        "holds 2 texts where most hold 3 of the same text set",
    ),
    "other weights": (
        lambda: column("weight", [1.0, 2.0, 9.0]),
        "gives the texts other weights than most do",
    ),
}
ONLY_AMONG_OTHERS = ("fewer texts", "other weights")
TAGS: dict[str, tuple[dict[str, Any], str]] = {
    "a step in letters": ({"step": "ten"}, "has the step 'ten' in its tag modelmap.step"),
    "a step with a point": ({"step": "1.5"}, "has the step '1.5'"),
    "a step without end": ({"step": "9" * 5_000}, "has the step '999"),
    "a step beyond 64 bits": ({"step": "9" * 30}, "has the step '999"),
    "a step that is infinite": ({"step": "inf"}, "has the step 'inf'"),
    "a step of markup": ({"step": "<script>"}, "has the step '<script>'"),
    "no text set": ({"digest": None}, "has no tag modelmap.text_set"),
}
HARMLESS: dict[str, dict[str, Any]] = {
    "a time beyond all times": {"start_time": 9_000_000_000_000_000_000},
    "markup for a name": {"name": "<script>alert(1)</script>\n\u202e$\\frac{$" + "x" * 6_000},
    "tags of markup": {"model_type": "<img src=x>", "trajectory": "'\"$_{", "precision": "\u202e"},
}


def put(
    write_run: Any, store: str, folder: Path, data: bytes | None, name: str = "bad", **tags: Any
) -> str:
    """A run with these bytes as its vectors, written by MLflow's own client."""
    run_id = write_run(name, artifact=False, **tags)
    if data is not None:
        path = folder / "hostile" / "log_likelihoods.parquet"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)
        mlflow.MlflowClient(store).log_artifact(run_id, str(path), "modelmap")
    return run_id


@pytest.fixture
def good(write_run) -> list[str]:
    return [write_run(f"good {k}", values) for k, values in enumerate(GOOD)]


def check(bad: str, good: list[str], said: str) -> None:
    """The others are read, and a notice names the bad one; named itself, it is refused."""
    selected = select(["test"])
    matrix, points = selected.matrix()
    assert [point.run_id for point in points] == good
    assert np.array_equal(matrix.values, GOOD)
    told = [notice for notice in selected.notices if bad in notice]
    assert told, selected.notices
    assert re.search(said, told[0]), told


@pytest.mark.parametrize("what", ARTIFACTS)
def test_a_hostile_artifact_breaks_no_other_run(write_run, store, tmp_path, good, what):
    made, said = ARTIFACTS[what]
    bad = put(write_run, store, tmp_path, made())
    check(bad, good, said)
    if what not in ONLY_AMONG_OTHERS:
        with pytest.raises(ModelMapError, match=said) as told:
            read_matrix(select_runs(run_ids=[bad]))
        assert bad in str(told.value)
        with pytest.raises(TrackingError, match=said):
            select(["test"], run_ids=[bad]).matrix()


@pytest.mark.parametrize("what", TAGS)
def test_a_hostile_tag_breaks_no_other_run(write_run, store, tmp_path, good, what):
    tags, said = TAGS[what]
    bad = put(write_run, store, tmp_path, whole, **tags)
    check(bad, good, said)
    with pytest.raises(TrackingError, match=said):
        read_matrix(select_runs(run_ids=[bad]))


@pytest.mark.parametrize("what", HARMLESS)
def test_what_is_only_strange_is_read(write_run, store, tmp_path, good, what):
    tags = dict(HARMLESS[what])
    strange = put(write_run, store, tmp_path, parquet(vector_frame(GOOD[0] - 1)), **tags)
    points = select(["test"]).matrix()[1]
    assert {point.run_id for point in points} == {*good, strange}


INDICES = {
    "missing": (None, "checkpoints.csv is missing"),
    "empty": ("", "checkpoints.csv cannot be read"),
    "without steps": ("bits_per_byte\n1\n", "lacks the column step"),
    "steps in letters": ("step,bits_per_byte\nten,1\n", "is cut short"),
    "steps backwards": ("step,bits_per_byte\n5,1\n5,1\n", "is cut short"),
    "an endless step": (f"step,bits_per_byte\n{'9' * 40},1\n", "is cut short"),
    "an infinite step": ("step,bits_per_byte\ninf,1\n", "is cut short"),
    "ten thousand columns": ("a," * 10_000 + "\n", "has 10,001 columns, and at most 1,000"),
    "quotes without end": ('step,bits_per_byte\n"1,1\n', "cannot be read|is cut short"),
}


@pytest.mark.parametrize("what", INDICES)
def test_a_hostile_training_breaks_no_other_run(write_run, store, good, what, monkeypatch):
    monkeypatch.setattr("time.sleep", lambda _: None)
    text, said = INDICES[what]
    listed = str(max(1, (text or "").count("\n") - 1))
    bad = write_run("bad", kind="monitor", artifact=False, checkpoints=listed, status="RUNNING")
    if text is not None:
        mlflow.MlflowClient(store).log_text(bad, text, "modelmap/checkpoints.csv")
    check(bad, good, said)
    with pytest.raises(TrackingError, match=said):
        select_runs(run_ids=[bad])


def test_what_too_few_are_left_of_is_said_with_the_reasons(write_run, store, tmp_path):
    write_run("good", GOOD[0])
    bad = put(write_run, store, tmp_path, b"nothing")
    with pytest.raises(InputError, match=rf"Only one point .*'good'.*{bad}.*cannot be read"):
        build_map(["test"])
    with pytest.raises(TrackingError, match=rf"None of the 1 runs can be read.*{bad}"):
        select(["test"], "attributes.run_name = 'bad'").matrix()


def test_of_many_that_cannot_be_read_ten_are_named_one_by_one(write_run, store, tmp_path, good):
    for k in range(13):
        write_run(f"bad {k}", GOOD[0], step="ten")
    selected = select(["test"])
    assert len(selected.runs) == 3
    assert sum("has the step 'ten'" in told for told in selected.notices) == 10
    assert selected.notices[-1].startswith(
        "Left out 3 more runs that cannot be read: 'bad 2', 'bad 1'"
    )


def test_a_damaged_score_hides_no_earlier_one_of_the_same(write_run, store, tmp_path, good):
    kept = write_run("same", GOOD[0] - 5, identity="i1")
    bad = put(write_run, store, tmp_path, b"nothing", identity="i1")
    selected = select(["test"])
    points = selected.matrix()[1]
    assert [point.run_id for point in points] == [*good, kept]
    assert any(bad in told for told in selected.notices)


def test_models_are_compared_by_name_beside_a_hostile_run(write_run, store, tmp_path, good):
    for tags, _ in TAGS.values():
        put(write_run, store, tmp_path, b"nothing", **tags)
    assert compare("good 0", "good 1").kl > 0


def test_a_map_is_made_beside_every_hostile_run(write_run, store, tmp_path, good):
    for what in ("NaN", "structs", "a column twice", "a row for ever", "none"):
        put(write_run, store, tmp_path, ARTIFACTS[what][0]())
    for tags in HARMLESS.values():
        put(write_run, store, tmp_path, parquet(vector_frame(GOOD[1] - 2)), **tags)
    made = build_map(["test"])
    assert len(made.points) == len(good) + len(HARMLESS)
    assert sum("Left out run" in told for told in made.notices) == 5


def test_a_sweep_and_a_skip_that_name_themselves_end(write_run, store, tmp_path, good):
    client = mlflow.MlflowClient(store)
    skip = write_run("skip", kind="skipped", artifact=False)
    client.set_tag(skip, "modelmap.same_as", skip)
    with pytest.raises(InputError, match="is of kind 'skipped', not 'score'"):
        select_runs(run_ids=[skip])
    sweep = write_run("sweep", kind="sweep", artifact=False)
    rows = {"run_id": [sweep, "'; --", None, good[0]], "state": ["skipped"] * 4}
    pd.DataFrame(rows).to_parquet(tmp_path / "runs.parquet")
    client.log_artifact(sweep, str(tmp_path / "runs.parquet"), "modelmap")
    notices: list[str] = []
    assert [run.run_id for run in select_runs(run_ids=[sweep], notices=notices)] == [good[0]]
    assert len(notices) == 2


FILES = {
    "array.npy": [
        (b"", "cannot be read"),
        (b"\x93NUMPY\x01\x00", "cannot be read"),
        ("pickle", "type object are no numbers"),
        ("promise", r"promises 8,000,000,000,000.0 MB of numbers and holds 0.0 MB"),
    ],
    "value.json": [(b"[" * 100_000, "cannot be read"), (b"\xff", "cannot be read")],
    "value.csv": [(b"", "cannot be read"), (b"a,b\n1,2,3\n4,5,6,7,8\n", "cannot be read")],
    "table.parquet": [(b"PAR1PAR1", "cannot be read")],
    "notices.txt": [(b"\xff\xfe\xff", "cannot be read")],
}


def array_bytes(what: str) -> bytes:
    file = io.BytesIO()
    if what == "pickle":
        np.save(file, np.array([{}], dtype=object), allow_pickle=True)
    else:
        head = {"descr": "<f8", "fortran_order": False, "shape": (10**9, 10**9)}
        np.lib.format.write_array_header_1_0(file, head)
    return file.getvalue()


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [(name, data, said) for name, cases in FILES.items() for data, said in cases],
)
def test_a_hostile_file_is_refused_in_a_sentence(write_run, store, tmp_path, name, data, said):
    client = mlflow.MlflowClient(store)
    run_id = write_run("study", kind="map", artifact=False)
    (tmp_path / name).write_bytes(array_bytes(data) if isinstance(data, str) else data)
    client.log_artifact(run_id, str(tmp_path / name), "modelmap")
    root = client.get_run(run_id).info.artifact_uri
    with pytest.raises(TrackingError, match=rf"{run_id} .*{name} .*{said}") as told:
        read_artifact(run_id, root, name, client)
    assert "\n" not in str(told.value)


def test_a_file_larger_than_the_limit_is_not_opened(write_run, store, tmp_path):
    client = mlflow.MlflowClient(store)
    run_id = write_run("study", kind="map", artifact=False)
    with (tmp_path / "value.json").open("wb") as file:
        file.truncate(3 * 2**30)  # a hole, which takes no room
    root = client.get_run(run_id).info.artifact_uri.removeprefix("file://")
    (Path(root) / "modelmap").mkdir(parents=True)
    (tmp_path / "value.json").rename(Path(root) / "modelmap" / "value.json")
    with pytest.raises(TrackingError, match=r"has 3,221.2 MB, and .* reads at most 16.8 MB"):
        read_artifact(run_id, root, "value.json", client)


@pytest.mark.parametrize("compression", ["zstd", "snappy"])
def test_nothing_is_unpacked_that_is_too_large(compression):
    zeros = parquet(
        pa.table({"a": np.zeros(13_000_000)}),
        compression=compression,
        use_dictionary=False,
        write_statistics=False,
    )
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for limit in (VECTORS, PAGE):
        with pytest.raises(NotRead, match="reads at most"):
            parquet_table.read_parquet(zeros, limit)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 20_000  # kilobytes


def test_a_footer_that_lies_of_its_pages_is_not_believed(monkeypatch):
    zeros = parquet(pa.table({"a": np.zeros(50_000)}), compression="zstd", use_dictionary=False)

    class Lying:
        def __init__(self, chunk: Any) -> None:
            self._chunk = chunk

        def __getattr__(self, name: str) -> Any:
            return 1 if name == "total_uncompressed_size" else getattr(self._chunk, name)

    chunk = pq.ParquetFile(io.BytesIO(zeros)).metadata.row_group(0).column(0)
    assert parquet_table._unpacked(zeros, Lying(chunk)) >= 400_000


def test_the_columns_that_are_asked_for_are_read_and_no_others():
    frame = pd.DataFrame(
        {
            "step": pd.array([1, None, 3], dtype="Int64"),
            "name": pd.array(["a", None, "c"], dtype="string"),
            "value": [1.0, np.nan, 3.0],
            "model": ["x", "y", "z"],
        }
    )
    data = parquet(frame, index=False)
    read = parquet_table.read_parquet(data, PAGE).to_pandas()
    pd.testing.assert_frame_equal(read, pd.read_parquet(io.BytesIO(data)))
    some = parquet_table.read_parquet(data, PAGE, ("name", "step", "nowhere")).to_pandas()
    pd.testing.assert_frame_equal(some, frame[["step", "name"]])


def test_there_are_enough_of_them():
    files = sum(len(cases) for cases in FILES.values())
    assert len(ARTIFACTS) + len(TAGS) + len(INDICES) + files >= 40
