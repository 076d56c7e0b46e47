"""A store with one of everything that the server page shows, and of what it must not show."""

from __future__ import annotations

import io
import shutil
from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import mlflow
import numpy as np
import pandas as pd
from mlflow import MlflowClient
from mlflow.entities import Metric, RunTag

from mlflow_modelmap import ModelMap, TextSet, build_map, build_scale, lineage, trajectory
from mlflow_modelmap.drivers.gate.gate import gate
from mlflow_modelmap.tracking.runs.study_run import square_table, write_study
from tests.scored import made_up, write_family, write_score

NASTY = "<script>alert(1)</script><img src=x onerror=alert(2)>"
STEPS = tuple(range(0, 13_000, 1_000))


class Site(NamedTuple):
    """Ids of runs by what they are, and of experiments by name."""

    store: str
    runs: dict[str, str]
    experiments: dict[str, str]


def make_site(folder: Path, empty_store: Path) -> Site:
    """Write everything into a copy of an empty store in a folder."""
    shutil.copy(empty_store, folder / "mlflow.db")
    store = f"sqlite:///{folder / 'mlflow.db'}"
    mlflow.set_tracking_uri(store)
    try:
        return _fill(store)
    finally:
        mlflow.set_tracking_uri(None)


def _fill(store: str) -> Site:
    client = MlflowClient(store)
    artifacts = (Path(store.partition("///")[2]).parent / "artifacts").as_uri()
    experiments = {
        name: client.create_experiment(name, artifact_location=f"{artifacts}/{k}")
        for k, name in enumerate(("family", "scored only", "no runs", "deleted", NASTY))
    }
    ids = write_family(store, STEPS, experiment="family")
    for k, run_id in enumerate(ids):
        client.set_tag(run_id, "team", f"team {k % 3}")
        client.set_tag(run_id, "learning_rate", str(0.001 * (k + 1)))
    client.set_tag(ids[0], "team", NASTY)
    values, size = made_up(len(STEPS))
    size = made_up(len(STEPS), seed=0)[1]
    nasty = write_score(store, NASTY, values[2] + 1.0, size, experiment=NASTY, model_type=NASTY)
    write_score(
        store,
        "child",
        values[-1] + made_up(2, seed=9)[0][0] / 50,
        size,
        experiment="family",
        base_model="tiny seed 0 step 12000",
    )
    gone = write_score(store, "gone", values[3] + 2.0, size, experiment="family")
    runs = {"member": ids[0], "nasty": nasty, "gone": gone}
    where = {"output_experiment": "family"}
    made = build_map(["family", NASTY], name=f"map {NASTY}", **where)
    runs["map"] = made.run_id
    client.delete_run(gone)
    runs["trajectory"] = trajectory(["family"], figures=False, tag_runs=False, **where).run_id
    runs["scale"] = build_scale(["family"], groups=["team"], **where).run_id
    write_score(store, "alone", values[0], size, experiment="scored only")  # as the first step
    orphan = values[5] + made_up(2, seed=10)[0][0] / 50
    of_none = {"base_model": "org/never-scored", "experiment": "scored only"}
    write_score(store, "orphan", orphan, size, **of_none)
    both = ["family", "scored only"]
    runs["lineage"] = lineage(both, hub=False, score=False, write_tags=False, **where).run_id
    for name in ("deleted map", "damaged", "newer", "unfinished", "in deleted"):
        runs[name] = _copy(made, name, "deleted" if name == "in deleted" else "family")
    client.delete_run(runs["deleted map"])
    (_artifacts(client, runs["damaged"]) / "points.parquet").write_bytes(b"PAR1 nothing PAR1")
    client.set_tag(runs["newer"], "modelmap.schema", "99")
    client.update_run(runs["unfinished"], status="RUNNING")
    client.delete_experiment(experiments["deleted"])
    runs["monitor"] = _monitored(client, experiments["family"])
    runs |= _gated(store)
    runs |= _studied()
    return Site(store, runs, experiments)


def _copy(made: ModelMap, name: str, experiment: str) -> str:
    """The same map once more, without its pictures."""
    tables = {
        "points": made.points,
        "kl": square_table(made.kl.columns, made.kl.to_numpy()),
        "kl_standard_error": square_table(made.kl.columns, made.kl_standard_error.to_numpy()),
        "nearest": made.nearest,
    }
    return write_study("map", tables=tables, name=name, experiment=experiment)


def _studied() -> dict[str, str]:
    """A study of each kind that compares models with their copies, and one that no page shows."""
    names = ["alpha", "alpha", NASTY]
    copies = pd.DataFrame(
        {
            **{"model": names, "model_type": ["a", "a", "b"], "precision": ["int8", "nf4", "int8"]},
            **{"original": names, "copy": [f"{name} copy {k}" for k, name in enumerate(names)]},
            **{"kl": [0.002, 0.03, 0.0], "se": [0.0002, 0.004, 0.0]},
        }
    )
    layers = pd.DataFrame(
        [
            {"model": name, "model_type": "a", "layer_from": k, "layer": k + 1}
            | {"kl": 10.0 / 3**k, "se": 0.5 / 3**k}
            for name in ("alpha", NASTY)
            for k in range(5)
        ]
    )
    shifts = pd.DataFrame(
        {
            **{
                "model": names,
                "prompt": ["as a poet", "as a lawyer", NASTY],
                "kl": [0.5, 1.5, 4.0],
            },
            **{"se": [0.05, 0.1, 0.4], "bits_per_byte": [1.0, 1.1, 1.2]},
            **{"bits_change": [0.01, -0.02, 0.03], "bits_change_se": [0.001, 0.002, 0.003]},
        }
    )
    pairs = pd.DataFrame(
        {
            **{"first": ["alpha", "alpha"], "second": ["beta", NASTY]},
            **{"pair": ["alpha || beta", f"alpha || {NASTY}"]},
            **{"forward": [0.2, 2.5], "forward_se": [0.02, 0.1], "forward_low": [0.17, 2.3]},
            **{"forward_high": [0.25, 2.8], "reverse": [0.3, 2.0], "reverse_se": [0.03, 0.1]},
            **{
                "top1": [0.9, 0.4],
                "top1_se": [0.01, 0.02],
                "texts": [60, 60],
                "tokens": [9e3, 9e3],
            },
        }
    )
    tables = {
        "quantization": {"quantization": copies},
        "layers": {"layers": layers},
        "prompts": {"prompt_shifts": shifts, "prompt_additivity": shifts.head(0)},
        "exact": {"exact": pairs},
        "weights": {},
    }
    return {
        kind: write_study(
            kind,
            tables=of,
            metrics={"texts": 60},
            notices=[f"About {NASTY}."],
            name=f"study of {kind}",
            experiment="family",
        )
        for kind, of in tables.items()
    }


def _artifacts(client: MlflowClient, run_id: str) -> Path:
    return Path(urlsplit(client.get_run(run_id).info.artifact_uri).path) / "modelmap"


def _gated(store: str) -> dict[str, str]:
    """A gate that fails, in one experiment with the reference; the candidate is in another."""
    texts = TextSet(NASTY, tuple(f"a text of some length, number {k}" for k in range(60)))
    random = np.random.default_rng(3)
    reference, change = random.normal(-50, 5, 60), random.normal(0, 1, 60)
    runs = {
        role: write_score(store, name, row, texts.bytes, digest=texts.digest, experiment=where)
        for role, name, row, where in (
            ("gate's reference", "champion", reference, "family"),
            ("gate's candidate", f"challenger {NASTY}", reference + change, NASTY),
        )
    }
    decided = gate(
        runs["gate's candidate"],
        runs["gate's reference"],
        texts,
        max_kl=1e-9,
        max_bits_per_byte_increase=1.0,
        experiment="family",
    )
    return {**runs, "gate": decided.run_id}


def _monitored(client: MlflowClient, experiment: str) -> str:
    """A training that goes on, as its monitor writes it: a table, and of it a few metrics."""
    tags = {"modelmap.schema": "1", "modelmap.kind": "monitor", "modelmap.trajectory": "going on"}
    run_id = client.create_run(experiment, run_name="going on", tags=tags).info.run_id
    client.log_text(run_id, RECORDED, "modelmap/checkpoints.csv")
    few = ("bits_per_byte", "kl_previous", "diffusion_exponent", "anomaly")
    said = RunTag("modelmap.anomaly", "step 300: jump: 4.0 times the expected KL; really")
    counted = RunTag("modelmap.checkpoints", "3")
    client.log_batch(run_id, recorded_metrics(few), tags=[counted, said])
    return run_id


RECORDED = """\
step,bits_per_byte,kl_previous,kl_previous_se,diffusion_exponent,diffusion_exponent_low,\
diffusion_exponent_high,anomaly,model
100,2.5,,,,,,,
200,2.0,0.05,0.005,,,,1.0,
300,1.5,0.033333333333333333,0.0033333333333333333,1.0,0.5,1.5,,
"""


def recorded_metrics(names: Collection[str]) -> list[Metric]:
    """The numbers of that table under some names, as metrics."""
    rows = pd.read_csv(io.StringIO(RECORDED)).set_index("step")[list(names)].stack().dropna()
    return [
        Metric(f"modelmap/{name}", value, 1, step) for (step, name), value in rows.to_dict().items()
    ]
