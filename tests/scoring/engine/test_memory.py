"""Peak memory does not grow with vocabulary x text length."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

VOCABULARY, LENGTH = 60_000, 2_000
FULL_LOGITS = 4 * VOCABULARY * LENGTH / 2**20  # 458 MB, and a plain log-softmax has two of them.

SCRIPT = """
import sys
import numpy as np, torch
from mlflow_modelmap.scoring.engine.score_texts import score_model
from mlflow_modelmap.scoring.settings import ScoringSettings
from mlflow_modelmap.scoring.tokenizer.tokenize import TokenizedTexts
from tests import tiny
from tests.scoring.endings import BentEnd
from transformers import AutoModelForCausalLM

length, vocabulary = (int(word) for word in sys.argv[1:])
config = tiny.make_config(
    "gpt_neox", vocab_size=vocabulary, max_position_embeddings=length, num_hidden_layers=3
)
model = AutoModelForCausalLM.from_config(config)

def peak():
    with open("/proc/self/status") as file:
        return int(next(line for line in file if line.startswith("VmHWM")).split()[1]) / 1024

def forget_peak():
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")

def tokens(length):
    ids = tuple(np.random.default_rng(i).integers(0, vocabulary, length) for i in range(1))
    sizes = np.full(1, length)
    return TokenizedTexts(ids, ids, sizes, 1, False, (), "", "auto", False)

for bent in (False, True):
    for layers in (False, True):
        if bent:
            model.__class__ = BentEnd
        settings = ScoringSettings(layers=layers)
        score_model(model, tokens(40), settings)
        forget_peak()
        before = peak()
        result = score_model(model, tokens(length), settings)
        print("grown", int(layers), int(bent), result.provenance["head"], peak() - before)
"""


@pytest.fixture(scope="module")
def grown() -> dict[tuple[int, int], tuple[str, float]]:
    """Kind of head and MB, by whether the layers are asked for and whether the head is bent."""
    words = [str(word) for word in (LENGTH, VOCABULARY)]
    # All that is freed is given back, so that none of it hides what the next one takes.
    environment = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "131072"}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, *words],
        capture_output=True,
        text=True,
        timeout=600,
        env=environment,
    )
    assert done.returncode == 0, done.stderr
    lines = [line.split() for line in done.stdout.splitlines() if line.startswith("grown ")]
    return {(int(one[1]), int(one[2])): (one[3], float(one[4])) for one in lines}


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads peak memory from /proc")
@pytest.mark.parametrize(
    ("layers", "bent", "head"),
    [(0, 0, "tiled"), (1, 0, "tiled"), (0, 1, "replayed"), (1, 1, "replayed")],
)
def test_peak_memory_stays_far_below_the_full_logits(grown, layers, bent, head):
    kind, more = grown[layers, bent]
    assert kind == head
    # A replayed tail makes 64 MB of logits at a time, and a few copies of them.
    assert more < (FULL_LOGITS / 4 if head == "tiled" else FULL_LOGITS)
