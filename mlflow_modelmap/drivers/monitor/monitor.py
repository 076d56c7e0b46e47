"""Driver: watch a training - score a small text set now and then, into the run that is active."""

from __future__ import annotations

import atexit
import contextlib
import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from mlflow_modelmap import __version__
from mlflow_modelmap.drivers.monitor.checkpoint_metrics import FEW, Recorded, drawn
from mlflow_modelmap.drivers.monitor.exact import ExactComparisons, check_exact
from mlflow_modelmap.drivers.monitor.training import MonitoredTraining, log
from mlflow_modelmap.drivers.monitor.watched import InMemory, Saved, reference_of
from mlflow_modelmap.drivers.pair.with_reference import check_same_parts
from mlflow_modelmap.drivers.score.texts import load_texts
from mlflow_modelmap.errors import InputError, ModelMapError
from mlflow_modelmap.machine.signals import shielded
from mlflow_modelmap.numerics.trajectory.running import WINDOW, RunningTrajectory
from mlflow_modelmap.numerics.trajectory.spacing import warm_up_of
from mlflow_modelmap.scoring.settings import ScoreResult, ScoringSettings
from mlflow_modelmap.scoring.tokenizer.prompts import OF_PROMPTS, check_of_prompts
from mlflow_modelmap.texts.text_set import TextSet
from mlflow_modelmap.tracking import schema
from mlflow_modelmap.tracking.runs.end_run import verdict_of
from mlflow_modelmap.tracking.runs.monitor_run import MonitorRun, open_monitor_run
from mlflow_modelmap.tracking.runs.text_dataset import TextSetDataset
from mlflow_modelmap.tracking.store.client import briefly, check_reachable
from mlflow_modelmap.tracking.store.quiet import quiet
from mlflow_modelmap.words.reason import reason, reason_with_type

if TYPE_CHECKING:
    from mlflow_modelmap.scoring.tokenizer.tokenize import TokenizedTexts

FIRST = "first"
"""The reference that is the training's own first recorded checkpoint."""

_LONGEST = 2000
_SETTINGS = ("bos", "overlong", "window_tokens", "stride", "split_special_tokens")
Result = TypeVar("Result")


class Monitor:
    """Watches a training: KL between its checkpoints, in MLflow, while it goes on.

    Each recorded checkpoint is scored on the texts, and becomes a point of any later map or
    trajectory. Training is left alone: no random number is drawn, no gradient or mode changed.

    Parameters
    ----------
    texts
        A text set, or what `read_texts` takes. A few hundred texts are enough; weighted ones
        (``modelmap texts resample``) say more.
    tokenizer
        The model's own.
    reference
        What each checkpoint is also compared with: ``"first"`` (the first one recorded), a run id,
        ``RUN_ID@STEP``, ``models:/name@champion`` or any other model, scored now if it is not yet.
        ``"base"`` is an adapter's own base, as it lies in memory; None for nothing.
    exact, exact_texts
        Whether each checkpoint is also compared with the reference token by token (it must share
        the vocabulary), and over how many of the texts, evenly spread; by default all.
    curves
        Which numbers are metrics too, beside the table of all: ``"few"`` (bits per byte, KL,
        exponents that mean something, anomalies) or ``"all"``.
    trajectory
        What the training is called; by default its run's name.
    base_model
        What it started from; by default what the model says it was loaded from.
    warm_up
        First step at which exponents and anomalies count; by default the paper's share of the
        training's length (2,000 of 143,000 steps) where that is known, else 0.
    window
        Checkpoints over which the exponent is fitted.
    run_id, name, experiment
        The run to record in, or name and experiment of the one that is made where none is active.
    start_run
        Whether a run may be made where none is active.
    raise_errors
        Whether a failure of the monitor stops the training. By default it is logged once as a
        warning, and the monitor stops itself.
    batch_tokens, bos, template, system_prompt, end_of_turn, overlong, window_tokens, stride, \
split_special_tokens
        See `ScoringSettings`; ``template`` and the two behind it go with responses to prompts.

    Raises
    ------
    InputError
        If the texts cannot be read, or an option is not possible.

    Notes
    -----
    In a distributed training every process may call it; only the main process does anything. A
    step that is recorded already (after a resume) is not recorded again.
    """

    def __init__(
        self,
        texts: TextSet | str | os.PathLike[str],
        *,
        tokenizer: Any = None,
        reference: str | None = FIRST,
        exact: bool = False,
        exact_texts: int | None = None,
        curves: str = FEW,
        trajectory: str | None = None,
        base_model: str | None = None,
        warm_up: int | None = None,
        window: int = WINDOW,
        run_id: str | None = None,
        name: str | None = None,
        experiment: str | None = None,
        start_run: bool = True,
        raise_errors: bool = False,
        batch_tokens: int | None = None,
        bos: str = "auto",
        template: str = "auto",
        system_prompt: str | None = None,
        end_of_turn: bool = False,
        overlong: str = "error",
        window_tokens: int | None = None,
        stride: int | None = None,
        split_special_tokens: bool = False,
    ) -> None:
        self.texts = load_texts(texts)
        if len(self.texts) < 2:
            raise InputError(
                f"The text set {self.texts.name!r} holds one text, and a KL divergence needs at "
                "least two; a few hundred make it precise."
            )
        check_exact(exact, exact_texts, reference)
        RunningTrajectory(self.texts.bytes, window=window)  # refuses a window too short
        self.tokenizer = tokenizer
        self.reference, self.exact, self.exact_texts = reference, exact, exact_texts
        self.trajectory, self.base_model = trajectory, base_model
        self.warm_up, self.window = warm_up, window
        self.raise_errors = raise_errors
        self.settings = ScoringSettings(
            batch_tokens=batch_tokens,
            bos=bos,
            template=template,
            system_prompt=system_prompt,
            end_of_turn=end_of_turn,
            overlong=overlong,
            window_tokens=window_tokens,
            stride=stride,
            split_special_tokens=split_special_tokens,
        )
        check_of_prompts(self.texts, self.settings)
        self.stopped: str | None = None
        where = {"run_id": run_id, "name": name, "experiment": experiment}
        self._run: dict[str, Any] = {**where, "start_run": start_run, "drawn": drawn(curves)}
        self._dataset = TextSetDataset(self.texts)
        self._training: MonitoredTraining | None = None

    @property
    def run_id(self) -> str | None:
        """The run that is recorded in; None before `start` and after `close`."""
        return self._training.run.run.run_id if self._training else None

    @property
    def steps(self) -> list[int]:
        """The steps recorded so far, ascending."""
        return self._training.run.steps if self._training else []

    def start(self, model: Any, *, tokenizer: Any = None, total_steps: int | None = None) -> None:
        """Find the run, the tokens and the reference, before training begins.

        `record` does it where it was not called.

        Parameters
        ----------
        model
            The model that will be recorded, or a directory that holds it.
        tokenizer
            Its tokenizer, where none was given before.
        total_steps
            Length of the training, if known.
        """
        watched = Saved(model) if isinstance(model, str) else InMemory(model)
        self._guarded(lambda: self._started(watched, tokenizer, total_steps))

    def record(self, model: Any, step: int, *, saved: str | None = None) -> Recorded | None:
        """Score the model as it is now, and log it at this step.

        Parameters
        ----------
        model
            A causal language model of transformers, also wrapped by DistributedDataParallel,
            `torch.compile` or PEFT. One that is spread over processes has to be saved, see
            `record_saved`.
        step
            Training step.
        saved
            The directory it was saved in, if it was.

        Returns
        -------
        Recorded or None
            None where nothing was recorded: the step is recorded already, the model gives no
            finite values, the monitor has stopped itself, or this is not the main process.
        """
        return self._recorded(InMemory(model), step, os.path.abspath(saved) if saved else None)

    def record_saved(self, folder: str | os.PathLike[str], step: int) -> Recorded | None:
        """Score a directory that ``save_pretrained`` wrote, and log it at this step.

        For models that no process holds whole (FSDP, DeepSpeed's ZeRO-3). An adapter is scored on
        the base that it names.
        """
        return self._recorded(Saved(os.path.abspath(folder)), step, os.path.abspath(folder))

    def _recorded(
        self, watched: InMemory | Saved, step: int, folder: str | None
    ) -> Recorded | None:
        def work() -> Recorded | None:
            training = self._started(watched)

            def score() -> ScoreResult:
                return watched.score(self.texts, training.tokens, self.settings)

            return training.record(step, score, watched.compare, folder)

        return self._guarded(work)

    def note_saved(self, step: int, folder: str | os.PathLike[str]) -> None:
        """Say where the weights of a recorded step were saved, for distances between weights."""
        if self._training is not None:
            training = self._training
            self._guarded(lambda: training.note_saved(step, os.path.abspath(folder)))

    def close(self, status: str = "FINISHED", why: str | None = None) -> None:
        """Say what monitoring cost, and end the run if it was made here.

        Parameters
        ----------
        status
            ``FINISHED``, ``FAILED`` or ``KILLED``.
        why
            Why the training did not come to its end, in one sentence.
        """
        training, self._training = self._training, None
        if training is not None:
            atexit.unregister(self._at_exit)
            with shielded(), contextlib.closing(training):
                self._guarded(lambda: training.end(status, why), even_stopped=True)

    def _at_exit(self) -> None:
        """A training that nobody ended is over with its process."""
        error = getattr(sys, "last_value", None)
        self._close_after(error if isinstance(error, BaseException) else None)

    def __enter__(self) -> Monitor:
        return self

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        self._close_after(error)

    def _close_after(self, error: BaseException | None) -> None:
        """Close with the reason why the training stopped, if it did."""
        self.close(*(("FINISHED", None) if error is None else verdict_of(error)))

    def _guarded(self, work: Callable[[], Result], even_stopped: bool = False) -> Result | None:
        """Do it in the main process; a failure stops the monitor, and the training if so asked."""
        from mlflow_modelmap.scoring.accelerator.memory import in_training
        from mlflow_modelmap.scoring.engine.live import generators_kept, is_main_process

        if (self.stopped and not even_stopped) or not is_main_process():
            return None
        try:
            with in_training(), generators_kept(), quiet(), briefly():
                return work()
        except Exception as error:
            if self.raise_errors:
                raise
            ours = isinstance(error, ModelMapError)
            why = reason(error, _LONGEST) if ours else reason_with_type(error, _LONGEST)
            if not self.stopped:
                log.warning("The model map's monitor has stopped, training goes on: %s.", why)
                self._say_stopped(why)
            self.stopped = why
            return None

    def _say_stopped(self, why: str) -> None:
        if self._training is not None and (run := self._training.run.run) is not None:
            with contextlib.suppress(Exception):  # the store may be what failed
                run.log(tags={schema.TAG_MONITOR_STOPPED: why})

    def _started(
        self,
        watched: InMemory | Saved,
        tokenizer: Any = None,
        total_steps: int | None = None,
    ) -> MonitoredTraining:
        if self._training is not None:
            return self._training
        tokenizer = tokenizer or self.tokenizer
        tokens = watched.tokens(tokenizer, self.texts, self.settings)
        about = watched.about(self.settings)
        store = check_reachable()
        run = open_monitor_run(
            store,
            self._dataset,
            tags=about.tags(self.texts, self.trajectory, self.base_model, self.settings),
            **self._run,
        )
        try:
            training = self._taken_up(run, tokens, total_steps)
        except BaseException as error:
            run.give_back(error)
            raise
        self._training = training  # from here on a failure is said on the run
        atexit.register(self._at_exit)
        if self.reference is not None and self.reference != FIRST:
            found = reference_of(
                str(self.reference), watched, about, tokens, self.texts, self.settings, store
            )
            check_same_parts(found, tokens.bytes, "the training")
            training.reference = found
            run.say_reference(found.name, found.run_id)
        elif self.reference == FIRST:
            run.say_reference("the first checkpoint recorded")
        if self.exact:
            exact = ExactComparisons(self.texts, tokens, self.settings, self.exact_texts)
            own = tokenizer or watched.tokenizer()
            training.begin_exact(exact, own, store, watched.keep_base)
        training.warn(len(self.texts))
        return training

    def _taken_up(
        self, run: MonitorRun, tokens: TokenizedTexts, total_steps: int | None
    ) -> MonitoredTraining:
        """The training with what its run holds already."""
        named = _SETTINGS if self.texts.prompts is None else (*_SETTINGS, *OF_PROMPTS)
        asked = {name: getattr(self.settings, name) for name in named}
        run.log_settings(asked, {**self.texts.counts, "mlflow_modelmap": __version__})
        warm_up = warm_up_of(total_steps or 0) if self.warm_up is None else self.warm_up
        trajectory = RunningTrajectory(
            tokens.bytes,
            self.texts.weight_array,
            documents=self.texts.document_codes,
            warm_up=warm_up,
            window=self.window,
        )
        before = run.vectors()
        for step, values in zip(run.steps, [] if before is None else before.values, strict=True):
            trajectory.add(step, values)
        return MonitoredTraining(run, tokens, trajectory, from_first=self.reference == FIRST)
