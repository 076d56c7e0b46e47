"""Fine-tune a chat model with TRL (SFT or DPO) and watch how far its answers move from the base's.

    python examples/monitor_trl.py [--method dpo] [--lora] [--model org/chat-model]

Needs mlflow-modelmap, trl (pip install trl) and a model small enough to train here; without --train
it trains on questions about Python's library and the answers in its docstrings. At each save the
callback scores the answers to held-out prompts, behind the model's own chat template, and logs the
KL divergence (bits/byte of answer) from the base into the run that TRL logs its losses to.
"""

import argparse
from pathlib import Path

import mlflow
import pandas as pd
import torch
from datasets import Dataset
from peft import LoraConfig
from trl import DPOConfig, DPOTrainer, SFTConfig, SFTTrainer

from mlflow_modelmap import ModelMapCallback, read_texts
from mlflow_modelmap.texts.prompt import messages_of
from mlflow_modelmap.words.value_and_error import with_error

parser = argparse.ArgumentParser(
    description=(__doc__ or "").partition("\n")[0],
    formatter_class=argparse.ArgumentDefaultsHelpFormatter,
)
parser.add_argument("--method", choices=("sft", "dpo"), default="sft", help="of TRL")
parser.add_argument("--lora", action="store_true", help="train an adapter instead of the model")
parser.add_argument("--model", default="HuggingFaceTB/SmolLM2-135M-Instruct", help="a chat model")
parser.add_argument("--train", default="python-qa", help="prompts with responses: JSONL, ...")
parser.add_argument("--texts", default="python-qa:100", help="held-out ones that are scored")
parser.add_argument("--steps", type=int, default=100, help="of training")
parser.add_argument("--save-every", type=int, default=20, help="steps between two records")
parser.add_argument("--output", type=Path, default=Path("fine-tuned"), help="for checkpoints")
args = parser.parse_args()

watched, pairs = read_texts(args.texts), read_texts(args.train)
held_out = set(watched.prompts or ())
rows = [
    {"prompt": messages_of(prompt), "answer": [{"role": "assistant", "content": response}]}
    for prompt, response in zip(pairs.prompts or (), pairs.texts, strict=True)
    if prompt not in held_out
]
# For DPO, the answer to another question is the worse one.
others = [row["answer"] for row in (*rows[1:], *rows[:1])]

# The base is scored once, as a run of its own; that of an adapter lies in memory already.
callback = ModelMapCallback(watched, reference="base" if args.lora else args.model)
options = {
    "output_dir": str(args.output),
    "max_steps": args.steps,
    "per_device_train_batch_size": 4,
    "learning_rate": 2e-4 if args.lora else 2e-5,
    "max_length": 512,
    "logging_steps": 5,
    "save_steps": args.save_every,
    "report_to": "mlflow",
    "use_cpu": not torch.cuda.is_available(),
}
lora = LoraConfig(task_type="CAUSAL_LM", r=16) if args.lora else None
if args.method == "sft":
    data = [{"prompt": row["prompt"], "completion": row["answer"]} for row in rows]
    trainer = SFTTrainer(
        args.model,
        SFTConfig(**options),
        train_dataset=Dataset.from_list(data),
        peft_config=lora,
        callbacks=[callback],
    )
else:
    data = [
        {"prompt": row["prompt"], "chosen": row["answer"], "rejected": other}
        for row, other in zip(rows, others, strict=True)
    ]
    trainer = DPOTrainer(
        args.model,
        args=DPOConfig(**options),
        train_dataset=Dataset.from_list(data),
        peft_config=lora,
        callbacks=[callback],
    )

with mlflow.start_run(run_name=args.output.name) as run:
    trainer.train()

path = f"runs:/{run.info.run_id}/modelmap/checkpoints.csv"
table = pd.read_csv(mlflow.artifacts.download_artifacts(path))
print("\n  step  bits per byte    KL from the base (bits/byte of answer)")
for row in table.itertuples():
    bits = with_error(row.bits_per_byte, row.bits_per_byte_se)
    print(f"{row.step:6}  {bits:15}  {with_error(row.kl_reference, row.kl_reference_se)}")
