"""Every form a text set comes in; what is malformed is named by file and line."""

from __future__ import annotations

import csv
import gzip
import json
from pathlib import Path

import pyarrow
import pytest
from pyarrow import parquet

from mlflow_modelmap.errors import InputError
from mlflow_modelmap.texts import read
from mlflow_modelmap.texts.read import read_texts
from mlflow_modelmap.texts.sources.record import Record
from mlflow_modelmap.texts.sources.source import Source
from mlflow_modelmap.texts.text_set import digest_of

TEXTS = (
    "Two\nlines, with a comma.",
    'He said "no".',
    "Grüße aus 京都 \u2028 there",
    "  spaced\r\n",
)


def lines(*rows: object) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def write_json(path: Path) -> None:
    path.write_text(json.dumps(TEXTS))


def write_jsonl(path: Path) -> None:
    path.write_bytes(lines(*({"text": text} for text in TEXTS)))


def write_jsonl_raw(path: Path) -> None:
    rows = (json.dumps({"text": text}, ensure_ascii=False) for text in TEXTS)
    path.write_text("\ufeff" + "\r\n".join(rows) + "\r\n\r\n", encoding="utf-8", newline="")


def write_jsonl_of_strings(path: Path) -> None:
    path.write_bytes(lines(*TEXTS))


def write_gzip(path: Path) -> None:
    path.write_bytes(gzip.compress(lines(*({"text": text} for text in TEXTS))))


def write_parquet(path: Path) -> None:
    table = pyarrow.table({"n": range(4), "text": TEXTS})
    parquet.write_table(table, path, row_group_size=3)


def write_csv(path: Path) -> None:
    with open(path, "w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file, delimiter="\t" if path.suffix == ".tsv" else ",")
        rows.writerows([["n", "text"], *enumerate(TEXTS)])


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("authors.json", write_json),
        ("authors.jsonl", write_jsonl),
        ("raw.jsonl", write_jsonl_raw),
        ("strings.ndjson", write_jsonl_of_strings),
        ("packed.jsonl.gz", write_gzip),
        ("table.parquet", write_parquet),
        ("table.csv", write_csv),
        ("table.tsv", write_csv),
        ("TABLE.CSV", write_csv),
    ],
)
def test_each_format_gives_the_same_texts(tmp_path, name, write):
    path = tmp_path / name
    write(path)
    text_set = read_texts(path)
    assert text_set.texts == TEXTS
    assert text_set.digest == digest_of(TEXTS)
    assert text_set.name == name.split(".")[0]
    assert text_set.domains is None
    assert text_set.weights is None
    assert read_texts(str(path), name="mine").name == "mine"


def test_domains_and_weights(tmp_path):
    path = tmp_path / "texts.jsonl"
    path.write_bytes(
        lines(
            {"text": "a", "domain": "x", "weight": 2},
            {"text": "b", "domain": None},
            {"text": "c", "meta": {"pile_set_name": "Github"}},
        )
    )
    text_set = read_texts(path)
    assert text_set.domains == ("x", "other", "Github")
    assert text_set.weights == (2.0, 1.0, 1.0)


def test_columns_by_name(tmp_path):
    rows = [
        {"doc": {"body": "a"}, "from": {"where": "x"}},
        {"doc": {"body": "b"}, "from": {"where": 3}},
    ]
    (tmp_path / "t.jsonl").write_bytes(lines(*rows))
    rows[1]["from"]["where"] = "3"
    parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "t.parquet")
    for name in ("t.jsonl", "t.parquet"):
        text_set = read_texts(tmp_path / name, column="doc.body", domain_column="from.where")
        assert text_set.texts == ("a", "b")
        assert text_set.domains == ("x", "3")


def test_the_pile_in_parquet_knows_its_domains(tmp_path):
    rows = [{"text": text, "meta": {"pile_set_name": "Github"}} for text in TEXTS]
    parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "t.parquet")
    assert set(read_texts(tmp_path / "t.parquet").domains) == {"Github"}


def test_a_plain_text_file_is_cut_at_1024_bytes(tmp_path):
    path = tmp_path / "book.txt"
    raw = "".join(f"{number} 京\n" for number in range(1000)) + "\n" * 2000
    path.write_text(raw, encoding="utf-8")
    text_set = read_texts(path)
    assert raw.startswith("".join(text_set.texts))
    assert raw[len("".join(text_set.texts)) :].strip() == ""
    assert text_set.bytes.max() <= 1024
    assert text_set.bytes[:-1].min() >= 1021


def test_a_folder_is_read_in_the_order_of_its_paths(tmp_path):
    contents = {
        "b.txt": "second",
        "a/z.md": "first",
        "a/deep/er.txt": "zeroth",
        "c/empty.txt": " \n",
        ".hidden": "no",
        ".git/config": "no",
    }
    for name, text in contents.items():
        path = tmp_path / "corpus" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (tmp_path / "corpus" / "image.png").write_bytes(b"\x89PNG\0\0")
    text_set = read_texts(tmp_path / "corpus")
    assert text_set.texts == ("zeroth", "first", "second")
    assert text_set.domains == ("a", "a", "corpus")
    assert text_set.name == "corpus"


def test_a_flat_folder_has_no_domains(tmp_path):
    (tmp_path / "a.txt").write_text("one")
    (tmp_path / "b.txt").write_text("two")
    assert read_texts(tmp_path).domains is None


@pytest.mark.parametrize(
    ("name", "data", "told"),
    [
        ("t.json", b"", "t.json: malformed JSON"),
        ("t.json", b'["a", "b"', "t.json: malformed JSON"),
        ("t.json", b'{"a": 1}', "holds a JSON dict, not a list of strings"),
        ("t.json", b'{"text": "a"}\n{"text": "b"}\n', "name it .jsonl"),
        ("t.json", b'\xef\xbb\xbf{"text": "a"}\n{"text": "b"}\n', "name it .jsonl"),
        ("t.json", b'["a", 3]', "t.json, entry 1: this is int"),
        ("t.json", b'["a", null]', "t.json, entry 1: this is null"),
        ("t.json", b"[]", "holds no texts"),
        ("t.json", b'["a", ""]', "t.json, entry 1: the text is empty"),
        ("t.json", b'["a", "x\\ud800"]', "entry 1: the text holds a lone surrogate (U+D800 at"),
        ("t.json", b'["a", "b", "a"]', "t.json, entry 2: the text is the same as that of"),
        ("t.json", b"[" * 100000, "malformed JSON"),
        ("t.json", b"[" * 100000 + b"]" * 100000, "malformed JSON (nested too deeply)"),
        ("t.json", b'{"a": ' * 100000 + b"\n", "malformed JSON (nested too deeply)"),
        ("t.json", b'["a", ' + b"9" * 5000 + b"]", "t.json: malformed JSON (Exceeds the limit"),
        ("t.jsonl", b'{"text": ' + b"[" * 100000 + b"\n", "line 1: malformed JSON (nested too"),
        ("t.jsonl", b'{"text": "a", "x": ' + b"[" * 9**5 + b"]" * 9**5 + b"}", "nested too deeply"),
        ("t.jsonl", b'{"text": "a", "weight": 1' + b"0" * 400 + b"}", "is not a positive finite"),
        ("t.jsonl", b'{"text": "a", "weight": ' + b"9" * 5000 + b"}", "malformed JSON (Exceeds"),
        ("t.jsonl", lines({"text": "a", "weight": [["x"] * 999] * 9}), "], ...] is not a positive"),
        ("t.jsonl.gz", gzip.compress(b"x" * 99)[:12] + b"\xff" * 99, "is damaged gzip"),
        ("t.json", b'["a", "\xff"]', "not UTF-8 text (byte 7)"),
        ("t.jsonl", b"", "holds no texts"),
        ("t.jsonl", lines({"text": "a"}) + b"oops\n", "t.jsonl, line 2: malformed JSON"),
        ("t.jsonl", lines({"text": "a"}, {"txt": "b"}), "line 2: there is no 'text', only 'txt'"),
        ("t.jsonl", lines({"text": "a"}, {}), "line 2: there is no 'text', only nothing"),
        ("t.jsonl", lines({"text": ["a"]}), "line 1: 'text' is of type list, not a string"),
        ("t.jsonl", lines({"text": None}), "line 1: 'text' is null, not a string"),
        ("t.jsonl", lines(["a"]), "line 1: this is list"),
        ("t.jsonl", b'\n\n{"text": " "}\n', "line 3: the text is empty or only white space"),
        ("t.jsonl", lines({"text": "a", "weight": -1}), "the weight -1 is not a positive"),
        ("t.jsonl", lines({"text": "a", "weight": True}), "the weight True is not"),
        ("t.jsonl", b'{"text": "a", "weight": NaN}', "the weight nan is not"),
        ("t.jsonl", b'{"text": "a\xff"}', "t.jsonl, line 1: not UTF-8 text"),
        ("t.jsonl.gz", b"not gzip", "damaged gzip"),
        ("t.jsonl.gz", gzip.compress(lines({"text": "abc" * 99}), mtime=0)[:-9], "damaged gzip"),
        ("t.csv", b"", "holds no texts"),
        ("t.csv", b"a,b\n1,2\n", "there is no 'text', only 'a', 'b'"),
        ("t.csv", b"n,text\n1,x\n2\n", "line 3: 'text' is null"),
        ("t.csv", b"n,text\n1,x,y\n", "line 2: more fields than the 2 columns"),
        ("t.csv", b'n,text\n1,"x"y\n', "line 2: malformed CSV"),
        ("t.csv", b"n,text\n1,\xff\n", "not UTF-8 text"),
        ("t.csv", b"n,text\n1,x\n1,\n", "line 3: the text is empty"),
        ("t.parquet", b"PAR1 oops", "is no readable Parquet file"),
        ("t.txt", b"a\xff", "not UTF-8 text (byte 1)"),
        ("t.txt", b"\n", "the text is empty"),
    ],
)
def test_a_malformed_file_is_named(tmp_path, name, data, told):
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(InputError) as caught:
        read_texts(path)
    message = str(caught.value)
    assert told in message
    assert str(path) in message
    assert "\n" not in message


def test_a_parquet_row_is_named(tmp_path):
    path = tmp_path / "t.parquet"
    parquet.write_table(pyarrow.table({"text": ["a", None]}), path)
    with pytest.raises(InputError, match=r"t\.parquet, row 1: 'text' is null"):
        read_texts(path)
    with pytest.raises(InputError, match="there is no 'body', only 'text'"):
        read_texts(path, column="body")
    with pytest.raises(InputError, match="no domain in 'where'"):
        read_texts(path, domain_column="where")


def test_what_is_not_there_is_said(tmp_path):
    with pytest.raises(InputError, match=r"There is no text file '.*nowhere\.jsonl'"):
        read_texts(tmp_path / "nowhere.jsonl")
    with pytest.raises(InputError, match="No texts were given"):
        read_texts("")
    with pytest.raises(InputError, match="holds no texts"):
        read_texts(tmp_path)


def test_duplicates_can_be_allowed(tmp_path):
    path = tmp_path / "t.json"
    path.write_text('["a", "a"]')
    assert read_texts(path, allow_duplicates=True).texts == ("a", "a")


def test_a_csv_cell_may_be_long(tmp_path):
    path = tmp_path / "t.csv"
    limit = csv.field_size_limit()
    path.write_text("text\n" + "x" * (limit + 10) + "\n")
    assert read_texts(path).bytes[0] == limit + 10
    assert csv.field_size_limit() == limit


def test_a_kind_of_source_is_one_entry_of_the_table(monkeypatch):
    def records(written, column, domain_column, turns):
        yield Record(f"{written} {column} " * 200, written)

    kind = Source(lambda w: w.startswith("mem:"), records, lambda w: True, lambda w: w[4:])
    monkeypatch.setattr(read, "SOURCES", (kind, *read.SOURCES))
    found = read_texts("mem:a", allow_duplicates=True)
    assert found.name == "a"
    assert len(found) > 1  # raw text is cut
    assert found.texts[0].startswith("mem:a text ")
    assert read_texts("python-docs:3").name.startswith("python-docs")
