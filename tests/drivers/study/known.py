"""What the KL divergence between vectors that `write_run` writes must be."""

from __future__ import annotations

import numpy as np

N = 200
MEAN_BYTES = 20 + (N - 1) / 2


def expected_kl(first, second):
    return np.var(first - second) / (2 * MEAN_BYTES * np.log(2))
