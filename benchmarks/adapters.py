"""Adapters of one base: read once for all of them, against once for each.

A random Llama and LoRA adapters of it; each way in a process of its own, so that its peak memory
is its own. Prints seconds until each adapter's model is ready to score, and the peak.

    python benchmarks/adapters.py                       162M parameters, six adapters, float32
    python benchmarks/adapters.py --precision int8
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

FEW = ["q_proj", "v_proj"]
ALL = [*FEW, "k_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


def make(folder: Path, count: int, targets: list[str], stored: str) -> list[Path]:
    """Adapters with random weights, and their base beside them."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM, LlamaConfig, utils

    utils.logging.disable_progress_bar()
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=32000,
        hidden_size=768,
        intermediate_size=3072,
        num_hidden_layers=12,
        num_attention_heads=12,
    )
    model = AutoModelForCausalLM.from_config(config)
    model.to(getattr(torch, stored)).save_pretrained(folder / "base")
    made = []
    for number in range(count):
        lora = LoraConfig(task_type="CAUSAL_LM", target_modules=targets, init_lora_weights=False)
        adapted = get_peft_model(AutoModelForCausalLM.from_pretrained(folder / "base"), lora)
        adapted.peft_config["default"].base_model_name_or_path = str(folder / "base")
        made.append(folder / f"adapter-{number}")
        adapted.save_pretrained(made[-1])
    return made


def load(adapters: list[str], precision: str, once: bool) -> dict[str, object]:
    """Each adapter's model ready to score, one after the other."""
    from mlflow_modelmap.scoring.load.load import load_model
    from mlflow_modelmap.scoring.load.loaded_base import BaseKey, LoadedBase
    from mlflow_modelmap.scoring.settings import ScoringSettings

    settings = ScoringSettings(device="cpu", precision=precision)
    base = str(Path(adapters[0]).parent / "base")
    loaded, key = LoadedBase(), BaseKey(base, "", precision, "cpu", None, False, 0.0, False, False)
    took = []
    for number, adapter in enumerate(adapters):
        loaded.expected = key if once and number < len(adapters) - 1 else None
        began = time.perf_counter()
        load_model(base, precision, "cpu", settings, adapter, held=(loaded, key))
        took.append(round(time.perf_counter() - began, 2))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"seconds": took, "loads": loaded.loads, "peak_mb": round(peak)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--adapters", type=int, default=6)
    parser.add_argument("--precision", default="float32")
    parser.add_argument("--stored", default="bfloat16", help="in which the base lies on disk")
    parser.add_argument("--all", action="store_true", help="of every linear layer")
    parser.add_argument("--once", help=argparse.SUPPRESS)
    parser.add_argument("--folders", nargs="*", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.folders:
        print(json.dumps(load(given.folders, given.precision, given.once == "once")))
        return
    with tempfile.TemporaryDirectory() as folder:
        made = make(Path(folder), given.adapters, ALL if given.all else FEW, given.stored)
        for way in ("each", "once"):
            command = [sys.executable, __file__, "--once", way, "--precision", given.precision]
            done = subprocess.run(
                [*command, "--folders", *map(str, made)], check=True, capture_output=True, text=True
            )
            found = json.loads(done.stdout.splitlines()[-1])
            print(
                f"{way:5} {found['loads']} loads, {sum(found['seconds']):.1f} s "
                f"{found['seconds']}, peak {found['peak_mb']} MB"
            )


if __name__ == "__main__":
    main()
