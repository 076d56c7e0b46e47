"""Turn the authors' released pickles of Pythia's pretraining into MLflow runs.

The paper's authors publish log-likelihoods and weight distances as Python pickles
(https://github.com/shimo-lab/modelmap, folder kl-scale/data). Unpickling runs whatever the file
says, so mlflow-modelmap never does it. This script does, through an unpickler that knows nothing
but what NumPy arrays and pandas tables are rebuilt with, and refuses a file that names more.

    python examples/released_pickles.py log-likelihoods data/logp/pretraining_logp.pkl \\
        --texts data/texts.json
    python examples/released_pickles.py weights data/weight_distance/weight_distance.pkl

The first makes one score run a checkpoint, the second one run of kind weights; both print what to
do next. Tables 1 to 4 are then printed by examples/paper_tables.py.
"""

from __future__ import annotations

import argparse
import os
import pickle
import re
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd

from mlflow_modelmap import ModelMapError, TextSet, read_texts
from mlflow_modelmap.errors import InputError
from mlflow_modelmap.tracking.runs.study_run import write_study
from mlflow_modelmap.tracking.store.client import check_reachable
from mlflow_modelmap.tracking.store.experiments import experiment_id
from mlflow_modelmap.tracking.store.quiet import quiet

EXPERIMENT = "pythia-released"
ORIGINAL_SEED = "1234"
STEPS = [0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, *range(1_000, 143_001, 1_000)]

ALLOWED = frozenset(
    {
        ("_codecs", "encode"),
        ("builtins", "slice"),
        ("collections", "OrderedDict"),
        ("numpy", "dtype"),
        ("numpy", "ndarray"),
        ("numpy.core.multiarray", "_reconstruct"),
        ("numpy.core.multiarray", "scalar"),
        ("numpy.core.numeric", "_frombuffer"),
        ("numpy._core.multiarray", "_reconstruct"),
        ("numpy._core.multiarray", "scalar"),
        ("numpy._core.numeric", "_frombuffer"),
        ("pandas", "DataFrame"),
        ("pandas", "Index"),
        ("pandas", "RangeIndex"),
        ("pandas._libs.internals", "_unpickle_block"),
        ("pandas.core.frame", "DataFrame"),
        ("pandas.core.indexes.base", "Index"),
        ("pandas.core.indexes.base", "_new_Index"),
        ("pandas.core.indexes.range", "RangeIndex"),
        ("pandas.core.internals.managers", "BlockManager"),
    }
)


class RestrictedUnpickler(pickle.Unpickler):
    """Rebuilds arrays and tables, and nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in ALLOWED:
            raise InputError(
                f"The pickle asks for {module}.{name}, which is no part of an array or a table, so "
                "it was not read; get the file from the authors again."
            )
        return super().find_class(module, name)


def read_pickle(path: str | os.PathLike[str]) -> Any:
    """What a pickle of arrays and tables holds."""
    try:
        with open(path, "rb") as file:
            return RestrictedUnpickler(file).load()
    except OSError as error:
        raise InputError(
            f"The file {os.fspath(path)!r} cannot be read: {error.strerror}."
        ) from None
    except (pickle.UnpicklingError, EOFError, AttributeError, IndexError, ValueError) as error:
        raise InputError(
            f"The file {os.fspath(path)!r} is no pickle of arrays ({error}); a Git LFS pointer "
            "must be fetched first (git lfs pull)."
        ) from None


def checkpoints(released: Any, texts: int) -> Iterator[tuple[str, int, np.ndarray]]:
    """Size, step and log-likelihoods of each released checkpoint; missing ones (None) are not."""
    if not isinstance(released, dict) or not all(isinstance(v, dict) for v in released.values()):
        raise InputError(
            "The pickle holds no dictionary of sizes and steps; give pretraining_logp.pkl."
        )
    for size, by_step in released.items():
        for step, vector in sorted(by_step.items()):
            if vector is None:
                continue
            values = np.asarray(vector, dtype=np.float64)
            if values.shape != (texts,):
                raise InputError(
                    f"Step {step} of {size} has log-likelihoods of shape {values.shape}, but there "
                    f"are {texts} texts; give the texts that belong to the file."
                )
            yield str(size), int(step), values


def write_scores(released: Any, texts: TextSet, experiment: str) -> int:
    """One finished score run a checkpoint; returns how many."""
    store = check_reachable()
    where = experiment_id(experiment, store)
    count = 0
    for size, step, values in checkpoints(released, len(texts)):
        seed = re.search(r"seed(\d+)$", size)
        name = f"pythia-{size}"
        tags = {
            "modelmap.schema": "1",
            "modelmap.kind": "score",
            "modelmap.model": f"EleutherAI/{name}",
            "modelmap.revision": f"step{step}",
            "modelmap.trajectory": name,
            "modelmap.step": str(step),
            "modelmap.model_type": "pythia",
            "modelmap.precision": "float16",
            "modelmap.text_set": texts.digest,
            "modelmap.text_set_name": texts.name,
            "seed": seed.group(1) if seed else ORIGINAL_SEED,
        }
        run = store.create_run(where, run_name=f"{name} step {step}", tags=tags)
        frame = pd.DataFrame(
            {
                "text": np.arange(len(values)),
                "layer": pd.array([None] * len(values), dtype="Int64"),
                "log_likelihood": values,
                "scored_tokens": 0,  # not released
                "bytes": texts.bytes,
            }
        )
        with tempfile.TemporaryDirectory() as folder, quiet():
            frame.to_parquet(Path(folder) / "log_likelihoods.parquet", index=False)
            store.log_artifacts(run.info.run_id, folder, "modelmap")
        bits = -values.mean() / (texts.mean_bytes * np.log(2))
        store.log_metric(run.info.run_id, "modelmap/bits_per_byte", float(bits), step=step)
        store.set_terminated(run.info.run_id, "FINISHED")
        count += 1
    return count


def weight_table(released: Any) -> pd.DataFrame:
    """Squared distances of the released upper triangles, in which 0 means "not computed"."""
    if not isinstance(released, dict) or not released:
        raise InputError("The pickle holds no dictionary of sizes; give weight_distance.pkl.")
    steps = np.array(STEPS)
    frames = []
    for size, matrix in released.items():
        table = np.asarray(matrix, dtype=np.float64)
        if table.shape != (len(STEPS), len(STEPS)):
            raise InputError(
                f"The distances of {size} have the shape {table.shape}, not that of Pythia's "
                f"{len(STEPS)} checkpoints."
            )
        i, j = np.nonzero(np.triu(table, 1))
        frames.append(
            pd.DataFrame(
                {
                    "trajectory": f"pythia-{size}",
                    "step_from": steps[i],
                    "step": steps[j],
                    "squared_distance": table[i, j],
                }
            )
        )
    return pd.concat(frames, ignore_index=True)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=["log-likelihoods", "weights"])
    parser.add_argument("pickle")
    parser.add_argument("--texts", help="the authors' texts.json, for the log-likelihoods")
    parser.add_argument("--experiment", default=EXPERIMENT)
    parser.add_argument("--tracking-uri")
    given = parser.parse_args(arguments)
    if given.tracking_uri:
        mlflow.set_tracking_uri(given.tracking_uri)
    if given.what == "weights":
        table = weight_table(read_pickle(given.pickle))
        run_id = write_study(
            "weights",
            tables={"weight_distances": table},
            name="released weight distances",
            experiment=given.experiment,
        )
        print(f"Run {run_id} holds {len(table):,} distances; give it as --weights-run.")
        return
    if not given.texts:
        parser.error("--texts is needed for the log-likelihoods")
    texts = read_texts(given.texts, name="released Pile texts", allow_duplicates=True)
    count = write_scores(read_pickle(given.pickle), texts, given.experiment)
    print(
        f"{count:,} score runs in {given.experiment!r}. Next:\n"
        f"  modelmap trajectory --experiment {given.experiment} "
        f"--filter \"tags.seed = '{ORIGINAL_SEED}'\" --start 120000 --leave-out-anomalies"
    )


if __name__ == "__main__":
    try:
        main()
    except ModelMapError as error:
        sys.exit(f"Error: {error}")
