"""Scoring: vLLM in this process - its kernels, its quantised weights, several GPUs."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from mlflow_modelmap.errors import InputError, ScoringError
from mlflow_modelmap.scoring.engines.reader import Facts, Row
from mlflow_modelmap.scoring.load.precision import is_quantised
from mlflow_modelmap.scoring.model.gguf_file import WEIGHTS as GGUF
from mlflow_modelmap.scoring.model.reference import ModelFiles
from mlflow_modelmap.scoring.settings import ScoringSettings
from mlflow_modelmap.words.reason import reason


class VllmReader:
    """A model under vLLM, which shows the log-likelihoods of prompts (``prompt_logprobs``).

    Parameters
    ----------
    longest
        Tokens of the longest row; vLLM wants room for one more.
    precision
        What the weights are: of plain numbers also what computes.

    Notes
    -----
    Prompts are read anew each time: vLLM reuses no prefix where log-likelihoods are asked for.
    """

    takes_tokens, rereads, prefixed = True, True, False

    def __init__(
        self, files: ModelFiles, longest: int, precision: str, settings: ScoringSettings
    ) -> None:
        try:
            import vllm
        except ImportError:
            raise InputError(
                "engine=vllm needs the package vllm; install `mlflow-modelmap[vllm]` on a machine "
                "that it supports."
            ) from None
        if GGUF in os.listdir(files.model_path):
            raise InputError(
                f"{str(files.reference)!r} is a GGUF file, which is read by engine=transformers or "
                "engine=llama.cpp, not by vLLM here."
            )
        self._library: Any = vllm
        self._gpus = settings.tensor_parallel
        self.what = f"vLLM with {str(files.reference)!r}"
        options: dict[str, Any] = {
            "model": files.model_path,
            "tokenizer": files.tokenizer_path,
            "trust_remote_code": settings.trust_remote_code,
            "tensor_parallel_size": settings.tensor_parallel,
            "dtype": "auto" if is_quantised(precision) else precision,
            "max_model_len": longest + 1,
            "seed": 0,
            "max_logprobs": 1,
        }
        if files.adapter is not None:
            options |= {"enable_lora": True, "max_lora_rank": 256}
        try:
            self._model = vllm.LLM(**options)
        except Exception as error:
            raise ScoringError(
                f"vLLM cannot load {str(files.reference)!r} ({reason(error)})."
            ) from None
        self._adapter: Any = None
        if files.adapter is not None:
            from vllm.lora.request import LoRARequest

            self._adapter = LoRARequest("adapter", 1, files.adapter.path)
        self._sampling = vllm.SamplingParams(
            max_tokens=1, temperature=0, prompt_logprobs=0, detokenize=False
        )

    def read(self, rows: Sequence[Row]) -> Iterator[tuple[int, np.ndarray]]:
        """See `Reader.read`: vLLM makes its own batches of all of them."""
        prompts = [{"prompt_token_ids": [int(token) for token in row.ids]} for row in rows]
        given = {"use_tqdm": False}
        if self._adapter is not None:
            given["lora_request"] = self._adapter
        try:
            answers = self._model.generate(prompts, self._sampling, **given)
        except Exception as error:
            raise ScoringError(f"{self.what} fails ({reason(error)}).") from None
        for place, (row, answer) in enumerate(zip(rows, answers, strict=True)):
            yield place, self._values(row, answer)

    def _values(self, row: Row, answer: Any) -> np.ndarray:
        said = answer.prompt_logprobs
        if said is None or len(said) != len(row.ids):
            raise ScoringError(
                f"{self.what} gives {0 if said is None else len(said)} values for the "
                f"{len(row.ids)} tokens of {row.name}; it drops or adds some."
            )
        values = np.full(len(row.ids), np.nan)
        for at, (token, shown) in enumerate(zip(row.ids, said, strict=True)):
            own = shown.get(int(token)) if shown else None
            if own is not None:
                values[at] = own.logprob
        return values[1:]

    def facts(self) -> Facts:
        """See `Reader.facts`."""
        import torch

        return {
            "vllm": str(self._library.__version__),
            "torch": torch.__version__,
            "tensor_parallel": self._gpus,
            **({"adapter_merged": False} if self._adapter is not None else {}),
        }

    def close(self) -> None:
        """See `Reader.close`."""
        import gc

        import torch

        del self._model
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
