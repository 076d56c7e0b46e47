"""Compare a model with its quantised copies: which precision keeps the model what it is?

    python examples/compare_quantisations.py [--model MODEL] [--texts my_texts.jsonl]

Needs mlflow-modelmap[quantization]; bitsandbytes quantises on CPU too. Scores the model in float32,
int8, nf4 and fp4, one MLflow run each, prints for each copy the KL divergence (bits/byte) from the
original with its standard error and in words, and logs a run "quantization" with the figures. What
is scored already is not scored again.
"""

import argparse
import sys

import mlflow

from mlflow_modelmap import ModelMapError, score, study_quantization
from mlflow_modelmap.numerics.scale.in_words import in_words
from mlflow_modelmap.words.value_and_error import with_error

PRECISIONS = ("float32", "int8", "nf4", "fp4")  # the first one is the original

parser = argparse.ArgumentParser(
    description=(__doc__ or "").partition("\n")[0],
    formatter_class=argparse.ArgumentDefaultsHelpFormatter,
)
parser.add_argument("--model", default="EleutherAI/pythia-70m", help="org/name, a directory, ...")
parser.add_argument("--texts", default="python-docs:200", help="what it is scored on")
args = parser.parse_args()

try:
    scored = {p: score(args.model, args.texts, precision=p) for p in PRECISIONS}
except ModelMapError as error:  # a sentence: no network, no such model, no texts
    sys.exit(str(error))
study = study_quantization(run_ids=[one.run_id for one in scored.values()])

print(f"{args.model} on {args.texts}: {scored['float32'].bits_per_byte:.4f} bits per byte")
print("\nprecision  bits per byte  KL to the original      in words")
for row in study.pairs.sort_values("kl").itertuples():
    bits = scored[row.precision].bits_per_byte
    kl, words = with_error(row.kl, row.se), in_words(row.kl, row.se).partition(";")[0]
    print(f"{row.precision:10} {bits:<14.4f} {kl:23} {words}")

run = mlflow.get_run(study.run_id).info
print(f"\nFigures: mlflow server --backend-store-uri '{mlflow.get_tracking_uri()}'")
print(f"and open http://127.0.0.1:5000/#/experiments/{run.experiment_id}/runs/{run.run_id}")
