"""What each process of an FSDP training on CPU runs, under torchrun: a loop and the callback."""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from torch import distributed
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from transformers import TrainerControl, TrainerState, TrainingArguments

from mlflow_modelmap import ModelMapCallback, Monitor
from tests.training import examples, model_of, monitoring_texts, tokenizer_of


def save(model: torch.nn.Module, plain: torch.nn.Module, folder: Path) -> None:
    """Gather the weights and write them whole, as trainers do with a full state dict."""
    state = get_model_state_dict(model, options=StateDictOptions(full_state_dict=True))
    if distributed.get_rank() == 0:
        plain.save_pretrained(folder, state_dict=state)
    distributed.barrier()


if __name__ == "__main__":
    start, output = map(Path, sys.argv[1:])
    distributed.init_process_group("gloo")
    tokenizer = tokenizer_of(start)
    plain, model = model_of(start), model_of(start)
    mesh = init_device_mesh("cpu", (distributed.get_world_size(),))
    for layer in model.model.layers:
        fully_shard(layer, mesh=mesh)
    fully_shard(model, mesh=mesh)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    rows = torch.tensor([row["input_ids"] for row in examples(tokenizer)[:4]])

    refusing = Monitor(monitoring_texts(), tokenizer=tokenizer, name="refused")
    assert refusing.record(model, 0) is None
    refusing.close()
    if distributed.get_rank() == 0:
        (output / "refused.txt").write_text(refusing.stopped or "")

    callback = ModelMapCallback(monitoring_texts(), every=2, name="sharded")
    arguments = TrainingArguments(str(output / "out"), use_cpu=True)
    state, control = TrainerState(max_steps=6), TrainerControl()
    callback.on_train_begin(arguments, state, control, model=model, processing_class=tokenizer)
    for step in range(1, 7):
        model(input_ids=rows, labels=rows).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        state.global_step = step
        callback.on_step_end(arguments, state, control, model=model)
        if step % 3 == 0:
            save(model, plain, output / "out" / f"checkpoint-{step}")
            callback.on_save(arguments, state, control, model=model)
    callback.on_train_end(arguments, state, control, model=model)
    distributed.barrier()
    distributed.destroy_process_group()
