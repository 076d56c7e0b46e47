"""What people or attackers type that cannot be right: one sentence each, and nothing half-made."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import mlflow
import pytest

from mlflow_modelmap.surfaces.cli import main
from tests.scored import write_family
from tests.scoring.model_files import model_files

LONG = "n" * 10_000
SURROGATE = "bad\udcff"
LIST_KEY = "? [a, b]\n: 1\n"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, _empty_store: Path) -> Iterator[Path]:
    """A folder to work in: a store of two short trainings, texts, plans, models, a bad one each."""
    folder = tmp_path_factory.mktemp("hostile")
    shutil.copy(_empty_store, folder / "mlflow.db")
    uri = f"sqlite:///{folder / 'mlflow.db'}"
    mlflow.set_tracking_uri(uri)
    client = mlflow.MlflowClient(uri)
    for name in ("test", "gone", "nothing"):
        client.create_experiment(name, artifact_location=(folder / "artifacts").as_uri())
    write_family(uri, (0, 1, 2))
    write_family(uri, (0, 1), experiment="gone")
    client.delete_experiment(client.get_experiment_by_name("gone").experiment_id)
    (folder / "texts.json").write_text(json.dumps([f"text {n}" for n in range(40)]))
    model = folder / "model"
    model.mkdir()
    for name, data in model_files().items():
        (model / name).write_bytes(data)
    written = {
        "list.yaml": "- a\n- b\n",
        "list_key.yaml": LIST_KEY,
        "broken.yaml": "models: [",
        "unknown.yaml": "texts: texts.json\nmodels: [model]\nnonsense: 1\n",
        "empty.yaml": "",
        "deep.yaml": "models: " + "[" * 3000 + "]" * 3000,
        "plan.yaml": "texts: texts.json\nmodels: [model]\n",
        "bad_texts.json": '["a", 7]',
        "same_texts.json": '["a", "a"]',
        "empty.json": "[]",
        "deep.json": "[" * 100_000,
        "bad.jsonl": '{"text": 1}\n',
        "latin.txt": "",
        "a.txt": "some text",
        "bad.parquet": "PAR1",
        "bad.csv": 'text\n"open',
        "vectors.csv": "point,0,1,2\na,-1,-2,-3\n",
        "nan.csv": "point," + ",".join(map(str, range(40))) + "\nb" + ",nan" * 40 + "\n",
        "two.csv": "point," + ",".join(map(str, range(40))) + ("\na" + ",-1" * 40) * 2 + "\n",
        "evil.pkl": "cos\nsystem\n(S'touch evil'\ntR.",
    }
    for name, content in written.items():
        (folder / name).write_text(content)
    (folder / "latin.txt").write_bytes(b"caf\xe9")
    (folder / "nul.json").write_bytes(b'["a\0b"')
    (folder / "taken.jsonl").mkdir()
    (folder / "taken.npz").mkdir()
    (folder / "no_entry").mkdir()
    (folder / "no_entry").chmod(0o555)
    yield folder
    (folder / "no_entry").chmod(0o755)


@pytest.fixture
def there(place: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    uri = f"sqlite:///{place / 'mlflow.db'}"
    monkeypatch.chdir(place)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    # Read once, when the libraries are imported, which other tests may have done.
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("datasets.config.HF_HUB_OFFLINE", True)
    mlflow.set_tracking_uri(uri)
    mlflow.set_experiment("test")
    return place


SCORE = ("score", "model", "--texts", "texts.json")
GATE = ("gate", "model", "--reference", "model", "--texts", "texts.json")
BUILD = ("texts", "build", "texts.json", "-o", "out.jsonl")
RESAMPLE = ("texts", "resample", "-o", "out.jsonl", "--run-id", "nope", "--size")

# What is typed, and what of it the sentence names.
TYPED: list[tuple[tuple[str, ...], str]] = [
    # The command itself
    (("nonsense",), "nonsense"),
    (("texts", "nonsense"), "nonsense"),
    ((LONG,), "nnn"),
    (("--nonsense",), "--nonsense"),
    (("",), "''"),
    (("a\0b",), "a"),
    # place and identify
    (("place", "--map", "0" * 32), "MODELS"),
    (("place", "m0", "--map", "0" * 32), "0" * 32),
    (("identify", "m0", "--map", "nonsense"), "nonsense"),
    (("identify", "m0"), "--map"),
    # texts build
    (("texts", "build", "-o", "out.jsonl"), "sources"),
    (("texts", "build", "texts.json"), "--out"),
    (("texts", "build", "texts.json", "-o", "out.txt"), "out.txt"),
    (("texts", "build", "texts.json", "-o", "taken.jsonl"), "taken.jsonl"),
    (("texts", "build", "texts.json", "-o", "a.txt/out.jsonl"), "a.txt/out.jsonl"),
    (("texts", "build", "texts.json", "-o", "/proc/nowhere/out.jsonl"), "/proc/nowhere"),
    (("texts", "build", "texts.json", "-o", f"{LONG}.jsonl"), "nnn"),
    (("texts", "build", "texts.json", "-o", "a\0b.jsonl"), "a"),
    (("texts", "build", "texts.json", "-o", ""), "--out"),
    (("texts", "build", "none.json", "-o", "out.jsonl"), "none.json"),
    (("texts", "build", "", "-o", "out.jsonl"), "texts"),
    (("texts", "build", "a\0b", "-o", "out.jsonl"), "a"),
    (("texts", "build", LONG, "-o", "out.jsonl"), "nnn"),
    (("texts", "build", SURROGATE, "-o", "out.jsonl"), "bad"),
    (("texts", "build", "bad_texts.json", "-o", "out.jsonl"), "bad_texts.json"),
    (("texts", "build", "same_texts.json", "-o", "out.jsonl"), "same_texts.json"),
    (("texts", "build", "empty.json", "-o", "out.jsonl"), "no texts"),
    (("texts", "build", "bad.parquet", "-o", "out.jsonl"), "bad.parquet"),
    (("texts", "build", "bad.csv", "-o", "out.jsonl"), "bad.csv"),
    ((*BUILD, "--size", "0"), "0"),
    ((*BUILD, "--size", "-5"), "-5"),
    ((*BUILD, "--size", "9" * 30), "999"),
    ((*BUILD, "--size", "many"), "many"),
    ((*BUILD, "--size", "nan"), "nan"),
    ((*BUILD, "--chunk-bytes", "0"), "0"),
    ((*BUILD, "--chunk-bytes", "-1"), "-1"),
    ((*BUILD, "--min-bytes", "9" * 30), "texts"),
    ((*BUILD, "--duplicates", "maybe"), "maybe"),
    ((*BUILD, "--rows", "0"), "0"),
    (("texts", "build", "-o", "out.jsonl", "--dataset", "no/such", "--split", "x"), "no/such"),
    (("texts", "build", "-o", "out.jsonl", "--dataset", "../missing"), "../missing"),
    (("texts", "build", "-o", "out.jsonl", "--dataset", "a\0b"), "a"),
    (("texts", "build", "bad.jsonl", "-o", "out.jsonl", "--column", "a\0b"), "a"),
    # texts describe
    (("texts", "describe"), "SOURCE"),
    (("texts", "describe", "none.json"), "none.json"),
    (("texts", "describe", "--", "--help"), "--help"),
    (("texts", "describe", "deep.json"), "deep.json"),
    (("texts", "describe", "latin.txt"), "latin.txt"),
    (("texts", "describe", "nul.json"), "nul.json"),
    (("texts", "describe", "python-docs:0"), "0 texts"),
    (("texts", "describe", "python-docs:x"), "python-docs:x"),
    (("texts", "describe", "no_entry"), "no_entry"),
    (("texts", "describe", "/dev/zero"), "/dev/zero"),
    (("texts", "describe", "texts:/nobody's"), "nobody's"),
    (("texts", "describe", f"runs:/{'0' * 32}"), "000"),
    (("texts", "describe", "0123456789abcdef"), "0123456789ab"),
    (("texts", "log"), "SOURCE"),
    (("texts", "log", "none.json"), "none.json"),
    (("texts", "log", "python-docs:2", "--name", "a", "--experiment", "a\0b"), "a"),
    # import
    (("import",), "FILE"),
    (("import", "none.npz"), "none.npz"),
    (("import", "no_entry"), "no_entry"),
    (("import", "/dev/zero"), "/dev/zero"),
    (("import", "a\0b.npz"), "a"),
    (("import", LONG), "nnn"),
    (("import", "a.txt"), "a.txt"),
    (("import", "bad.parquet"), "bad.parquet"),
    (("import", "bad.csv"), "bad.csv"),
    (("import", "vectors.csv"), "--texts"),
    (("import", "vectors.csv", "--texts", "none.json"), "none.json"),
    (("import", "vectors.csv", "--texts", "texts.json"), "3 texts"),
    (("import", "nan.csv", "--texts", "texts.json"), "'b'"),
    (("import", "two.csv", "--texts", "texts.json"), "'a'"),
    (("import", "vectors.csv", "--names", "a.txt"), "--names"),
    (("import", "vectors.csv", "--keys", "step"), "--keys"),
    (("import", "vectors.csv", "--keys", "day"), "'day'"),
    (("import", "vectors.csv", "--as", "points"), "'points'"),
    (("import", "vectors.csv", "--types", "empty.json"), "empty.json"),
    (("import", "vectors.csv", "--parents", "deep.json"), "deep.json"),
    (("import", "vectors.csv", "--model-format", "pythia"), "'pythia'"),
    (("import", "vectors.csv", "--steps", "pythia"), "--weights"),
    (("import", "vectors.csv", "--weights", "--steps", "pythia"), "vectors.csv"),
    (("import", "evil.pkl", "--texts", "texts.json"), "os.system"),
    (("import", "evil.pkl", "--weights", "--steps", "pythia"), "os.system"),
    (("import", "evil.pkl", "--weights"), "--steps"),
    (("import", "evil.pkl", "--weights", "--steps", "a.txt"), "a.txt"),
    (("import", "evil.pkl", "--weights", "--keys", "step", "--steps", "pythia"), "--keys"),
    # export
    (("export",), "--out"),
    (("export", "-o", "out.json"), "out.json"),
    (("export", "-o", "taken.npz"), "taken.npz"),
    (("export", "-o", "a.txt/out.npz"), "a.txt/out.npz"),
    (("export", "-o", "a\0b.npz"), "a"),
    (("export", "-o", "out.npz", "--run-id", "nope"), "nope"),
    (("export", "-o", "out.npz", "--experiment", "missing"), "missing"),
    (("export", "-o", "out.npz", "--filter", "nonsense"), "nonsense"),
    # texts resample
    ((*RESAMPLE, "5"), "nope"),
    ((*RESAMPLE, "-5"), "-5"),
    ((*RESAMPLE, "x"), "x"),
    (("texts", "resample", "-o", "out.json", "--run-id", "nope", "--size", "5"), "out.json"),
    (("texts", "resample", "-o", "out.jsonl", "--run-id", LONG, "--size", "5"), "nnn"),
    (("texts", "resample", "-o", "out.jsonl", "--run-id", "a\0b", "--size", "5"), "a"),
    ((*RESAMPLE, "5", "--method", "best"), "best"),
    # score
    (("score", "model"), "--texts"),
    (("score", "--texts", "texts.json"), "MODEL"),
    (("score", "", "--texts", "texts.json"), "model"),
    (("score", "a\0b", "--texts", "texts.json"), "a"),
    (("score", LONG, "--texts", "texts.json"), "nnn"),
    (("score", SURROGATE, "--texts", "texts.json"), "bad"),
    (("score", "--texts", "texts.json", "--", "--help"), "--help"),
    (("score", "../..", "--texts", "texts.json"), "config.json"),
    (("score", "texts.json", "--texts", "texts.json"), "texts.json"),
    (("score", "models:/nothing", "--texts", "texts.json"), "models:/nothing"),
    (("score", "models:/nothing/1", "--texts", "texts.json"), "nothing"),
    (("score", "models:/a\0b/1", "--texts", "texts.json"), "models:/a"),
    (("score", f"models:/{LONG}/1", "--texts", "texts.json"), "nnn"),
    (("score", "models:/x@champion", "--texts", "texts.json"), "champion"),
    (("score", "runs:/nope/model", "--texts", "texts.json"), "nope"),
    (("score", "runs:/../model", "--texts", "texts.json"), "runs:/../model"),
    (("score", "org/name@", "--texts", "texts.json"), "org/name@"),
    (("score", "org/name@main@x", "--texts", "texts.json"), "org/name"),
    (("score", "org/no-such-model", "--texts", "texts.json"), "org/no-such-model"),
    (("score", "s3://bucket/model", "--texts", "texts.json"), "s3://bucket/model"),
    ((*SCORE, "--revision", "main"), "main"),
    ((*SCORE, "--step", "x"), "x"),
    ((*SCORE, "--step", "1e3"), "1e3"),
    ((*SCORE, "--step", "-1"), "-1"),
    ((*SCORE, "--step", "9" * 30), "999"),
    ((*SCORE, "--batch-tokens", "0"), "0"),
    ((*SCORE, "--batch-tokens", "-9"), "-9"),
    ((*SCORE, "--batch-tokens", "many"), "many"),
    ((*SCORE, "--int8-threshold", "nan"), "nan"),
    ((*SCORE, "--int8-threshold", "inf"), "inf"),
    ((*SCORE, "--int8-threshold", "-1"), "-1"),
    ((*SCORE, "--precision", "int5"), "int5"),
    ((*SCORE, "--precision", LONG), "nnn"),
    ((*SCORE, "--device", "toaster"), "toaster"),
    ((*SCORE, "--device", "cuda:-1"), "cuda:-1"),
    ((*SCORE, "--bos", "perhaps"), "perhaps"),
    ((*SCORE, "--run-id", "nope"), "nope"),
    ((*SCORE, "--run-id", "../../etc"), "../../etc"),
    ((*SCORE, "--run-id", "a\0b"), "a"),
    ((*SCORE, "--experiment", "gone"), "gone"),
    ((*SCORE, "--experiment", LONG), "500 characters"),
    ((*SCORE, "--experiment", "a\0b"), "a"),
    ((*SCORE, "--tracking-uri", "sqlite:////proc/nowhere/x.db"), "/proc/nowhere"),
    ((*SCORE, "--tracking-uri", "sqlite:///texts.json"), "texts.json"),
    ((*SCORE, "--tracking-uri", "http://127.0.0.1:9"), "127.0.0.1:9"),
    ((*SCORE, "--tracking-uri", "http://["), "http://["),
    ((*SCORE, "--tracking-uri", "nonsense://x"), "nonsense://x"),
    ((*SCORE, "--tracking-uri", "http://127.0.0.1:99999"), "99999"),
    ((*SCORE, "--tracking-uri", "a\0b"), "a"),
    ((*SCORE, "--tracking-uri", "sqlite:///a\0b.db"), "a"),
    ((*SCORE, "--tracking-uri", f"sqlite:///{LONG}"), "nnn"),
    ((*SCORE, "--again-if", "perhaps"), "perhaps"),
    (("score", "model", "--texts", "model"), "model"),
    (SCORE, "model"),
    # sweep
    (("sweep",), "PLAN"),
    (("sweep", "none.yaml"), "none.yaml"),
    (("sweep", ""), "''"),
    (("sweep", "model"), "model"),
    (("sweep", "list.yaml"), "list.yaml"),
    (("sweep", "list_key.yaml"), "list_key.yaml"),
    (("sweep", "broken.yaml"), "broken.yaml"),
    (("sweep", "unknown.yaml"), "nonsense"),
    (("sweep", "empty.yaml"), "empty.yaml"),
    (("sweep", "deep.yaml"), "deep.yaml"),
    (("sweep", "a\0b"), "a"),
    (("sweep", LONG), "nnn"),
    (("sweep", "plan.yaml", "--experiment", "gone"), "gone"),
    (("sweep", "plan.yaml", "--texts", "none.json"), "none.json"),
    (("sweep", "/dev/zero"), "/dev/zero"),
    (("sweep", "plan.yaml", "--shard", "9/8"), "9/8"),
    (("sweep", "plan.yaml", "--on", "spark"), "spark"),
    (("sweep", "plan.yaml", "--workers", "0"), "workers is 0"),
    (("sweep", "plan.yaml", "--gpus", "64"), "64"),
    (("sweep", "plan.yaml", "--keep-cache", "-1"), "keep_cache"),
    (("sweep", "plan.yaml", "--on", "ray", "--ray-address", "127.0.0.1:1"), "127.0.0.1:1"),
    (("sweep", "plan.yaml", "--on", "slurm"), "sbatch"),
    (("sweep", "--status", "gone"), "gone"),
    # map
    (("map", "--experiment", "unknown"), "unknown"),
    (("map", "--experiment", "gone"), "gone"),
    (("map", "--experiment", "nothing"), "nothing"),
    (("map", "--experiment", LONG), "nnn"),
    (("map", "--experiment", "a\0b"), "a"),
    (("map", "--experiment", SURROGATE), "surrogates"),
    (("map", "--filter", "not a filter"), "not a filter"),
    (("map", "--filter", "'"), "'"),
    (("map", "--run-id", "nope"), "nope"),
    (("map", "--run-id", "x\0"), "x"),
    (("map", "--clip", "nan"), "nan"),
    (("map", "--clip", "2"), "2"),
    (("map", "--clip", "-1"), "-1"),
    (("map", "--perplexity", "nan"), "nan"),
    (("map", "--perplexity", "-5"), "-5"),
    (("map", "--perplexity", "inf"), "inf"),
    (("map", "--seed", "-1"), "-1"),
    (("map", "--seed", "9" * 30), "999"),
    (("map", "--colour-by", "mood"), "mood"),
    (("map", "--output-experiment", "gone"), "gone"),
    (("map", "extra"), "extra"),
    # compare
    (("compare", "nope"), "B"),
    (("compare", "nope", "neither"), "nope"),
    (("compare", "", ""), "''"),
    (("compare", "a\0b", "c"), "a"),
    (("compare", LONG, "c"), "nnn"),
    (("compare", SURROGATE, "c"), "bad"),
    (("compare", "--", "--help", "--help"), "--help"),
    (("compare", "tiny seed 0 step 0", "x", "--experiment", "unknown"), "unknown"),
    # gate: every error is 3
    (("gate", "model"), "--reference"),
    (GATE, "limit"),
    ((*GATE, "--max-kl", "nan"), "nan"),
    ((*GATE, "--max-kl", "inf"), "inf"),
    ((*GATE, "--max-kl", "-1"), "-1"),
    ((*GATE, "--max-kl", "x"), "x"),
    ((*GATE, "--max-kl", "1", "--confidence", "1"), "1"),
    ((*GATE, "--max-kl", "1", "--confidence", "nan"), "nan"),
    ((*GATE, "--max-kl", "1", "--max-bits-per-byte-increase", "nan"), "nan"),
    ((*GATE, "--max-kl", "1", "--experiment", "gone"), "gone"),
    ((*GATE, "--max-kl", "1", "--tag-version"), "model"),
    ((*GATE, "--max-kl", "1", "--reference-precision", "int5"), "int5"),
    ((*GATE, "--max-kl", "1"), "model"),
    (("gate", "", "--reference", "model", "--texts", "texts.json", "--max-kl", "1"), "model"),
    (("gate", "nope", "--reference", "a\0b", "--texts", "texts.json", "--max-kl", "1"), "nope"),
    (("gate", LONG, "--reference", "model", "--texts", "texts.json", "--max-kl", "1"), "nnn"),
    (("gate", "--reference", "m", "--texts", "t", "--max-kl", "1", "--", "--help"), "t"),
    # weights
    (("weights", "--model", "model", "--steps", "x"), "x"),
    (("weights", "--model", "model", "--steps", "1:2:0"), "1:2:0"),
    (("weights", "--model", "model", "--steps", "0:999999999999:1"), "999999999999"),
    (("weights", "--checkpoint", "x"), "x"),
    (("weights", "--checkpoint", "1="), "1="),
    (("weights", "--checkpoint", "-1=model"), "-1=model"),
    (("weights", "--checkpoint", "1=none", "--checkpoint", "2=model"), "none"),
    (("weights", "--checkpoint", "1=a\0b", "--checkpoint", "2=model"), "a"),
    (("weights", "--checkpoint", "1=model", "--window", "-1"), "-1"),
    (("weights", "--plan", "none.yaml"), "none.yaml"),
    (("weights", "--plan", "list_key.yaml"), "list_key.yaml"),
    (("weights", "--experiment", "unknown"), "unknown"),
    (("weights", "--checkpoint", f"{'9' * 30}=model", "--checkpoint", "1=model"), "999"),
    # trajectory
    (("trajectory", "--experiment", "unknown"), "unknown"),
    (("trajectory", "--perplexities", "a,b"), "a,b"),
    (("trajectory", "--perplexities", "nan"), "nan"),
    (("trajectory", "--clip", "nan"), "nan"),
    (("trajectory", "--clip", "7"), "7"),
    (("trajectory", "--drop-texts", "1.5"), "1.5"),
    (("trajectory", "--drop-texts", "nan"), "nan"),
    (("trajectory", "--splits", "-1"), "-1"),
    (("trajectory", "--window", "-1"), "-1"),
    (("trajectory", "--warm-up", "-1"), "-1"),
    (("trajectory", "--leave-out", "nobody"), "nobody"),
    (("trajectory", "--weights-run", "nope"), "nope"),
    (("trajectory", "--other-filter", "not a filter"), "not a filter"),
    (("trajectory", "--seed", "-1"), "-1"),
    # lineage
    (("lineage", "--experiment", "unknown"), "unknown"),
    (("lineage", "--registered-models", "not a filter"), "not a filter"),
    (("lineage", "--registered-models", "name LIKE 'none-%'"), "none-%"),
    (("lineage", "--no-hub", "--precision", "int5"), "int5"),
    (("lineage", "--no-hub", "--texts", "none.json"), "none.json"),
    (("lineage", "--no-hub", "--experiment", "a\0b"), "a"),
    # quantization, layers, scale
    (("quantization", "--experiment", "unknown"), "unknown"),
    (("quantization",), "quantised copy"),
    (("quantization", "--trials", "-1"), "-1"),
    (("quantization", "--perplexity", "x"), "x"),
    (("layers", "--experiment", "nothing"), "nothing"),
    (("layers",), "layers"),
    (("layers", "--perplexity", "x"), "x"),
    (("layers", "--seed", "-1"), "-1"),
    (("clean", "--experiment", "unknown"), "unknown"),
    (("clean", "--yes", "all of it"), "all of it"),
    (("scale", "--experiment", "unknown"), "unknown"),
    (("scale", "--group", "a\0b", "--experiment", "nothing"), "nothing"),
    (("scale", "--most-random", "-1"), "-1"),
    (("scale", "--most-random", "x"), "x"),
    (("scale", "--seed", "-1"), "-1"),
    # prompts
    (("prompts",), "score"),
    (("prompts", "--reference", "nobody"), "score"),
    (("prompts", "--experiment", "unknown"), "unknown"),
    (("prompts", "--run-id", "x" * 32), "x"),
    # predict
    (("predict",), "--scores"),
    (("predict", "--scores", "none.csv"), "none.csv"),
    (("predict", "--scores", "bad.csv"), "bad.csv"),
    (("predict", "--scores", "a\0b"), "a"),
    (("predict", "--scores", LONG), "nnn"),
    (("predict", "--scores", "no_entry"), "no_entry"),
    (("predict", "--metric", "no/such"), "no/such"),
    (("predict", "--metric", "no/such", "--experiment", "unknown"), "unknown"),
    (("predict", "--metric", "no/such", "--folds", "1"), "1"),
    (("predict", "--metric", "no/such", "--repeats", "x"), "x"),
    # prompts and engines
    ((*SCORE, "--engine", "tgi"), "tgi"),
    ((*SCORE, "--engine", "endpoint"), "--url"),
    ((*SCORE, "--engine", "endpoint", "--url", "host:80"), "host:80"),
    ((*SCORE, "--engine", "endpoint", "--url", "http://h/v1?key=x"), "holds more"),
    ((*SCORE, "--concurrency", "2"), "concurrency"),
    ((*SCORE, "--agreement", "-1"), "-1"),
    (("score", "model", "--texts", "python-qa:x"), "python-qa:x"),
    (("map", "--vector", "pmy"), "pmy"),
    (("map", "--vector", "pmi"), "pmi"),
    (("map", "--vector", "pmi", "--layers"), "pmi"),
    (("compare", "tiny seed 0 step 0", "tiny seed 0 step 1", "--vector", "pmi"), "--uncond"),
    (("compare", "a", "b", "--vector", LONG), "nnn"),
    (("texts", "build", "texts.json", "-o", "out.jsonl", "--turns", "first"), "first"),
]  # fmt: skip


def shown(typed: tuple[str, ...] | str) -> str:
    if isinstance(typed, str):
        return ""
    return " ".join(f"{word[:30]!r}" if len(word) > 30 or not word.isprintable() else word
                    for word in typed)  # fmt: skip


def runs() -> list[tuple[str, str]]:
    """Every run of the store and its state."""
    client = mlflow.MlflowClient()
    found = client.search_experiments(view_type=mlflow.entities.ViewType.ALL)
    return [
        (run.info.run_id, run.info.status)
        for run in client.search_runs([e.experiment_id for e in found], max_results=10_000)
    ]


def files(folder: Path) -> set[str]:
    left_out = ("artifacts", "mlflow.db")
    return {n for n in os.listdir(folder) if not n.startswith(left_out) and n[0] != "."}


def refused(capfd: pytest.CaptureFixture[str], there: Path, typed: tuple[str, ...]) -> str:
    """The one sentence with which a command line is refused; nothing is left behind."""
    uri, before = mlflow.get_tracking_uri(), files(there)
    with pytest.raises(SystemExit) as ended:
        main(list(typed))
    out, err = capfd.readouterr()
    assert ended.value.code == 3 if typed[0] == "gate" else ended.value.code in (1, 2), err
    assert out == ""
    lines = err.rstrip("\n").split("\n")  # older MLflow tells of alembic's work
    *usage, said = [line for line in lines if "INFO  [alembic.runtime" not in line]
    assert said.startswith("Error: "), err
    for line in usage:
        assert line.startswith(("Usage: ", "Try ", " ")) or not line, err
    assert said.endswith("."), said
    assert len(said) < 700, said
    assert not re.search(r"Traceback|\b\w+(Error|Exception)\b|\[SQL|sqlalche\.me", said[7:]), said
    mlflow.set_tracking_uri(uri)
    assert files(there) == before
    if typed[0] != "texts":
        assert not [run for run, status in runs() if status == "RUNNING"]
    return said


@pytest.mark.parametrize(
    ("typed", "named"), TYPED, ids=lambda x: shown(x) if type(x) is tuple else ""
)
def test_what_cannot_be_right_is_one_sentence(there, capfd, typed, named):
    assert named in refused(capfd, there, typed)


def test_the_table_is_long_and_has_every_command():
    from mlflow_modelmap.surfaces.cli import cli

    assert len({typed for typed, _ in TYPED}) == len(TYPED) >= 80
    assert set(cli.list_commands(None)) <= {typed[0] for typed, _ in TYPED}
    assert {"build", "describe", "resample"} <= {t[1] for t, _ in TYPED if t[0] == "texts"}


@pytest.mark.parametrize("by", ["name", "id"])
@pytest.mark.parametrize("state", ["deleted", "unknown"])
@pytest.mark.parametrize(
    "typed",
    [SCORE, ("sweep", "plan.yaml"), ("map",), (*GATE, "--max-kl", "1"), ("compare", "a", "b"),
     ("trajectory",), ("scale",), ("lineage", "--no-hub")],
    ids=lambda typed: typed[0],
)  # fmt: skip
def test_a_current_experiment_that_is_not_there(there, capfd, monkeypatch, typed, by, state):
    from mlflow.tracking import fluent

    if by == "name" and state == "unknown":
        pytest.skip("MLflow makes it")
    gone = mlflow.MlflowClient().get_experiment_by_name("gone")
    value = {"deleted": gone.name if by == "name" else gone.experiment_id, "unknown": "987654"}
    monkeypatch.setattr(fluent, "_active_experiment_id", None)
    monkeypatch.delenv("MLFLOW_EXPERIMENT_ID", raising=False)
    monkeypatch.setenv(f"MLFLOW_EXPERIMENT_{by.upper()}", value[state])
    refused(capfd, there, typed)
