"""What this project uses of vLLM, computed by transformers: its documented calls and answers.

vLLM needs an accelerator, so that it cannot run where these tests do; see docs/engines.md for what
was never run.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from types import ModuleType
from typing import Any, ClassVar

__version__ = "stand-in"


@dataclass
class SamplingParams:
    max_tokens: int
    temperature: float
    prompt_logprobs: int
    detokenize: bool


@dataclass
class Logprob:
    logprob: float
    rank: int | None = None
    decoded_token: str | None = None


@dataclass
class RequestOutput:
    prompt_token_ids: list[int]
    prompt_logprobs: list[dict[int, Logprob] | None]


@dataclass
class LoRARequest:
    lora_name: str
    lora_int_id: int
    lora_path: str


class LLM:
    made: ClassVar[list[LLM]] = []

    def __init__(self, model: str, **options: Any) -> None:
        import torch
        from transformers import AutoModelForCausalLM

        dtype = options["dtype"]
        self.options = {"model": model, **options}
        self.network = AutoModelForCausalLM.from_pretrained(
            model, dtype="auto" if dtype == "auto" else getattr(torch, dtype)
        ).eval()
        self.adapted = None
        LLM.made.append(self)

    def generate(
        self,
        prompts: list[dict[str, list[int]]],
        sampling: SamplingParams,
        *,
        use_tqdm: bool,
        lora_request: LoRARequest | None = None,
    ) -> list[RequestOutput]:
        import torch

        assert (sampling.max_tokens, sampling.prompt_logprobs) == (1, 0)
        network = self.network
        if lora_request is not None:
            assert self.options["enable_lora"]
            if self.adapted is None:
                from peft import PeftModel

                self.adapted = PeftModel.from_pretrained(network, lora_request.lora_path)
            network = self.adapted
        answers = []
        for prompt in prompts:
            ids = prompt["prompt_token_ids"]
            if len(ids) + 1 > self.options["max_model_len"]:
                raise ValueError("The decoder prompt is longer than the maximum model length")
            with torch.no_grad():
                table = network(torch.tensor([ids])).logits[0].float().log_softmax(-1)
            shown: list[dict[int, Logprob] | None] = [None]
            for at in range(1, len(ids)):
                shown.append({ids[at]: Logprob(float(table[at - 1, ids[at]]))})
            answers.append(RequestOutput(ids, shown))
        return answers


def install(monkeypatch: Any) -> None:
    """Be what `import vllm` finds."""
    LLM.made = []
    monkeypatch.setitem(sys.modules, "vllm", sys.modules[__name__])
    monkeypatch.setitem(sys.modules, "vllm.lora", ModuleType("vllm.lora"))
    request = ModuleType("vllm.lora.request")
    request.LoRARequest = LoRARequest  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "vllm.lora.request", request)
