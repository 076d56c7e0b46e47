"""Driver: a plan spread over what its user chose."""

from __future__ import annotations

from collections.abc import Sequence

from mlflow_modelmap.drivers.score.request import ScoreRequest
from mlflow_modelmap.drivers.score.sweep_rows import SweepRow
from mlflow_modelmap.drivers.score.sweep_work import Work
from mlflow_modelmap.drivers.score.workers.events import Engine
from mlflow_modelmap.drivers.score.workers.fan_out import FanOut
from mlflow_modelmap.drivers.score.workers.options import RAY, SLURM, WORKER, Workers
from mlflow_modelmap.drivers.score.workers.progress import SweepProgress


def spread_out(
    work: Work, asked: Sequence[ScoreRequest], options: Workers, status: SweepProgress
) -> tuple[tuple[SweepRow, ...], tuple[str, ...]]:
    """What becomes of every model, and what is to be said of workers that died.

    Raises
    ------
    InputError
        If there is not what was asked for: a cluster, GPUs, memory.
    TrackingError
        If the store is gone.
    """
    if not asked:
        return (), ()
    engine = _engine(asked, options, status.shown)
    status.workers = f"{engine.count} on {options.on}"
    fan_out = FanOut(work, engine, status, workers_log=options.log_from == WORKER)
    rows = fan_out.all(asked)
    return rows, tuple(fan_out.deaths)


def _engine(asked: Sequence[ScoreRequest], options: Workers, shown: bool) -> Engine:
    if options.on == RAY:
        from mlflow_modelmap.drivers.score.workers.on_ray import OnRay

        return OnRay(options)
    if options.on == SLURM:
        from mlflow_modelmap.drivers.score.workers.on_slurm import OnSlurm

        return OnSlurm(options, len(asked), shown)
    from mlflow_modelmap.drivers.score.workers.local import LocalProcesses

    devices = {request.settings.device for request in asked}
    return LocalProcesses(
        options,
        on_cpu=devices == {"cpu"},
        keeps_devices=any(":" in device for device in devices),
    )
