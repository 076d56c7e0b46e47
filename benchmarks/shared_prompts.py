"""Prompts that several responses share: read once, against read with each of them.

A random Llama (by default as wide as SmolLM2-135M, a third as deep) and random tokens. Both ways
score the same responses in one process, one after the other. Printed are seconds of processor time
(by the clock on an accelerator), their ratio, seconds that the proof takes beforehand (which do not
grow with the set), the tokens that are left to read, and the largest difference in nats.

    python benchmarks/shared_prompts.py
    python benchmarks/shared_prompts.py --device cuda --dtype bfloat16 --batch-tokens 16384
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import torch
from transformers import AutoModelForCausalLM, LlamaConfig

from mlflow_modelmap.scoring.engine import shared_prompts
from mlflow_modelmap.scoring.engine.score_texts import evaluating
from mlflow_modelmap.scoring.engine.scorer import Scorer
from mlflow_modelmap.scoring.settings import ScoringSettings
from mlflow_modelmap.scoring.tokenizer.tokenize import TokenizedTexts


def prompt_set(
    draws: np.random.Generator, prompts: int, responses: int, length: int, short: int, long: int
) -> TokenizedTexts:
    """Random tokens: prompts of `length` give or take a tenth, responses of `short` to `long`."""
    ids, firsts = [], []
    for _ in range(prompts):
        prompt = draws.integers(2, 400, int(length * draws.uniform(0.9, 1.1)))
        for _ in range(responses):
            ids.append(np.append(prompt, draws.integers(2, 400, draws.integers(short, long + 1))))
            firsts.append(len(prompt))
    ends = tuple(np.arange(1, len(row) + 1) for row in ids)
    return TokenizedTexts(
        ids=tuple(ids),
        ends=ends,
        bytes=np.array([len(row) for row in ids]),
        first=1,
        bos_applied=False,
        truncated=(),
        text_digest="",
        bos="auto",
        split_special_tokens=False,
        firsts=np.array(firsts),
    )


def measured(
    model: torch.nn.Module, tokens: TokenizedTexts, settings: ScoringSettings, share: bool
) -> tuple[float, float, Scorer]:
    """Seconds that scoring takes, seconds of what is proved before it, and the scorer."""
    cuda = next(model.parameters()).is_cuda
    clock = time.perf_counter if cuda else time.process_time
    precision = str(model.dtype).removeprefix("torch.")
    with evaluating(model):
        began = clock()
        scorer = Scorer(model, tokens, settings, precision, None, share=share)
        proved = clock()
        scorer.score(range(len(tokens)))
        if cuda:
            torch.cuda.synchronize()
        return clock() - proved, proved - began, scorer


def main() -> None:
    """Print a row for each length of prompts and number of responses."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--hidden", type=int, default=576)
    parser.add_argument("--layers", type=int, default=10)
    parser.add_argument("--vocabulary", type=int, default=49152)
    parser.add_argument("--batch-tokens", type=int, default=2048)
    parser.add_argument("--tokens", type=int, default=5_500, help="about so many a row, read whole")
    parser.add_argument("--prompts", type=int, nargs="+", default=[50, 100, 300, 500])
    parser.add_argument("--responses", type=int, nargs="+", default=[2, 8])
    parser.add_argument("--response-tokens", type=int, nargs=2, default=[20, 60])
    args = parser.parse_args()
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=args.vocabulary,
        hidden_size=args.hidden,
        intermediate_size=args.hidden * 8 // 3,
        num_hidden_layers=args.layers,
        num_attention_heads=args.hidden // 64,
        num_key_value_heads=max(1, args.hidden // 192),
    )
    model = AutoModelForCausalLM.from_config(config, dtype=getattr(torch, args.dtype))
    model.to(args.device)
    settings = ScoringSettings(device=args.device, batch_tokens=args.batch_tokens)
    shared_prompts.PAYS = -1e9  # also where it would not be done
    short, long = args.response_tokens
    draws = np.random.default_rng(0)
    warm = prompt_set(draws, 2, 2, 50, short, long)
    for share in (False, True):
        measured(model, warm, settings, share)
    print("prompt  responses  tokens  left to read  whole, s  once, s  ratio  proof, s  difference")
    for length in args.prompts:
        for responses in args.responses:
            each = responses * (length + (short + long) / 2)
            count = max(2, round(args.tokens / each))
            tokens = prompt_set(draws, count, responses, length, short, long)
            whole, company, plain = measured(model, tokens, settings, False)
            once, proof, scorer = measured(model, tokens, settings, True)
            assert scorer.shared is not None, scorer.prompts
            total = int(tokens.lengths.sum())
            print(
                f"{length:6}  {responses:9}  {total:6}  {1 - scorer.shared.saved / total:12.0%}  "
                f"{whole:8.2f}  {once:7.2f}  {whole / once:5.2f}  "
                f"{proof - company:8.2f}  {np.abs(scorer.values - plain.values).max():.1e}",
                flush=True,
            )


if __name__ == "__main__":
    main()
