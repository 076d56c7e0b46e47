"""Made-up registered models whose vectors descend from each other."""

from __future__ import annotations

import contextlib

import mlflow
import numpy as np
from mlflow import MlflowClient

from mlflow_modelmap.drivers.lineage.lineage import lineage
from mlflow_modelmap.numerics.divergence.kl import kl_between
from tests.scored import write_score

TEXTS = 400


class Models:
    """Made-up models: registered versions with a score, whose vectors descend from each other."""

    def __init__(self, store):
        self.store = store
        self.client = MlflowClient(store)
        self.random = np.random.default_rng(0)
        self.size = self.random.integers(60, 120, TEXTS)
        self.vectors = {}

    def vector(self, name, *parents, change=3.0):
        if parents:
            base = np.mean([self.vectors[p] for p in parents], axis=0)
        else:
            base = -60 - 0.8 * self.size + self.random.normal(0, 20.0, TEXTS)
        self.vectors[name] = base + self.random.normal(0, change, TEXTS)
        return self.vectors[name]

    def version(self, name, *parents, score=True, tags=None, change=3.0, **options):
        """Register version 1 (or the next) of a model; its label comes back."""
        with contextlib.suppress(mlflow.exceptions.MlflowException):
            self.client.create_registered_model(name)
        options.setdefault("source", f"/models/{name}")
        made = self.client.create_model_version(name, tags=tags, **options)
        label = f"{name}/{made.version}"
        vector = self.vector(label, *parents, change=change)
        if score:
            write_score(self.store, label, vector, self.size, model=f"models:/{label}")
        return label

    def kl(self, a, b):
        mean = self.size.mean()
        return kl_between(self.vectors[a], self.vectors[b], mean, text_bytes=self.size)


def measure(**options):
    return lineage(
        registered_models="name LIKE 'team-%'", **{"score": False, "hub": False, **options}
    )


def rows(found):
    return found.table.set_index("child")
