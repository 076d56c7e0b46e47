"""The paper's studies: their model lists are the paper's, and their commands run from a Hub."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import mlflow
import pytest
import yaml

from mlflow_modelmap.drivers.score.plan_file import read_plan
from mlflow_modelmap.drivers.score.plan_requests import requests
from mlflow_modelmap.texts.write import write_texts
from tests import forking
from tests.hub_server import HubServer

PROJECTS = Path(__file__).parents[2] / "projects"


def asked(project):
    return requests(read_plan(PROJECTS / project / "plan.yaml")[0])


def test_the_pretraining_study_is_the_papers():
    found = asked("pretraining")
    steps = Counter(request.reference.name for request in found)
    assert len(steps) == 14  # Table 5
    there = {(request.reference.name, request.step) for request in found}
    for seed, step in ((2, 111_000), (6, 88_000), (9, 40_000)):  # Appendix E.4
        assert (f"EleutherAI/pythia-410m-seed{seed}", step) not in there
        assert (f"EleutherAI/pythia-410m-seed{seed}", step + 1000) in there
    assert steps["EleutherAI/pythia-1b"] == 11 + 143
    assert all(request.reference.revision == f"step{request.step}" for request in found)


def test_the_quantisation_study_is_the_papers():
    found = asked("quantization")
    types = Counter(r.model_type for r in found if r.settings.precision == "nf4")
    assert (types["llama-2"], types["llama-3"], types["mistral"]) == (8, 7, 9)  # Section 3.2
    settings = Counter((r.settings.precision, r.settings.int8_threshold) for r in found)
    copies = [("int8", 0.0), ("int8", 6.0), ("nf4", 0.0), ("fp4", 0.0)]
    assert settings == dict.fromkeys([("float16", 0.0), *copies], 50)


def test_the_fine_tuning_study_is_the_papers():
    found = asked("fine_tuning")
    names = {request.reference.name for request in found}
    children = [request for request in found if request.base_model]
    assert (len(found), len(children)) == (87, 66)  # Section 3.3
    assert {request.base_model for request in children} <= names


def test_the_layer_study_is_the_papers():
    found = asked("layers")
    types = Counter(request.model_type for request in found)
    assert len(found) == 59
    assert types["llama-3"] == types["mistral"] == 10
    assert all(request.settings.layers for request in found)


def shortened(project, keep, tmp_path, **defaults):
    """The first models of a study's own plan, on float32."""
    plan = yaml.safe_load((PROJECTS / project / "plan.yaml").read_text(encoding="utf-8"))
    plan["models"] = [model for model in plan["models"] if keep(model)]
    plan["defaults"] |= defaults
    path = tmp_path / "plan.yaml"
    path.write_text(yaml.safe_dump(plan), encoding="utf-8")
    return path


def run_project(project, plan, texts, hub, store, tmp_path, **parameters):
    write_texts(texts, tmp_path / "texts.jsonl")
    parameters = {"plan": plan, "texts": tmp_path / "texts.jsonl", **parameters}
    command = ["-m", "mlflow", "run", str(PROJECTS / project)]
    command += ["--env-manager", "local", "--experiment-name", "test"]
    for name, value in parameters.items():
        command += ["-P", f"{name}={value}"]
    environment = forking.environment() | hub.environment(tmp_path / "hub")
    environment.pop("MLFLOW_EXPERIMENT_ID", None)  # set_experiment left it there
    environment["MLFLOW_MODELMAP_SPOOL"] = str(tmp_path / "spool")
    done = forking.run(*command, env=environment, timeout=900, cwd=tmp_path)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    client = mlflow.MlflowClient(store)
    runs = client.search_runs([client.get_experiment_by_name("test").experiment_id])
    assert {run.info.status for run in runs} == {"FINISHED"}
    kinds = Counter(run.data.tags["modelmap.kind"] for run in runs)
    assert kinds["sweep"] == 1
    return kinds, runs


WIDE = {"hidden_size": 64, "intermediate_size": 128}  # what 4-bit needs


@pytest.mark.heavy
def test_quantisation_runs_from_a_hub(store, tiny_models, texts, tmp_path):
    names = ["mistralai/Mistral-7B-v0.1", "mistralai/Mistral-7B-v0.3"]
    plan = shortened(
        "quantization",
        lambda model: model["model"] in names,
        tmp_path,
        precisions=["float32", "int8", "nf4"],
    )
    with HubServer() as hub:
        for seed, name in enumerate(names):
            hub.add(name, tiny_models("llama", seed=seed, **WIDE))
        kinds, runs = run_project("quantization", plan, texts, hub, store, tmp_path)
    assert kinds["score"] == 8
    assert kinds["quantization"] == kinds["scale"] == 1
    study = next(run for run in runs if run.data.tags["modelmap.kind"] == "quantization")
    assert study.data.metrics["modelmap/median_kl/nf4"] > 0
    assert study.data.metrics["modelmap/median_kl/int8 threshold 6"] > 0


@pytest.mark.heavy
def test_layers_run_from_a_hub(store, tiny_models, texts, tmp_path):
    name = "mistralai/Mistral-7B-v0.1"
    plan = shortened("layers", lambda model: model["model"] == name, tmp_path, precision="float32")
    with HubServer() as hub:
        hub.add(name, tiny_models("llama", seed=3, num_hidden_layers=4))
        kinds, _ = run_project("layers", plan, texts, hub, store, tmp_path)
    assert kinds["layers"] == kinds["scale"] == 1


@pytest.mark.heavy
def test_fine_tuning_runs_from_a_hub(store, tiny_models, texts, tmp_path):
    parent, child = "mistralai/Mistral-7B-v0.1", "HuggingFaceH4/zephyr-7b-alpha"
    plan = shortened(
        "fine_tuning",
        lambda model: model["model"] in (parent, child),
        tmp_path,
        precision="float32",
    )
    with HubServer() as hub:
        hub.add(parent, tiny_models("llama", seed=0))
        hub.add(child, tiny_models("llama", seed=1))
        kinds, runs = run_project("fine_tuning", plan, texts, hub, store, tmp_path)
    assert kinds["lineage"] == 1
    scale = next(run for run in runs if run.data.tags["modelmap.kind"] == "scale")
    assert scale.data.metrics["modelmap/n/FT"] == 1


@pytest.mark.slow
def test_pretraining_runs_from_a_hub(store, tiny_models, texts, tmp_path):
    import shutil

    from safetensors.torch import load_file, save_file

    name = "EleutherAI/pythia-410m"
    plan = shortened(
        "pretraining", lambda model: model["model"] == name, tmp_path, precision="float32"
    )
    content = yaml.safe_load(plan.read_text(encoding="utf-8"))
    content["models"][0]["steps"] = [0, {"start": 1000, "stop": 14_000, "every": 1000}]
    plan.write_text(yaml.safe_dump(content), encoding="utf-8")
    start = tiny_models("gpt_neox", seed=2)
    with HubServer() as hub:
        weights = load_file(start / "model.safetensors")
        import torch

        generator = torch.Generator().manual_seed(0)
        for step in [0, *range(1000, 15_000, 1000)]:
            folder = tmp_path / f"step{step}"
            shutil.copytree(start, folder)
            save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
            hub.add(name, folder, revision=f"step{step}")
            weights = {
                key: value + 0.02 * torch.randn(value.shape, generator=generator)
                for key, value in weights.items()
            }
        kinds, _ = run_project(
            "pretraining", plan, texts, hub, store, tmp_path, start="4000", window="10000"
        )
    assert kinds["score"] == 15
    assert kinds["weights"] == kinds["trajectory"] == kinds["scale"] == 1
