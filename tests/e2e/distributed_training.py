"""What each process of a distributed training runs, under torchrun: a Trainer with the callback."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from torch import distributed

from mlflow_modelmap import ModelMapCallback
from tests.training import losses, monitoring_texts, trainer

if __name__ == "__main__":
    start, *outputs = sys.argv[1:]
    for output in map(Path, outputs):  # the first one without the callback
        plain = output.name == "plain"
        callbacks = [] if plain else [ModelMapCallback(monitoring_texts(), every=4)]
        trained = trainer(Path(start), output / "out", callbacks, steps=8, ddp_backend="gloo")
        trained.train()
        rank = int(os.environ["RANK"])
        (output / f"losses-{rank}.json").write_text(json.dumps(losses(trained)))
    # A process that leaves while another still talks to it would end in an abort.
    distributed.barrier()
    distributed.destroy_process_group()
