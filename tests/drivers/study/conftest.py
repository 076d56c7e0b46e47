"""Runs whose distances are known beforehand."""

from __future__ import annotations

import numpy as np
import pytest

from tests.drivers.study.known import N
from tests.tracking.conftest import write_run  # noqa: F401 - a fixture


@pytest.fixture
def family(write_run):  # noqa: F811
    """Two types of three models; quantisation pushes each type its own way."""
    generator = np.random.default_rng(7)
    vectors = {}
    for kind in ("llama", "mistral"):
        push = generator.normal(size=N)
        for number in range(3):
            name = f"org/{kind}-{number}"
            own = -50 + 5 * generator.normal(size=N)
            copy = own + push + 0.1 * generator.normal(size=N)
            vectors[name], vectors[name, "int8"] = own, copy
            write_run(name, own, model=name, model_type=kind, precision="float16")
            write_run(f"{name} int8", copy, model=name, model_type=kind, precision="int8")
    return vectors
