"""Surface: a callback for the Hugging Face Trainer that records its checkpoints."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from mlflow_modelmap.drivers.monitor.monitor import Monitor
from mlflow_modelmap.errors import InputError
from mlflow_modelmap.texts.text_set import TextSet

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from mlflow_modelmap.drivers.monitor.options import MonitorOptionsWithTokenizer


class ModelMapCallback(TrainerCallback):
    """Records the model before training, at each save, and at the end.

    Parameters
    ----------
    texts
        A text set, or what `read_texts` takes.
    every
        Record every so many steps instead of at each save. A model that is sharded over processes
        (FSDP, DeepSpeed's ZeRO-3) is recorded at saves in any case, from what was saved.
    **options
        See `Monitor`: ``reference``, ``exact``, ``exact_texts``, ``trajectory``, ``run_id``,
        ``raise_errors``, ... The tokenizer is by default the Trainer's ``processing_class``.

    Raises
    ------
    InputError
        If the texts cannot be read, or `every` is not positive.

    Examples
    --------
    >>> trainer = Trainer(
    ...     model, arguments, train_dataset=data, processing_class=tokenizer,
    ...     callbacks=[ModelMapCallback("texts.jsonl", every=100)],
    ... )  # doctest: +SKIP
    """

    def __init__(
        self,
        texts: TextSet | str | os.PathLike[str],
        *,
        every: int | None = None,
        **options: Unpack[MonitorOptionsWithTokenizer],
    ) -> None:
        if every is not None and every < 1:
            raise InputError(f"every is {every}; give 1 or more steps.")
        self.every = every
        self.monitor = Monitor(texts, **options)
        self._sharded = False

    def on_train_begin(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        model: Any = None,
        processing_class: Any = None,
        **_: Any,
    ) -> None:
        """Find the run that is active now: the Trainer's own callback may end it before ours ends.

        Records the model that training starts (or goes on) from.
        """
        from mlflow_modelmap.scoring.engine.live import is_sharded

        self._sharded = is_sharded(model)
        self.monitor.start(model, tokenizer=processing_class, total_steps=state.max_steps)
        if not self._sharded:
            self.monitor.record(model, state.global_step)

    def on_step_end(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        model: Any = None,
        **_: Any,
    ) -> None:
        """Record every so many steps."""
        if self.every and state.global_step % self.every == 0 and not self._sharded:
            self.monitor.record(model, state.global_step)

    def on_save(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        model: Any = None,
        **_: Any,
    ) -> None:
        """Record what was just saved, and where it lies."""
        step = state.global_step
        folder = saved_in(args, state)
        if self._sharded:
            self.monitor.record_saved(folder, step)
        elif not self.every:
            self.monitor.record(model, step, saved=folder)
        else:
            self.monitor.note_saved(step, folder)

    def on_train_end(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        model: Any = None,
        **_: Any,
    ) -> None:
        """Record the last step, unless the model is by now the best one, and end our part."""
        if not self._sharded and not args.load_best_model_at_end:
            self.monitor.record(model, state.global_step)
        self.monitor.close()


def _ray_trial(args: TrainingArguments, name: str) -> Path | None:
    """Where a trial of Ray saved, by the name that the Trainer gives it; others run beside it."""
    tune = sys.modules.get("ray.tune")
    if tune is None:
        return None
    with contextlib.suppress(Exception):  # this process is no trial of it
        own = Path(args.output_dir or "", f"run-{tune.get_context().get_trial_id()}", name)
        return own if own.is_dir() else None
    return None


def saved_in(args: TrainingArguments, state: TrainerState) -> str:
    """The directory of the checkpoint that the Trainer just wrote.

    Each trial of a search for hyperparameters saves in a directory of its own (``run-0`` or what
    ``hp_name`` says, Ray's trial, ...), whose name the Trainer tells nobody in all cases: it is
    the one that was written last.
    """
    name = f"checkpoint-{state.global_step}"
    plain = Path(args.output_dir or "", name)
    if not state.is_hyper_param_search:
        return str(plain)
    if state.trial_name:
        return str(Path(args.output_dir or "", state.trial_name, name))
    own = _ray_trial(args, name)
    if own is not None:
        return str(own)
    written: dict[float, Path] = {}
    for path in Path(args.output_dir or "").glob(f"*/{name}"):
        with contextlib.suppress(OSError):  # another trial's, which is gone
            written[path.stat().st_mtime] = path
    return str(written[max(written)] if written else plain)
