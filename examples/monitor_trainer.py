"""Fine-tune a language model with the Hugging Face Trainer and watch it move on the model map.

    python examples/monitor_trainer.py [--model EleutherAI/pythia-70m] [--train my_texts.txt]

Needs mlflow-modelmap and a model small enough to train here; without --train it trains on the
documentation that ships with Python. At each save the callback scores 200 held-out texts and logs,
into the run that the Trainer logs its losses to, the KL divergence (bits/byte) from the checkpoint
before and from the base model, and whether a checkpoint breaks continuity. Stopped and started
again, training and run go on where they were.
"""

import argparse
import sys
from pathlib import Path

import mlflow
import pandas as pd
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    Trainer,
    TrainingArguments,
    default_data_collator,
)
from transformers.trainer_utils import get_last_checkpoint

from mlflow_modelmap import ModelMapCallback, read_texts
from mlflow_modelmap.texts.sources.python_docs import python_docs_corpus
from mlflow_modelmap.words.value_and_error import with_error

LENGTH = 128  # tokens in a block of training text

parser = argparse.ArgumentParser(
    description=(__doc__ or "").partition("\n")[0],
    formatter_class=argparse.ArgumentDefaultsHelpFormatter,
)
parser.add_argument("--model", default="EleutherAI/pythia-70m", help="org/name or a directory")
parser.add_argument("--train", help="text file or folder, JSONL, ...; without it Python's docs")
parser.add_argument("--texts", default="python-docs:200", help="held-out texts that are scored")
parser.add_argument("--steps", type=int, default=100, help="of training")
parser.add_argument("--save-every", type=int, default=20, help="steps between two records")
parser.add_argument("--output", type=Path, default=Path("fine-tuned"), help="for checkpoints")
args = parser.parse_args()

try:
    tokenizer = AutoTokenizer.from_pretrained(args.model)
except OSError as error:
    sys.exit(f"{args.model} cannot be loaded: {str(error).splitlines()[0]}")
documents = read_texts(args.train).texts if args.train else python_docs_corpus()
ids = [i for text in documents for i in [*tokenizer(text)["input_ids"], tokenizer.eos_token_id]]
blocks = [ids[start : start + LENGTH] for start in range(0, len(ids) - LENGTH + 1, LENGTH)]

args.output.mkdir(parents=True, exist_ok=True)
last = get_last_checkpoint(str(args.output))
trainer = Trainer(
    # Of a GPT-NeoX the Trainer itself would not take up the head again (transformers 5.23).
    AutoModelForCausalLM.from_pretrained(last or args.model, dtype="float32"),
    TrainingArguments(
        str(args.output),
        max_steps=args.steps,
        per_device_train_batch_size=8,
        learning_rate=1e-4,
        logging_steps=5,
        save_steps=args.save_every,
        report_to="mlflow",
    ),
    train_dataset=[{"input_ids": block, "labels": block} for block in blocks],
    processing_class=tokenizer,
    data_collator=default_data_collator,  # blocks of one length need no padding
    # The base model is scored once, as a run of its own that maps and other trainings share.
    callbacks=[ModelMapCallback(args.texts, reference=args.model)],
)

# The run's id lies beside the checkpoints, so that a training that goes on finds its run.
run_file = args.output / "mlflow_run_id"
run_id = run_file.read_text() if run_file.exists() else None
with mlflow.start_run(run_id=run_id, run_name=args.output.name) as run:
    run_file.write_text(run.info.run_id)
    if last is None or int(last.rpartition("-")[2]) < args.steps:
        trainer.train(resume_from_checkpoint=last)

path = f"runs:/{run.info.run_id}/modelmap/checkpoints.csv"
table = pd.read_csv(mlflow.artifacts.download_artifacts(path))
print("\n  step  bits per byte    KL from the one before  KL from the base model (bits/byte)")
for row in table[1:].itertuples():
    bits = with_error(row.bits_per_byte, row.bits_per_byte_se)
    previous = with_error(row.kl_previous, row.kl_previous_se)
    base = with_error(row.kl_reference, row.kl_reference_se)
    print(f"{row.step:6}  {bits:15}  {previous:22}  {base}")
anomaly = mlflow.get_run(run.info.run_id).data.tags.get("modelmap.anomaly")
print(f"Breaks of continuity: {anomaly or 'none found'}")
print(f"To see the curves: mlflow server --backend-store-uri '{mlflow.get_tracking_uri()}'")
where = f"#/experiments/{run.info.experiment_id}/runs/{run.info.run_id}"
print(f"and open http://127.0.0.1:5000/{where}/model-metrics")
