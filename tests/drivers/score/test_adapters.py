"""Adapters and pickles as runs: wherever a model can be named, and what the runs say of them."""

from __future__ import annotations

import inspect
import json
import shutil
from pathlib import Path

import mlflow.transformers
import numpy as np
import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

import mlflow_modelmap as mm
from mlflow_modelmap import InputError, compare
from mlflow_modelmap.drivers.gate.gate import gate
from mlflow_modelmap.drivers.lineage.lineage import lineage
from mlflow_modelmap.drivers.score.sweep import sweep
from mlflow_modelmap.surfaces.cli import cli
from tests import adapters
from tests.hub_server import HubServer


def tags_of(run_id: str) -> dict[str, str]:
    return mlflow.MlflowClient().get_run(run_id).data.tags


@pytest.fixture
def base(tiny_models) -> Path:
    return tiny_models("llama")


@pytest.fixture
def adapter(base, tmp_path) -> Path:
    return adapters.make_adapter(tmp_path / "adapter", base, adapters.lora("llama"))


@pytest.fixture
def pickled(tiny_model, tmp_path) -> Path:
    """A model whose weights are there as a pickle only."""
    folder = tmp_path / "pickled"
    shutil.copytree(tiny_model, folder, ignore=shutil.ignore_patterns("*.safetensors"))
    torch.save(load_file(tiny_model / "model.safetensors"), folder / "pytorch_model.bin")
    return folder


def test_a_run_says_what_was_scored_on_what(store, base, adapter, texts):
    done = mm.score(adapter, texts, progress=False)
    tags, alone = tags_of(done.run_id), mm.score(base, texts, progress=False)
    assert tags["modelmap.model"] == str(adapter)
    assert tags["modelmap.base_model"] == str(base)
    assert tags["modelmap.base_model_relation"] == "adapter"
    assert tags["modelmap.weights_format"] == "safetensors"
    of_base = tags_of(alone.run_id)
    assert tags["modelmap.adapter_base"] == f"{base}@{of_base['modelmap.commit']}"
    assert tags["modelmap.adapter"].startswith(f"{adapter}@sha256:")
    assert tags["modelmap.identity"] != of_base["modelmap.identity"]
    assert "modelmap.adapter" not in of_base
    assert not alone.skipped
    assert mm.score(adapter, texts, progress=False).skipped
    params = mlflow.MlflowClient().get_run(done.run_id).data.params
    assert params["modelmap.adapter_merged"] == "true"
    assert params["modelmap.weights_format"] == "safetensors"


def test_what_the_user_says_of_its_parent_counts(store, adapter, texts):
    tags = tags_of(mm.score(adapter, texts, base_model="org/other", progress=False).run_id)
    assert tags["modelmap.base_model"] == "org/other"
    assert "modelmap.base_model_relation" not in tags


def test_another_base_is_another_score(store, base, tiny_models, adapter, texts):
    other = tiny_models("llama", seed=1)
    first = mm.score(adapter, texts, progress=False)
    second = mm.score(adapter, texts, base=other, progress=False)
    assert not second.skipped
    assert np.std(first.log_likelihoods - second.log_likelihoods) > 1
    expected = adapters.unmerged_in_float64(other, adapter, texts)
    np.testing.assert_allclose(second.log_likelihoods, expected, atol=1e-3, rtol=0)
    assert mm.score(adapter, texts, base=base, progress=False).skipped


def test_the_command_line_takes_a_base(store, base, adapter, text_file):
    config = adapter / "adapter_config.json"
    written = {**json.loads(config.read_text()), "base_model_name_or_path": None}
    config.write_text(json.dumps(written))
    asked = ["score", str(adapter), "--texts", str(text_file), "--json", "--quiet"]
    failed = CliRunner().invoke(cli, asked)
    assert failed.exit_code == 1
    assert "does not say which model it was made for; give its base with --base" in str(
        failed.exception
    )
    done = CliRunner().invoke(cli, [*asked, "--base", str(base)])
    assert done.exit_code == 0, done.output


def test_a_sweep_scores_adapters_beside_their_base(store, base, tiny_models, adapter, texts):
    other = str(tiny_models("llama", seed=1))
    plan = {
        "models": [
            str(base),
            str(adapter),
            {"model": str(adapter), "base": other, "name": "on another"},
            {"model": str(base), "base": other, "name": "no adapter"},
        ]
    }
    done = sweep(plan, texts=texts, progress=False)
    assert [row.state for row in done.rows] == ["scored"] * 3 + ["failed"]
    assert "is a whole model and no adapter" in done.rows[3].error
    assert tags_of(done.rows[2].run_id)["modelmap.base_model"] == other


def test_lineage_knows_the_parent_by_itself(store, base, adapter, texts):
    parent = mm.score(base, texts, progress=False)
    child = mm.score(adapter, texts, progress=False)
    found = lineage(run_ids=[parent.run_id, child.run_id], hub=False, progress=False)
    row = found.table.set_index("child").loc[child.name]
    assert (row["parent"], row["relation"]) == (parent.name, "adapter")


def test_an_adapter_and_its_base_are_compared_exactly(store, base, adapter, texts, text_file):
    parent = mm.score(base, text_file, progress=False)
    child = mm.score(adapter, text_file, progress=False)
    found = compare(parent.run_id, child.run_id, exact=True)
    assert found.exact.forward > 0
    assert found.exact.bits_per_byte_second == pytest.approx(child.bits_per_byte, abs=1e-4)


def test_weight_distances_take_no_adapter(store, adapter, texts, tmp_path):
    other = shutil.copytree(adapter, tmp_path / "other")
    for step, folder in enumerate((adapter, other)):
        mm.score(folder, texts, step=step, trajectory="t", name=f"t {step}", progress=False)
    with pytest.raises(InputError, match="None of the 2 selected runs"):
        mm.weight_distances(experiments=["test"])


@pytest.mark.skipif(
    "base_model_path" not in inspect.signature(mlflow.transformers.save_model).parameters,
    reason="MLflow 3.5 writes such weights under names that no model has",
)
def test_a_model_that_mlflow_logged_as_an_adapter(store, base, adapter, texts):
    from peft import PeftModel

    model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), str(adapter))
    with mlflow.start_run() as run:
        mlflow.transformers.log_model(
            {"model": model, "tokenizer": AutoTokenizer.from_pretrained(base)},
            name="model",
            task="text-generation",
            pip_requirements=["transformers"],
            registered_model_name="lora",
            base_model_path=str(base),
        )
        mlflow.log_artifacts(str(adapter), "plain")
    expected = mm.score(adapter, texts, progress=False).log_likelihoods
    for reference in ("models:/lora/1", f"runs:/{run.info.run_id}/plain"):
        done = mm.score(reference, texts, progress=False)
        np.testing.assert_allclose(done.log_likelihoods, expected, atol=1e-4, rtol=0)
        assert tags_of(done.run_id)["modelmap.base_model"] == str(base)


@pytest.fixture
def hub(monkeypatch, tmp_path, base):
    with HubServer() as server:
        server.add("org/base", base)
        server.use(monkeypatch, tmp_path / "cache")
        yield server


def test_an_adapter_of_the_hub_pins_its_base(store, hub, base, tmp_path, texts):
    first = hub.add("org/base", base, revision="v1")
    hub.add("org/base", {**{p.name: p.read_bytes() for p in base.iterdir()}, "new.md": b""})
    folder = adapters.make_adapter(tmp_path / "one", base, adapters.lora("llama"), named="org/base")
    commit = hub.add("org/adapter", folder)
    expected = mm.score(folder, texts, base=base, progress=False).log_likelihoods
    done = mm.score("org/adapter", texts, progress=False)
    np.testing.assert_array_equal(done.log_likelihoods, expected)
    tags = tags_of(done.run_id)
    assert tags["modelmap.adapter"] == f"org/adapter@{commit}"
    assert tags["modelmap.base_model"] == "org/base"
    assert tags["modelmap.adapter_base"] != f"org/base@{first}"
    config = json.loads((folder / "adapter_config.json").read_text())
    (folder / "adapter_config.json").write_text(json.dumps({**config, "revision": "v1"}))
    hub.add("org/pinned", folder)
    tags = tags_of(mm.score("org/pinned", texts, progress=False).run_id)
    assert tags["modelmap.adapter_base"] == f"org/base@{first}"


def test_exactly_on_the_base_of_its_score_though_that_moved_on(
    store, hub, base, tiny_models, tmp_path, text_file
):
    folder = adapters.make_adapter(tmp_path / "one", base, adapters.lora("llama"), named="org/base")
    hub.add("org/adapter", folder)
    child = mm.score("org/adapter", text_file, progress=False)
    parent = mm.score("org/base", text_file, progress=False)
    hub.add("org/base", tiny_models("llama", seed=1))
    found = compare(parent.run_id, child.run_id, exact=True)
    assert found.exact.bits_per_byte_second == pytest.approx(child.bits_per_byte, abs=1e-4)
    assert not mm.score("org/adapter", text_file, progress=False).skipped


def test_a_local_directory_is_no_base_of_the_hubs_adapter(store, hub, base, tmp_path, texts):
    folder = adapters.make_adapter(tmp_path / "one", base, adapters.lora("llama"))
    hub.add("org/adapter", folder)
    with pytest.raises(InputError, match="where it was trained, which is not here; give its base"):
        mm.score("org/adapter", texts, progress=False)


def test_a_base_that_is_not_there_is_said(store, hub, base, tmp_path, texts):
    folder = adapters.make_adapter(tmp_path / "one", base, adapters.lora("llama"), named="org/gone")
    said = "The base model of the adapter .* cannot be had: There is no model 'org/gone' on the"
    with pytest.raises(InputError, match=said):
        mm.score(folder, texts, progress=False)


def test_trust_reaches_only_the_base_that_the_user_names(store, base, tmp_path, texts):
    own = shutil.copytree(base, tmp_path / "own")
    marker = tmp_path / "marker"
    config = json.loads((own / "config.json").read_text())
    config["auto_map"] = {
        "AutoConfig": "own.Config",
        "AutoModelForCausalLM": "own.Model",
    }
    (own / "config.json").write_text(json.dumps(config))
    (own / "own.py").write_text(
        f"open({str(marker)!r}, 'w').close()\n"
        "from transformers import LlamaConfig, LlamaForCausalLM\n"
        "class Config(LlamaConfig):\n    pass\n"
        "class Model(LlamaForCausalLM):  # transformers marks the class as foreign\n"
        "    config_class = Config\n"
    )
    folder = adapters.make_adapter(
        tmp_path / "adapter", base, adapters.lora("llama"), named=str(own)
    )
    with pytest.raises(InputError, match="brings its own code, which is not run because the adap"):
        mm.score(folder, texts, trust_remote_code=True, progress=False)
    done = mm.score(folder, texts, progress=False)  # without its code
    assert not marker.exists()
    trusted = mm.score(folder, texts, base=own, trust_remote_code=True, progress=False)
    assert marker.exists()
    np.testing.assert_allclose(trusted.log_likelihoods, done.log_likelihoods, atol=1e-4, rtol=0)


def test_a_pickled_model_is_said_to_be_one(store, pickled, tiny_model, texts):
    done = mm.score(pickled, texts, progress=False)
    assert tags_of(done.run_id)["modelmap.weights_format"] == "pickle"
    expected = mm.score(tiny_model, texts, progress=False).log_likelihoods
    assert np.array_equal(done.log_likelihoods, expected)
    with pytest.raises(InputError, match="which safetensors_only refuses"):
        mm.score(pickled, texts, safetensors_only=True, progress=False)


def test_safetensors_only_is_no_other_score(store, tiny_model, texts):
    mm.score(tiny_model, texts, progress=False)
    assert mm.score(tiny_model, texts, safetensors_only=True, progress=False).skipped


def test_the_gate_refuses_a_pickled_candidate_unless_told(store, pickled, tiny_model, texts):
    with pytest.raises(InputError, match=r"only as pickles .*--allow-pickles"):
        gate(pickled, tiny_model, texts, max_kl=1.0)
    assert gate(pickled, tiny_model, texts, max_kl=1.0, allow_pickles=True).verdict == "pass"
    assert gate(tiny_model, pickled, texts, max_kl=1.0).verdict == "pass"


def test_weight_distances_refuse_pickles(store, pickled, tmp_path):
    shutil.copytree(pickled, tmp_path / "step0")
    shutil.copytree(pickled, tmp_path / "step1")
    with pytest.raises(InputError, match=r"only as pickles .*no weight distances are measured"):
        mm.weight_distances(model=str(tmp_path / "step{step}"), steps=[0, 1])
