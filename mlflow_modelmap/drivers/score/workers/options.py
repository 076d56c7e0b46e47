"""Driver: on what a sweep is spread, and what each model gets of it."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass, fields

from mlflow_modelmap.errors import InputError
from mlflow_modelmap.words.listed import listed

LOCAL, RAY, SLURM = "local", "ray", "slurm"
ENGINES = (LOCAL, RAY, SLURM)
DRIVER, WORKER = "driver", "worker"
_NEEDS = {RAY: "ray", SLURM: "submitit"}
_GOES_WITH = {
    "ray_address": (RAY,),
    "memory": (RAY, SLURM),
    **dict.fromkeys(("partition", "time", "sbatch", "folder", "cluster"), (SLURM,)),
}


@dataclass(frozen=True)
class Workers:
    """Who scores the models of a plan.

    Parameters
    ----------
    on
        ``local``: processes on this machine; ``ray`` or ``slurm``.
    count
        How many at once; by default one a GPU, or one where there is none; on Ray as many as it
        has room for, on Slurm 4.
    log_from
        Whether the sweep itself logs every score, or the workers do, who then have to reach the
        store.
    threads
        CPU threads of each, by default its share of this machine's; on a cluster 4. The last bits
        of a number on CPU depend on it.
    gpus
        GPUs of each: 0.25 lets four small models share one, 2 gives a large one two.
    memory
        GB of memory that a worker asks a cluster for.
    ray_address
        Of a running Ray cluster; by default one is started here.
    partition, time, sbatch
        Of Slurm: partition, minutes, and any other option as ``name=value``.
    folder
        Where Slurm's jobs and the sweep meet: one that all nodes see.
    cluster
        ``local`` runs the jobs of Slurm as processes here, to try things out.
    """

    on: str = LOCAL
    count: int | None = None
    log_from: str = DRIVER
    threads: int | None = None
    gpus: float | None = None
    memory: float | None = None
    ray_address: str | None = None
    partition: str | None = None
    time: int | None = None
    sbatch: tuple[str, ...] = ()
    folder: str | None = None
    cluster: str | None = None

    def checked(self) -> Workers:
        """These, if they can be right.

        Raises
        ------
        InputError
            If the engine is unknown or not installed, or an option is another engine's or no
            amount.
        """
        if self.on not in ENGINES:
            raise InputError(f"There is no engine {self.on!r} for a sweep; take {listed(ENGINES)}.")
        if self.log_from not in (DRIVER, WORKER):
            raise InputError(f"log_from is {self.log_from!r}; it must be driver or worker.")
        needed = _NEEDS.get(self.on)
        if needed and importlib.util.find_spec(needed) is None:
            raise InputError(
                f"A sweep on {self.on} needs the package {needed}, which is not installed; "
                f"install mlflow-modelmap[{self.on}]."
            )
        for field in fields(self):
            engines = _GOES_WITH.get(field.name)
            if engines and self.on not in engines and getattr(self, field.name) != field.default:
                raise InputError(
                    f"{field.name} goes with --on {' or '.join(engines)}, not {self.on}."
                )
        for name, least in (("count", 1), ("threads", 1), ("gpus", 0), ("memory", 0), ("time", 1)):
            value = getattr(self, name)
            if value is not None and not value >= least:
                shown = "workers" if name == "count" else name
                raise InputError(f"{shown} is {value}; it must be {least} or more.")
        if self.gpus is not None and self.gpus > 1 and self.gpus != int(self.gpus):
            raise InputError(f"gpus is {self.gpus:g}; above one it must be a whole number.")
        if self.cluster not in (None, SLURM, LOCAL):
            raise InputError(f"cluster is {self.cluster!r}; it must be slurm or local.")
        return self
