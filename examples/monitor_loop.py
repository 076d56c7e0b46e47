"""Watch a model move on the model map in a training loop of your own.

    python examples/monitor_loop.py [--model EleutherAI/pythia-70m] [--train my_texts.txt]

Needs mlflow-modelmap and a model small enough to train here; without --train it trains on the
documentation that ships with Python. Every few steps the monitor scores 200 held-out texts and logs
into the active run how far the model moved; `record` also returns it, so that the loop can act on
it: this one stops when the model is farther from the base model than --max-kl. Each start is a
training of its own; the base model is scored only once.
"""

import argparse
import sys

import mlflow
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from mlflow_modelmap import Monitor, read_texts
from mlflow_modelmap.numerics.scale.in_words import in_words
from mlflow_modelmap.texts.sources.python_docs import python_docs_corpus
from mlflow_modelmap.words.value_and_error import with_error

BATCH, LENGTH = 8, 128  # blocks, and tokens in each

parser = argparse.ArgumentParser(
    description=(__doc__ or "").partition("\n")[0],
    formatter_class=argparse.ArgumentDefaultsHelpFormatter,
)
parser.add_argument("--model", default="EleutherAI/pythia-70m", help="org/name or a directory")
parser.add_argument("--train", help="text file or folder, JSONL, ...; without it Python's docs")
parser.add_argument("--texts", default="python-docs:200", help="held-out texts that are scored")
parser.add_argument("--steps", type=int, default=100, help="of training")
parser.add_argument("--record-every", type=int, default=20, help="steps between two records")
parser.add_argument("--max-kl", type=float, default=1.0, help="bits/byte from the base model")
parser.add_argument("--name", default="my loop", help="of the run")
args = parser.parse_args()

try:
    tokenizer = AutoTokenizer.from_pretrained(args.model)
except OSError as error:
    sys.exit(f"{args.model} cannot be loaded: {str(error).splitlines()[0]}")
model = AutoModelForCausalLM.from_pretrained(args.model, dtype=torch.float32).train()
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
documents = read_texts(args.train).texts if args.train else python_docs_corpus()
ids = torch.tensor(
    [i for text in documents for i in [*tokenizer(text)["input_ids"], tokenizer.eos_token_id]]
)
draws = torch.Generator().manual_seed(0)

with (
    mlflow.start_run(run_name=args.name) as run,
    Monitor(args.texts, tokenizer=tokenizer, reference=args.model) as monitor,
):
    monitor.start(model, total_steps=args.steps)
    for step in range(args.steps + 1):
        if step:  # step 0 is the base model as it is
            starts = torch.randint(len(ids) - LENGTH, (BATCH, 1), generator=draws)
            batch = ids[starts + torch.arange(LENGTH)]
            loss = model(input_ids=batch, labels=batch).loss
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            mlflow.log_metric("loss", loss.item(), step=step)
        if step % args.record_every and step < args.steps:
            continue
        recorded = monitor.record(model, step)
        if recorded is None:  # it could not be recorded, a warning says why, training goes on
            continue
        kl, se = recorded.kl_reference, recorded.kl_reference_se
        print(f"step {step}: {with_error(kl, se)} bits/byte from the base model")
        if kl > args.max_kl:
            print(f"That is {in_words(kl, se)}: stopped.")
            break

where = f"#/experiments/{run.info.experiment_id}/runs/{run.info.run_id}"
print(f"To see the curves: mlflow server --backend-store-uri '{mlflow.get_tracking_uri()}'")
print(f"and open http://127.0.0.1:5000/{where}/model-metrics")
