"""Peak memory does not grow with vocabulary x text length."""

from __future__ import annotations

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

layers, bent, length, vocabulary = (int(word) for word in sys.argv[1:])
config = tiny.make_config(
    "gpt_neox", vocab_size=vocabulary, max_position_embeddings=length, num_hidden_layers=3
)
model = AutoModelForCausalLM.from_config(config)
if bent:
    model.__class__ = BentEnd

def peak():
    with open("/proc/self/status") as file:
        return int(next(line for line in file if line.startswith("VmHWM")).split()[1]) / 1024

def tokens(length):
    ids = tuple(np.random.default_rng(i).integers(0, vocabulary, length) for i in range(3))
    sizes = np.full(3, length)
    return TokenizedTexts(ids, ids, sizes, 1, False, (), "", "auto", False)

settings = ScoringSettings(layers=bool(layers))
score_model(model, tokens(40), settings)
before = peak()
result = score_model(model, tokens(length), settings)
print(result.provenance["head"], peak() - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads peak memory from /proc")
@pytest.mark.parametrize(
    ("layers", "bent", "head"),
    [(0, 0, "tiled"), (1, 0, "tiled"), (0, 1, "replayed"), (1, 1, "replayed")],
)
def test_peak_memory_stays_far_below_the_full_logits(layers, bent, head):
    words = [str(word) for word in (layers, bent, LENGTH, VOCABULARY)]
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, *words], capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr
    kind, grown = done.stdout.split()[-2:]
    assert kind == head
    # A replayed tail makes 64 MB of logits at a time, and a few copies of them.
    assert float(grown) < (FULL_LOGITS / 4 if head == "tiled" else FULL_LOGITS)
