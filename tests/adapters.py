"""Real adapters of tiny models, and their log-likelihoods by PEFT's unmerged model in float64."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from mlflow_modelmap.texts.text_set import TextSet
from tests.scoring.reckoning import plain

TARGETS = {
    "llama": ["q_proj", "v_proj", "down_proj"],
    "gpt2": ["c_attn", "c_proj"],
    "gpt_neox": ["query_key_value", "dense_4h_to_h"],
}


def lora(architecture: str, **more: Any) -> Any:
    """A LoRA (with `use_dora` a DoRA) of some layers."""
    from peft import LoraConfig

    chosen = {"r": 4, "lora_alpha": 16, "target_modules": TARGETS[architecture]}
    return LoraConfig(
        task_type="CAUSAL_LM",
        fan_in_fan_out=architecture == "gpt2",
        init_lora_weights=False,
        **{**chosen, **more},
    )


def ia3(architecture: str) -> Any:
    """An IA3 of the same layers."""
    from peft import IA3Config

    return IA3Config(
        task_type="CAUSAL_LM",
        target_modules=TARGETS[architecture],
        feedforward_modules=TARGETS[architecture][-1:],
        fan_in_fan_out=architecture == "gpt2",
        init_ia3_weights=False,
    )


def make_adapter(
    folder: str | Path,
    base: str | Path,
    config: Any,
    *,
    seed: int = 0,
    change: Callable[[Any], None] = lambda model: None,
    named: str | None = None,
    **options: Any,
) -> Path:
    """Save an adapter with random weights, far from doing nothing.

    Parameters
    ----------
    change
        What is done to the base before the adapter is put on, such as resizing its embeddings.
    named
        What the adapter calls its base; by default its directory.
    """
    import torch
    from peft import get_peft_model
    from transformers import AutoModelForCausalLM

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = AutoModelForCausalLM.from_pretrained(base)
        change(model)
        adapted = get_peft_model(model, config)
        with torch.no_grad():
            for name, parameter in adapted.named_parameters():
                if "ia3_" in name:
                    parameter.copy_(1 + 0.5 * torch.randn_like(parameter))
                elif "lora_" in name or "modules_to_save" in name or "trainable_tokens" in name:
                    parameter.add_(0.2 * torch.randn_like(parameter))
        adapted.peft_config["default"].base_model_name_or_path = named or str(base)
        adapted.save_pretrained(folder, **options)
    return Path(folder)


def unmerged_in_float64(
    base: str | Path,
    adapter: str | Path,
    texts: TextSet,
    change: Callable[[Any], None] = lambda model: None,
) -> np.ndarray:
    """Log-likelihoods by PEFT's unmerged model in float64, one text at a time."""
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(base)
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float64)
    change(model)
    adapted = PeftModel.from_pretrained(model, str(adapter), torch_device="cpu").double().eval()
    return plain(adapted, [tokenizer(text)["input_ids"] for text in texts.texts])
