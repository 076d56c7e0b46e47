"""Surface: a callback for Lightning that records a training's checkpoints."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from mlflow_modelmap.drivers.monitor.monitor import Monitor
from mlflow_modelmap.errors import InputError
from mlflow_modelmap.texts.text_set import TextSet
from mlflow_modelmap.words.reason import reason_with_type

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from mlflow_modelmap.drivers.monitor.options import MonitorOptions

try:
    from lightning.pytorch import Callback
except ImportError:
    try:
        from pytorch_lightning import Callback  # type: ignore[assignment]
    except ImportError:
        raise ImportError(
            "Lightning is not installed; install it with `pip install mlflow-modelmap[lightning]`."
        ) from None


class ModelMapLightningCallback(Callback):
    """Records the model before training, every so many steps (or at each save), and at the end.

    Parameters
    ----------
    texts
        A text set, or what `read_texts` takes.
    tokenizer
        The model's own.
    every
        Record every so many optimiser steps; by default when Lightning saves a checkpoint.
    model
        From the LightningModule to the language model of transformers in it; by default the one
        that it holds as an attribute.
    **options
        See `Monitor`: ``reference``, ``exact``, ``exact_texts``, ...

    Raises
    ------
    InputError
        If the texts cannot be read, or `every` is not positive.

    Notes
    -----
    Lightning's checkpoints are pickles, which are never read here: a model that is sharded over
    processes cannot be recorded, and says so once.
    """

    def __init__(
        self,
        texts: TextSet | str | os.PathLike[str],
        *,
        tokenizer: Any,
        every: int | None = None,
        model: Callable[[Any], Any] | None = None,
        **options: Unpack[MonitorOptions],
    ) -> None:
        if every is not None and every < 1:
            raise InputError(f"every is {every}; give 1 or more steps.")
        self.every = every
        self.monitor = Monitor(texts, tokenizer=tokenizer, **options)
        self._find = model or language_model_in
        self._trains = False

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Find the run, and record the model that training starts from."""
        steps = trainer.estimated_stepping_batches
        known = steps if isinstance(steps, int) and steps > 0 else None
        model = self._find(pl_module)
        self._trains = True
        self.monitor.start(model, total_steps=known)
        self.monitor.record(model, trainer.global_step)

    def on_train_batch_end(
        self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Record every so many steps."""
        if self.every and trainer.global_step % self.every == 0:
            self.monitor.record(self._find(pl_module), trainer.global_step)

    def on_save_checkpoint(self, trainer: Any, pl_module: Any, checkpoint: dict[str, Any]) -> None:
        """Record what is being saved."""
        # In a validation amid training, where checkpoints are saved too, `trainer.training` is no;
        # `trainer.state.fn` still says "fit" once it is over.
        if not self.every and self._trains and not trainer.sanity_checking:
            self.monitor.record(self._find(pl_module), trainer.global_step)

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        """Record the last step and end our part."""
        self._trains = False
        self.monitor.record(self._find(pl_module), trainer.global_step)
        self.monitor.close()

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        """End a run that was made here as what it is."""
        self._trains = False
        stopped = isinstance(exception, (KeyboardInterrupt, SystemExit))
        why = "Stopped before the end." if stopped else reason_with_type(exception)
        self.monitor.close("KILLED" if stopped else "FAILED", why)


def language_model_in(module: Any) -> Any:
    """The model of transformers that a LightningModule is or holds; itself where there is none."""
    if hasattr(module, "get_output_embeddings"):
        return module
    held = [child for child in module.children() if hasattr(child, "get_output_embeddings")]
    return held[0] if len(held) == 1 else module
