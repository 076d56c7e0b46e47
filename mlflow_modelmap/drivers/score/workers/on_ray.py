"""Driver: workers as tasks of a Ray cluster, here or elsewhere."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mlflow_modelmap.drivers.score.workers.events import Answer, Died, Moved
from mlflow_modelmap.drivers.score.workers.options import Workers
from mlflow_modelmap.drivers.score.workers.parcels import Parcels
from mlflow_modelmap.errors import InputError
from mlflow_modelmap.words.reason import reason
from mlflow_modelmap.words.redact import redact

_THREADS = 4
_ROUND = 1e-6
_ANSWER_SECONDS = 8.0
_NODES_ASKED, _NODE_SECONDS = 8, 60.0


class OnRay:
    """Tasks of a Ray cluster; each gets the CPUs, GPUs and memory that were asked for.

    A model is prepared where it is scored: there the device and its precision are known, and there
    its files have to be, or are fetched to.

    Raises
    ------
    InputError
        If the cluster cannot be reached, or none of its nodes has what a worker is to get.
    """

    prepares = False

    def __init__(self, options: Workers) -> None:
        if options.ray_address:
            _show_token()
        import ray

        self._ray = ray
        self._own = not ray.is_initialized()
        self._here = self._own and not options.ray_address
        if self._own:
            _connect(ray, options)
        try:
            self._resources = _resources(options, ray.cluster_resources())
            self.count = options.count or _room(ray, self._resources)
            _check_fits(ray, self._resources)
            threads = str(int(self._resources["num_cpus"]) or 1)
            self._task = ray.remote(_done).options(
                max_retries=0,  # a death is to be named, and its retry is the sweep's
                runtime_env={"env_vars": dict.fromkeys(_THREAD_VARIABLES, threads)},
                **self._resources,
            )
        except BaseException:
            self._disconnect()
            raise
        self._refs: dict[str, Any] = {}
        self._parcels = Parcels(self._put)
        self._flying: dict[Any, int] = {}

    def shares(self, folder: Path) -> bool:
        """Whether each node (of many, a few are asked) sees in its cache what is written here."""
        if self._here:
            return True
        nodes = [node["NodeID"] for node in self._ray.nodes() if node["Alive"]]
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(prefix=".modelmap-", dir=folder) as sign:
                name = os.path.basename(sign.name)
                seen = [self._asked(node, name) for node in nodes[:_NODES_ASKED]]
                return all(self._ray.get(seen, timeout=_NODE_SECONDS))
        except (OSError, self._ray.exceptions.RayError):
            return False

    def _asked(self, node: str, name: str) -> Any:
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        there = NodeAffinitySchedulingStrategy(node, soft=False)
        options = {"num_cpus": 0, "max_retries": 0, "scheduling_strategy": there}
        return self._ray.remote(_sees).options(**options).remote(name)

    def free(self, need: int) -> bool:
        return len(self._flying) < self.count

    def give(self, number: int, need: int, work: Any) -> None:
        packed, names = self._parcels.pack(work)
        shared = [self._refs[name] for name in names]
        self._flying[self._task.remote(packed, names, *shared)] = number

    def events(self, seconds: float) -> list[Answer | Moved | Died]:
        if not self._flying:
            time.sleep(seconds)
            return []
        done, _ = self._ray.wait(
            list(self._flying), num_returns=len(self._flying), timeout=seconds, fetch_local=False
        )
        return [self._event(ref, self._flying.pop(ref)) for ref in done]

    def close(self) -> None:
        for ref in self._flying:
            with contextlib.suppress(Exception):
                self._ray.cancel(ref, force=True)
        self._flying.clear()
        self._disconnect()

    def _put(self, name: str, data: bytes) -> None:
        self._refs[name] = self._ray.put(data)

    def _event(self, ref: Any, number: int) -> Answer | Died:
        from ray import exceptions

        try:
            outcome, where = self._ray.get(ref)
        except exceptions.RayTaskError as error:  # what is no failure of a model
            return Died(number, "on Ray", reason(error.cause or error))
        except exceptions.RayError as error:
            return Died(number, "on Ray", _why(error))
        return Answer(number, outcome, where)

    def _disconnect(self) -> None:
        if self._own and self._ray.is_initialized():
            with contextlib.suppress(Exception):
                self._ray.shutdown()
        self._own = False


_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


def _sees(name: str) -> bool:
    """Whether the Hub's cache of a node holds a file of this name."""
    from mlflow_modelmap.scoring.model.cached_weights import cache_folder

    return (cache_folder() / name).exists()


def _done(packed: bytes, names: tuple[str, ...], *shared: bytes) -> tuple[Any, str]:
    """What a worker of the cluster does."""
    import platform

    from mlflow_modelmap.drivers.score.workers.do import do
    from mlflow_modelmap.drivers.score.workers.parcels import unpack

    by_name = dict(zip(names, shared, strict=True))
    outcome = do(unpack(packed, by_name.__getitem__))
    return outcome, f"{os.getpid()} on {platform.node()}"


def _connect(ray: Any, options: Workers) -> None:
    """Start a cluster here, or join the one that is named."""
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    ends = signal.getsignal(signal.SIGTERM)
    try:
        if options.ray_address:
            _check_answers(options.ray_address)
            ray.init(address=options.ray_address, **quiet)
            return
        paths = os.pathsep.join(path for path in sys.path if path)
        cpus = (options.count or 0) * (options.threads or 1) or None
        ray.init(
            address="local",
            num_cpus=cpus,
            include_dashboard=False,
            runtime_env={"env_vars": {"PYTHONPATH": paths}},
            **quiet,
        )
    except Exception as error:
        if not options.ray_address:
            raise InputError(
                f"The Ray cluster on this machine cannot be reached ({reason(error)}); see "
                "`ray status`, or give its address with --ray-address."
            ) from error
        raise InputError(
            f"The Ray cluster {redact(options.ray_address)} cannot be reached ({reason(error)}); "
            "see `ray status`, and where it asks for a token, put that of the machine that "
            "started it into ~/.ray/auth_token here."
        ) from error
    finally:
        with contextlib.suppress(ValueError):  # of another thread than the main one
            signal.signal(signal.SIGTERM, ends)  # Ray puts its own in its place


def _show_token() -> None:
    """Have Ray send the token that it keeps, which it reads as it is imported.

    What `ray start` has started asks for it (since Ray 2.60); what asks for none takes it too.
    """
    kept = Path("~/.ray/auth_token").expanduser().exists()
    if kept or not {"RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"}.isdisjoint(os.environ):
        os.environ.setdefault("RAY_AUTH_MODE", "token")


def _check_answers(address: str) -> None:
    """Raise an OSError where nothing listens: Ray itself would try for minutes."""
    found = re.fullmatch(r"(?:ray://)?\[?(?P<host>[\w.:-]+?)\]?:(?P<port>\d+)", address)
    if found:
        socket.create_connection((found["host"], int(found["port"])), _ANSWER_SECONDS).close()


def _resources(options: Workers, cluster: Mapping[str, float]) -> dict[str, Any]:
    """What each worker gets; a GPU where there are any and nobody says how many."""
    threads = options.threads or (_THREADS if options.ray_address else 1)
    return {
        "num_cpus": threads,
        "num_gpus": float(cluster.get("GPU", 0) > 0) if options.gpus is None else options.gpus,
        **({"memory": int(options.memory * 1e9)} if options.memory else {}),
    }


def _wanted(resources: dict[str, Any]) -> dict[str, float]:
    """The same, as nodes name what they have."""
    names = {"num_cpus": "CPU", "num_gpus": "GPU", "memory": "memory"}
    return {names[key]: value for key, value in resources.items() if value}


def _room(ray: Any, resources: dict[str, Any]) -> int:
    """How many workers the cluster has room for, at least one."""
    there, wanted = ray.cluster_resources(), _wanted(resources)
    fits = [int(there.get(name, 0) / value + _ROUND) for name, value in wanted.items()]
    return max(1, min(fits, default=1))


def _check_fits(ray: Any, resources: dict[str, Any]) -> None:
    """Refuse what no node has: Ray would wait for it for ever."""
    wanted = _wanted(resources)
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    if any(all(node.get(k, 0) + _ROUND >= v for k, v in wanted.items()) for node in nodes):
        return
    asked = ", ".join(_amount(name, value) for name, value in wanted.items())
    most = {name: max((node.get(name, 0) for node in nodes), default=0) for name in wanted}
    has = ", ".join(_amount(name, value) for name, value in most.items())
    raise InputError(
        f"No node of the Ray cluster has {asked} for a worker (the most there is of each: {has}); "
        "ask for less with --threads, --gpus or --memory."
    )


def _amount(name: str, value: float) -> str:
    return f"{value / 1e9:g} GB of memory" if name == "memory" else f"{value:g} {name}s"


def _why(error: Exception) -> str:
    said = type(error).__name__
    return {
        "WorkerCrashedError": "its process was killed or crashed",
        "OutOfMemoryError": "memory ran out",
        "NodeDiedError": "its node is lost",
        "TaskCancelledError": "it was cancelled",
        "ObjectLostError": "its node is lost",
    }.get(said, f"{said}: {reason(error)}")
