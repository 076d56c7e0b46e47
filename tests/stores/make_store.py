"""Write a store with the version that is installed, one run of every kind, and pack it for later.

Later versions have to open it (`tests/test_old_store.py`). Run it once, from the root of a checkout
of the version whose store is to be kept, before that version changes:

    OMP_NUM_THREADS=1 python -m tests.stores.make_store

It takes some minutes and writes `tests/stores/vX_Y_Z.zip`, which is then never written again. It
needs what the tests need, bitsandbytes too. Pictures and HTML are left out of the archive.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import sqlite3
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest
import yaml
from mlflow import MlflowClient

import mlflow_modelmap as mm
from tests import tiny
from tests.hub_server import HubServer
from tests.logged import log_model
from tests.old_store import DATABASE, DUMP, INDEX, ROOT, ROOT_URI, archive

LEFT_OUT = (".png", ".html")
ASIDE = "aside"
"""Folder of what the store is made from: it is not packed."""
SMALL = {"hidden_size": 16, "intermediate_size": 32, "num_attention_heads": 2}
STEPS = tuple(range(0, 11_000, 1_000))
MODELS, TRAININGS, WEIGHTED = "models", "trainings", "weighted"
HOW: dict[str, Any] = {"precision": "float32", "device": "cpu", "progress": False}
"""Settings that come to the same on every machine, so that a score is found again on any."""


class Made:
    """The store while it is being made.

    Attributes
    ----------
    root
        Its folder.
    runs, experiments
        Ids by a name that says what they are.
    hub
        The Hub that its models come from.
    """

    def __init__(self, root: Path, hub: HubServer) -> None:
        self.root = root
        self.hub = hub
        self.client = MlflowClient(f"sqlite:///{root / DATABASE}")
        self.runs: dict[str, str] = {}
        self.experiments = {
            name: self.client.create_experiment(name, (root / "artifacts" / name).as_uri())
            for name in (MODELS, TRAININGS, WEIGHTED)
        }
        self.texts = root / "texts.jsonl"
        self.weighted_texts = root / "weighted.jsonl"

    def score(self, label: str, model: str | Path, **options: Any) -> str:
        """Score a model on the texts into the experiment of the models, unless said otherwise."""
        asked = {"texts": str(self.texts), "experiment": MODELS, **HOW, **options}
        scored = mm.score(str(model), **asked)
        assert not scored.skipped, label
        self.runs[label] = scored.run_id
        return scored.run_id


def write_texts(made: Made) -> None:
    """40 short texts with their domains, and 16 of them with weights."""
    rows = [
        {
            "text": f"{sentence[: 24 + 6 * k]} #{k}",
            "domain": "code" if "\n" in sentence else "prose",
        }
        for k in range(7)
        for sentence in tiny.SENTENCES
    ][:40]
    weights = np.random.default_rng(0).uniform(0.5, 3.0, 16).round(3)
    weighted = [{**row, "weight": w} for row, w in zip(rows, weights.tolist(), strict=False)]
    for path, lines in ((made.texts, rows), (made.weighted_texts, weighted)):
        written = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
        path.write_text(written, encoding="utf-8")


def loaded(folder: Path) -> Any:
    """The model in a folder."""
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(folder)


def rounded(model: Any) -> None:
    """Round every weight to bfloat16, in place; it stays float32 and takes half the room packed."""
    import torch

    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(parameter.to(torch.bfloat16).float())


def fresh(folder: Path, seed: int, **options: Any) -> Path:
    """A tiny random model that packs well."""
    tiny.make_model(folder, seed=seed, **{**SMALL, **options})
    return derived(folder, folder, 0.0, 0)


def derived(source: Path, folder: Path, noise: float, seed: int) -> Path:
    """A model with noise on its weights, in units of their own spread, and its tokenizer."""
    import torch

    model = loaded(source)
    random = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            drawn = torch.randn(parameter.shape, generator=random)
            parameter.add_(noise * parameter.std() * drawn)
    rounded(model)
    if source != folder:
        shutil.copytree(source, folder, ignore=shutil.ignore_patterns("*.safetensors"))
    model.save_pretrained(folder)
    return folder


def register(made: Made, bases: Path) -> None:
    """Two versions of a registered model with a champion, and a fine-tune of the second."""
    mlflow.set_experiment(MODELS)
    first = fresh(bases / "tiny-1", 0)
    second = derived(first, bases / "tiny-2", 0.3, 1)
    chat = derived(second, bases / "tiny-chat", 0.2, 2)
    for name, folder in (("tiny", first), ("tiny", second), ("tiny-chat", chat)):
        with mlflow.start_run(run_name=f"log {folder.name}"):
            log_model(folder, registered_model_name=name)
    made.client.set_registered_model_alias("tiny", "champion", "1")
    made.client.set_model_version_tag("tiny", "2", "base_model", "models:/tiny/1")
    made.client.set_model_version_tag("tiny-chat", "1", "base_model", "models:/tiny@champion")


def upload(made: Made, bases: Path) -> None:
    """Models on the Hub: a base, its fine-tune, a wide one, a training with a revision a step."""
    # On CPU, four bits need a width of 64.
    wide = {"hidden_size": 64, "intermediate_size": 64, "num_hidden_layers": 1}
    made.hub.add("tests/wide", fresh(bases / "wide", 12, **wide, tie_word_embeddings=True))
    base = fresh(bases / "base", 10)
    made.hub.add("tests/base", base)
    child = derived(base, bases / "child", 0.3, 11)
    made.hub.add("tests/child", child, base_models=["tests/base"], cardData={"license": "mit"})
    walk(bases / "walk-seed1", 1)
    for step in STEPS:
        folder = bases / "walk-seed1" / f"step{step}"
        made.hub.add("tests/walk-seed1", folder, revision=f"step{step}")


def walk(folder: Path, seed: int) -> None:
    """Checkpoints of a training that is a random walk of the weights."""
    before = fresh(folder / f"step{STEPS[0]}", 20 + seed, tie_word_embeddings=True)
    for step in STEPS[1:]:
        noise = 0.4 if step == STEPS[1] else 0.08
        before = derived(before, folder / f"step{step}", noise, 100 * seed + step)


def score_models(made: Made, bases: Path) -> None:
    """Score runs of every origin and end, a sweep, and a run whose score was there already."""
    made.score("tiny/1", "models:/tiny/1")
    made.score("tiny/2", "models:/tiny/2", base_model="models:/tiny/1")
    made.score("base", "tests/base")
    made.score("child", "tests/child@main", base_model="tests/base")
    made.score("with layers", "models:/tiny/1", layers=True, name="tiny 1 with layers")
    made.score("child with layers", "tests/child", layers=True, name="child with layers")
    made.score("wide", "tests/wide")
    made.score("wide nf4", "tests/wide", precision="nf4")
    for label, model in (("wide", "tests/wide"), ("tiny/1", "models:/tiny/1")):
        made.score(f"{label} int8", model, precision="int8")
    made.score("deleted", "tests/base", name="deleted later", revision="main")
    where = made.experiments[MODELS]
    with mlflow.start_run(experiment_id=where, run_name="asked for again") as run:
        made.runs["skipped"] = run.info.run_id
        found = mm.score("tests/base", str(made.texts), run_id=run.info.run_id, **HOW)
        assert found.skipped
    broken = tiny.make_model(bases / "broken", seed=5, scale=1e30, **SMALL)
    with contextlib.suppress(mm.ScoringError):
        mm.score(str(broken), str(made.texts), experiment=MODELS, name="broken", **HOW)
    (failed,) = made.client.search_runs([where], "attributes.run_name = 'broken'")
    assert failed.info.status == "FAILED"
    made.runs["failed"] = failed.info.run_id
    plan = {
        "name": "registry and hub",
        "texts": "texts.jsonl",
        "experiment": MODELS,
        "defaults": {"precision": "float32", "device": "cpu"},
        "models": [
            "tests/base",
            "models:/tiny-chat/1",
            {"model": "tests/base", "precisions": ["bfloat16"], "name": "base in {precision}"},
        ],
    }
    path = made.root / "plan.yaml"
    path.write_text(yaml.safe_dump(plan, sort_keys=False), encoding="utf-8")
    swept = mm.sweep(path, progress=False)
    assert [row.state for row in swept.rows] == ["skipped", "scored", "scored"]
    made.runs["sweep"] = str(swept.run_id)
    made.runs["tiny-chat/1"], made.runs["base bfloat16"] = (str(r.run_id) for r in swept.rows[1:])


def study_models(made: Made) -> None:
    """Everything that is made from scores of single models."""
    where: dict[str, Any] = {"output_experiment": MODELS}
    made.runs["map"] = mm.build_map([MODELS], name="models", perplexity=4.0).run_id
    made.runs["map with layers"] = mm.build_map([MODELS], layers=True, name="layers").run_id
    made.runs["layers"] = mm.study_layers([MODELS], **where).run_id
    made.runs["quantization"] = mm.study_quantization([MODELS], trials=10, **where).run_id
    made.runs["lineage"] = mm.lineage(
        [MODELS],
        registered_models="name LIKE 'tiny%'",
        texts=str(made.texts),
        settings={"precision": "float32", "device": "cpu"},
        progress=False,
        **where,
    ).run_id
    decided = mm.gate(
        "models:/tiny/2",
        "models:/tiny@champion",
        str(made.texts),
        max_kl=50.0,
        max_bits_per_byte_increase=20.0,
        settings=mm.ScoringSettings(precision="float32", device="cpu"),
        tag_version=True,
        name="close enough",
        experiment=MODELS,
    )
    assert decided.verdict == "pass"
    made.runs["gate"] = decided.run_id
    evaluate(made)
    made.client.delete_run(made.runs["deleted"])


def evaluate(made: Made) -> None:
    """An evaluation by MLflow, with a reference."""
    mlflow.set_experiment(MODELS)
    with mlflow.start_run(run_name="evaluation") as run:
        mlflow.models.evaluate(
            "models:/tiny/2",
            pd.read_json(made.texts, lines=True),
            model_type="causal-lm",
            evaluators="modelmap",
            evaluator_config={
                "reference": made.runs["tiny/1"],
                "text_set_name": "texts",
                "precision": "float32",
                "device": "cpu",
            },
        )
    made.runs["evaluation"] = run.info.run_id


def train(made: Made, bases: Path) -> None:
    """Two trainings, one on the Hub and one in folders, a monitored one, and their studies."""
    plan = {
        "name": "walk-seed1",
        "experiment": TRAININGS,
        "defaults": {"precision": "float32", "device": "cpu"},
        "models": [
            {
                "model": "tests/walk-seed1",
                "revision": "step{step}",
                "steps": list(STEPS),
                "trajectory": "walk-seed1",
            }
        ],
    }
    swept = mm.sweep(plan, texts=str(made.texts), progress=False)
    made.runs["sweep of a training"] = str(swept.run_id)
    for row, step in zip(swept.rows, STEPS, strict=True):
        assert row.state == "scored"
        made.runs[f"walk-seed1 step {step}"] = str(row.run_id)
    walk(made.root / "checkpoints" / "walk-seed2", 2)
    for step in STEPS:
        made.score(
            f"walk-seed2 step {step}",
            made.root / "checkpoints" / "walk-seed2" / f"step{step}",
            experiment=TRAININGS,
            trajectory="walk-seed2",
            step=step,
        )
    monitor(made, bases)
    where: dict[str, Any] = {"output_experiment": TRAININGS}
    made.runs["weights"] = mm.weight_distances(
        [TRAININGS], full=True, progress=False, **where
    ).run_id
    made.runs["trajectory"] = mm.trajectory(
        [TRAININGS],
        "tags.`modelmap.trajectory` LIKE 'walk%'",
        weights_run=made.runs["weights"],
        texts=str(made.texts),
        splits=3,
        **where,
    ).run_id
    made.runs["map of trainings"] = mm.build_map([TRAININGS], clip=0.02, name="trainings").run_id
    made.runs["scale"] = mm.build_scale([MODELS, TRAININGS], **where).run_id


def monitor(made: Made, bases: Path) -> None:
    """A training of some steps that recorded its checkpoints and saved them."""
    import torch
    from transformers import AutoTokenizer

    start = tiny.make_model(
        bases / "start", "llama", 30, scale=1.0, **SMALL, tie_word_embeddings=True
    )
    model, tokenizer = loaded(start), AutoTokenizer.from_pretrained(start)
    ids = torch.tensor([tokenizer(s * 4)["input_ids"][:48] for s in tiny.SENTENCES])
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    mlflow.set_experiment(TRAININGS)
    torch.manual_seed(0)
    with (
        mlflow.start_run(run_name="monitored") as run,
        mm.Monitor(
            str(made.texts),
            tokenizer=tokenizer,
            trajectory="monitored",
            base_model="tests/base",
            raise_errors=True,
        ) as watch,
    ):
        for step in range(0, 60, 10):
            rounded(model)
            folder = made.root / "checkpoints" / "monitored" / f"step{step}"
            model.save_pretrained(folder)
            tokenizer.save_pretrained(folder)
            recorded = watch.record(model, step, saved=str(folder))
            assert recorded is not None
            loss = model(input_ids=ids, labels=ids).loss
            mlflow.log_metric("loss", loss.item(), step=step)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
    made.runs["monitor"] = run.info.run_id


def weigh(made: Made) -> None:
    """Scores and a map on weighted texts."""
    for label, model in (("weighted base", "tests/base"), ("weighted child", "tests/child")):
        made.score(label, model, texts=str(made.weighted_texts), experiment=WEIGHTED)
    made.runs["weighted map"] = mm.build_map([WEIGHTED], name="weighted").run_id


def from_the_future(made: Made) -> None:
    """A score whose layout is said to be a later one."""
    made.score("from the future", "tests/child", name="from the future")
    made.client.set_tag(made.runs["from the future"], "modelmap.schema", "2")


def pack(made: Made) -> Path:
    """Everything of the folder in one archive, without the folder's own path."""
    target = archive(mm.__version__)
    hub = {
        name: {"revisions": kept.revisions, "facts": kept.facts}
        for name, kept in made.hub.repositories.items()
    }
    for name, kept in made.hub.repositories.items():
        for commit in set(kept.revisions.values()):
            for path, data in kept.commits[commit].items():
                file = made.root / "hub" / name / commit / path
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(data)
    with contextlib.closing(sqlite3.connect(made.root / DATABASE)) as database:
        dump = "\n".join(database.iterdump()) + "\n"
    (made.root / DUMP).write_text(dump, encoding="utf-8")
    first: dict[str, str] = {}
    same_as: dict[str, str] = {}
    with_root: list[str] = []
    with zipfile.ZipFile(target, "w", zipfile.ZIP_LZMA) as packed:
        for path in sorted(p for p in made.root.rglob("*") if p.is_file()):
            name = path.relative_to(made.root).as_posix()
            if path.suffix in LEFT_OUT or name.startswith((DATABASE, f"{ASIDE}/")):
                continue
            data = without_root(path.read_bytes(), made.root)
            if ROOT.encode() in data or ROOT_URI.encode() in data:
                with_root.append(name)
            digest = hashlib.sha256(data).hexdigest()
            if first.setdefault(digest, name) != name:
                same_as[name] = first[digest]
                continue
            write(packed, name, data)
        with_root.remove(DUMP)
        index = {
            "version": mm.__version__,
            "mlflow": mlflow.__version__,
            "runs": made.runs,
            "experiments": made.experiments,
            "hub": hub,
            "same_as": same_as,
            "with_root": with_root,
        }
        write(packed, INDEX, json.dumps(index, indent=1).encode())
    return target


def write(packed: zipfile.ZipFile, name: str, data: bytes) -> None:
    """One member of the archive, dated alike."""
    packed.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_LZMA)


def without_root(data: bytes, root: Path) -> bytes:
    """A text file with a placeholder for the folder; any other file as it is."""
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        if str(root).encode() in data:
            print("Keeps the maker's own path:", hashlib.sha256(data).hexdigest()[:8], len(data))
        return data
    data = data.replace(root.as_uri().encode(), ROOT_URI.encode())
    return data.replace(str(root).encode(), ROOT.encode())


def make(root: Path) -> Path:
    """Make the store in a folder and pack it."""
    aside = root / ASIDE
    with HubServer() as hub, pytest.MonkeyPatch.context() as patch:
        hub.use(patch, aside / "cache")
        patch.setenv("MLFLOW_MODELMAP_SPOOL", str(aside / "spool"))
        patch.chdir(root)
        mlflow.set_tracking_uri(f"sqlite:///{root / DATABASE}")
        made = Made(root, hub)
        write_texts(made)
        register(made, aside)
        upload(made, aside)
        score_models(made, aside)
        study_models(made)
        train(made, aside)
        weigh(made)
        from_the_future(made)
        return pack(made)


def main() -> None:
    """Make it in a temporary folder."""
    os.environ["MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR"] = "false"
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    sys.argv[0] = "make_store.py"  # MLflow writes it into every run
    if archive(mm.__version__).exists():
        raise SystemExit(f"{archive(mm.__version__)} is there already, and is not written again.")
    with tempfile.TemporaryDirectory() as root:
        target = make(Path(root).resolve())
    print(f"{target}: {target.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
