"""What did each fine-tune do to its parent? Ask the Model Registry.

    python examples/registry_lineage.py [--model EleutherAI/pythia-70m] [--steps 100]

Registers a base model and two fine-tunes of it, one on documentation and one on code that ship with
Python, with MLflow's usual `log_model`; a tag `base_model` on each version names its parent. The
lineage study then scores the versions and says how far each is from its parent, and whether that
parent is the nearest model of the registry; the result is a run "lineage" with a tree, and tags on
the versions. With models in a registry already, its last part is all that is needed. Started again,
nothing is trained or scored twice. Needs mlflow-modelmap.
"""

import argparse
import asyncio
import sys
from pathlib import Path

import mlflow
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from mlflow_modelmap import lineage
from mlflow_modelmap.numerics.scale.in_words import in_words
from mlflow_modelmap.texts.sources.python_docs import python_docs_corpus
from mlflow_modelmap.words.value_and_error import with_error

FAMILY = "my-model"  # registered models are called my-model-base, my-model-docs, my-model-code
BATCH, LENGTH = 8, 128  # blocks, and tokens in each


def fine_tune(model, tokenizer, documents, steps):
    end = tokenizer.eos_token_id
    ids = [i for text in documents for i in [*tokenizer(text)["input_ids"], end]]
    blocks = torch.tensor(ids).unfold(0, LENGTH, LENGTH)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
    draws = torch.Generator().manual_seed(0)
    for _ in range(steps):
        batch = blocks[torch.randint(len(blocks), (BATCH,), generator=draws)]
        model(input_ids=batch, labels=batch).loss.backward()
        optimizer.step()
        optimizer.zero_grad()


parser = argparse.ArgumentParser(
    description=(__doc__ or "").partition("\n")[0],
    formatter_class=argparse.ArgumentDefaultsHelpFormatter,
)
parser.add_argument("--model", default="EleutherAI/pythia-70m", help="the base model")
parser.add_argument("--steps", type=int, default=100, help="of each fine-tuning")
parser.add_argument("--texts", default="python-docs:200", help="what the versions are scored on")
args = parser.parse_args()

client = mlflow.MlflowClient()
library = sorted(Path(asyncio.__file__).parent.glob("*.py"))
code = [file.read_text(encoding="utf-8") for file in library]
for name, documents in (("base", []), ("docs", python_docs_corpus()), ("code", code)):
    registered = f"{FAMILY}-{name}"
    if not client.search_model_versions(f"name = '{registered}'"):
        try:
            tokenizer = AutoTokenizer.from_pretrained(args.model)
        except OSError as error:
            sys.exit(f"{args.model} cannot be loaded: {str(error).splitlines()[0]}")
        model = AutoModelForCausalLM.from_pretrained(args.model, dtype=torch.float32)
        if documents:
            fine_tune(model.train(), tokenizer, documents, args.steps)
        with mlflow.start_run(run_name=registered):
            mlflow.transformers.log_model(
                {"model": model.eval(), "tokenizer": tokenizer},
                name="model",
                task="text-generation",
                registered_model_name=registered,
                pip_requirements=["torch", "transformers"],
            )
    if documents:
        client.set_model_version_tag(registered, "1", "base_model", f"models:/{FAMILY}-base/1")

study = lineage(registered_models=f"name LIKE '{FAMILY}-%'", texts=args.texts)

print("What each did to its parent, in bits/byte:")
for row in study.table.dropna(subset=["kl"]).itertuples():
    words = in_words(row.kl, row.se).partition(";")[0]
    print(f"  {row.child} from {row.parent}: {with_error(row.kl, row.se)}, {words}")
    print(f"    nearest of all: {row.nearest} ({row.verdict})")
for notice in study.notices:
    print(f"Note: {notice}")
run = mlflow.get_run(study.run_id).info
print(f"The tree: mlflow server --backend-store-uri '{mlflow.get_tracking_uri()}'")
print(f"and open http://127.0.0.1:5000/#/experiments/{run.experiment_id}/runs/{run.run_id}")
