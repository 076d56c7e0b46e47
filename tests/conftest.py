"""Fixtures that every part uses: tiny models, a text set, a real sqlite store."""

from __future__ import annotations

import contextlib
import functools
import gc
import json
import logging.config
import os
import sqlite3
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("TRITON_INTERPRET", "1")  # which triton reads when it is imported
# Three requests a score, which tests/tracking/runs/test_logged_model.py makes.
os.environ.setdefault("MLFLOW_MODELMAP_LOGGED_MODELS", "false")

from mlflow_modelmap import TextSet
from tests import tiny

if TYPE_CHECKING:
    from tests.page_site import Site


TOGETHER = {
    **dict.fromkeys(
        ("tests/e2e/test_page.py", "tests/e2e/test_accessibility.py"), "the page's server"
    ),
    **{
        f"tests/drivers/trajectory/test_{name}.py": "a study of trajectories"
        for name in ("anomalies", "measures", "record", "study", "text_dependence")
    },
}
"""Files that one worker takes, because what they need takes long to start."""


SLOW = Path(__file__).with_name("slow.txt")
"""Tests that took more than a second, which `make test-quick` leaves out as those marked slow."""


def noted_slow() -> set[str]:
    """Names of tests, without their parameters."""
    return set(SLOW.read_text(encoding="utf-8").split())


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--note-slow", action="store_true", help="write tests/slow.txt anew")


def pytest_configure(config: pytest.Config) -> None:
    gc.set_threshold(50_000, 10, 10)  # what is imported stays
    if config.getoption("--note-slow") and "PYTEST_XDIST_WORKER" not in os.environ:
        config.pluginmanager.register(NotedSlow())


class NotedSlow:
    """Sums up what each test takes, its fixtures too, and writes the slow ones down at the end."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.seconds[report.nodeid] += report.duration

    def pytest_sessionfinish(self) -> None:
        run = {test.partition("[")[0] for test in self.seconds}
        slow = {test.partition("[")[0] for test, took in self.seconds.items() if took > 1.0}
        slow |= {test for test in noted_slow() - run if Path(test.partition("::")[0]).exists()}
        SLOW.write_text("".join(f"{test}\n" for test in sorted(slow)), encoding="utf-8")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests come first, so that no worker has one left when all others are done."""
    noted = noted_slow()
    for item in items:
        if item.nodeid.partition("[")[0] in noted:
            item.add_marker("slow")
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: (item.path not in slow, item.path.parent.name != "examples"))


@pytest.fixture(scope="module", autouse=True)
def what_is_there_stays() -> None:
    """What was imported is looked through no more: half a second, each time a model is let go."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """As `--dist loadfile` is, in the order of above and with the files that go together."""
    if config.getvalue("dist") != "loadfile":
        return None
    from xdist.scheduler import LoadFileScheduling

    class Scheduling(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = super()._split_scope(nodeid)
            return TOGETHER.get(file, file)

    config.option.loadscopereorder = False
    return Scheduling(config, log)


@pytest.fixture(autouse=True)
def clean_mlflow(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No active run, tracking URI or MLFLOW_* identity leaks from one test into the next."""
    names = (
        "MLFLOW_RUN_ID",
        "MLFLOW_EXPERIMENT_ID",
        "MLFLOW_EXPERIMENT_NAME",
        "MLFLOW_TRACKING_URI",
        "MLFLOW_REGISTRY_URI",
    )
    for name in names:
        monkeypatch.delenv(name, raising=False)
    yield
    for name in names:
        os.environ.pop(name, None)  # MLflow itself sets some, and fixtures of modules come first
    import sys

    mlflow = sys.modules.get("mlflow")
    if mlflow is not None:
        while mlflow.active_run():
            mlflow.end_run()
        mlflow.set_tracking_uri(None)
        mlflow.set_registry_uri(None)
        from mlflow.tracking import fluent

        fluent._active_experiment_id = None


@pytest.fixture(scope="session")
def _empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated, empty sqlite store: migrating takes seconds, copying it does not."""
    import mlflow

    hasten_databases()
    path = tmp_path_factory.mktemp("store") / "mlflow.db"
    client = mlflow.MlflowClient(f"sqlite:///{path}")
    client.search_experiments()
    return path


def hasten_databases() -> None:
    """Spare this process what every new store costs and no test is about.

    MLflow reads its 70 migrations to learn the name of the last one, and sqlite waits for the disk
    after every write, so that it survives a machine (not a process) that dies.
    """
    import sqlalchemy
    from mlflow.store.db import utils

    def without_waiting(connection: Any, _: Any) -> None:
        if isinstance(connection, sqlite3.Connection):
            with contextlib.suppress(sqlite3.Error):  # a damaged or locked one says so later
                connection.execute("PRAGMA synchronous = OFF")

    # MLflow 3.5 sets up all of logging where it makes tables, and pytest would hear no more.
    logging.config.fileConfig = lambda *_, **__: None
    utils._get_latest_schema_revision = functools.cache(utils._get_latest_schema_revision)
    sqlalchemy.event.listen(sqlalchemy.engine.Engine, "connect", without_waiting)


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory, _empty_store: Path) -> Site:
    """A store with one of everything that the page shows; made once for all workers, and read."""
    from filelock import FileLock

    from tests.page_site import Site, make_site

    base = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        base = base.parent
    folder, written = base / "site", base / "site" / "site.json"
    with FileLock(base / "site.lock"):
        if not written.exists():
            folder.mkdir()
            written.write_text(json.dumps(make_site(folder, _empty_store)), encoding="utf-8")
    return Site(*json.loads(written.read_text(encoding="utf-8")))


@pytest.fixture
def store(_empty_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The URI of a fresh sqlite tracking store, set as current; artifacts lie beside it.

    The experiment ``test`` is made and active.
    """
    import shutil

    import mlflow

    shutil.copy(_empty_store, tmp_path / "mlflow.db")
    monkeypatch.chdir(tmp_path)
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    mlflow.set_tracking_uri(uri)
    mlflow.MlflowClient(uri).create_experiment(
        "test", artifact_location=(tmp_path / "artifacts").as_uri()
    )
    mlflow.set_experiment("test")
    return uri


@pytest.fixture(scope="session")
def tiny_models(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """A factory of tiny models on disk: `tiny_models("llama", seed=1)`; made once a session."""
    made: dict[Any, Path] = {}

    def make(architecture: str = "gpt_neox", seed: int = 0, **options: Any) -> Path:
        key = (architecture, seed, tuple(sorted(options.items())))
        if key not in made:
            folder = tmp_path_factory.mktemp(f"{architecture}-{seed}-")
            made[key] = tiny.make_model(folder, architecture, seed, **options)
        return made[key]

    return make


@pytest.fixture(scope="session")
def tiny_model(tiny_models: Callable[..., Path]) -> Path:
    """A tiny random GPT-NeoX on disk."""
    return tiny_models("gpt_neox")


@pytest.fixture(scope="session")
def texts() -> TextSet:
    """24 short texts of different lengths."""
    written = tuple(
        f"{sentence[: 20 + 7 * variant]} #{variant}"
        for sentence in tiny.SENTENCES
        for variant in range(4)
    )
    return TextSet("short texts", written)


@pytest.fixture(autouse=True)
def spool_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The spool of this test."""
    monkeypatch.setenv("MLFLOW_MODELMAP_SPOOL", str(tmp_path / "spool"))
    return tmp_path / "spool"


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures are files in which nothing is drawn, and t-SNE is over soon: seconds for each map.

    For tests of what runs hold besides; others, and those of `figures`, look at the pictures.
    """
    from matplotlib.figure import Figure
    from sklearn.manifold import _t_sne

    descent = _t_sne._gradient_descent

    def short(*arguments: Any, it: int, max_iter: int, **options: Any) -> Any:
        return descent(*arguments, it=it, max_iter=min(max_iter, it + 10), **options)

    monkeypatch.setattr(_t_sne, "_gradient_descent", short)
    monkeypatch.setattr(Figure, "savefig", lambda _, path, **__: Path(path).write_bytes(b"PNG"))
    monkeypatch.setattr(Figure, "draw_without_rendering", lambda _: None)


@pytest.fixture
def all_runs(store: str) -> Callable[[], list[Any]]:
    """Every run of every experiment, oldest first."""
    import mlflow

    client = mlflow.MlflowClient(store)

    def read() -> list[Any]:
        ids = [experiment.experiment_id for experiment in client.search_experiments()]
        return sorted(client.search_runs(ids), key=lambda run: run.info.start_time)

    return read
