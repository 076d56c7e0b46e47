"""A head in half precision gives float32 for a while, also where its weights lie elsewhere."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from transformers import AutoModelForCausalLM

from mlflow_modelmap.scoring.accelerator.float32_head import float32_logits, rounds_its_logits
from tests import tiny

IDS = torch.arange(12)[None]


@pytest.mark.parametrize("elsewhere", [False, True])
@pytest.mark.parametrize("architecture", ["gpt_neox", "phi"])  # the second has a bias
@torch.no_grad()
def test_logits_are_products_in_float32(architecture, elsewhere, tmp_path):
    model = AutoModelForCausalLM.from_config(tiny.make_config(architecture)).bfloat16().eval()
    head = model.get_output_embeddings()
    weight, bias = head.weight.double(), 0.0 if head.bias is None else head.bias.double()
    hidden = model(IDS, output_hidden_states=True, use_cache=False).hidden_states[-1]
    expected = hidden.double() @ weight.T + bias
    if elsewhere:
        from accelerate import disk_offload

        disk_offload(model, str(tmp_path), execution_device=torch.device("cpu"))
        assert head.weight.is_meta
    rounded = model(IDS, use_cache=False).logits
    with float32_logits(head):
        logits = model(IDS, use_cache=False).logits
    assert logits.dtype == torch.float32
    assert (logits - expected).abs().max() < 1e-5
    assert (rounded - expected).abs().max() > 1e-4
    assert torch.equal(model(IDS, use_cache=False).logits, rounded)


def test_other_heads_are_left_as_they_are():
    class Own(nn.Linear):
        def forward(self, hidden: torch.Tensor) -> torch.Tensor:
            return super().forward(hidden) * 2

    assert rounds_its_logits(nn.Linear(4, 9).half())
    for head in (nn.Linear(4, 9), Own(4, 9).half(), nn.Identity(), None):
        assert not rounds_its_logits(head)
        with float32_logits(head):
            assert head is None or "forward" not in vars(head)
