"""A loopback server that scores prompts, as vLLM, llama-cpp-python and SGLang answer - or lies.

    with CompletionServer(folder) as server:
        score("tiny", texts, engine="endpoint", url=server.url, tokenizer=folder)

The numbers are a real tiny model's, in float64; the forms are those that the three document.
"""

from __future__ import annotations

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np

VLLM, LLAMA_CPP, SGLANG = "vllm", "llama-cpp-python", "sglang"


def trained(folder: Path, *, bos: bool = False, steps: int = 60, **overrides: Any) -> Path:
    """A tiny Llama that has read a few sentences many times: far better than chance at them."""
    import torch

    from tests import tiny

    tiny.make_model(folder, "llama", bos=bos, scale=1.0, **overrides)
    from transformers import AutoModelForCausalLM, AutoTokenizer

    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    rows = [torch.tensor([tokenizer(text)["input_ids"]]) for text in tiny.SENTENCES]
    optimiser = torch.optim.AdamW(model.parameters(), 3e-3)
    for _ in range(steps):
        loss = sum(model(row, labels=row).loss for row in rows)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    model.save_pretrained(folder)
    return folder


class CompletionServer:
    """Serves the model in a folder.

    Attributes
    ----------
    requests
        Every question so far: (route, content, Authorization header).
    lie
        What it does wrong: ``shifted``, ``dropped``, ``truncated``, ``later``, ``no context``,
        ``positive``, ``null``, ``first null``, ``company``, ``half``, ``other model``, or None.
    busy
        So many of the next questions are answered 503.
    key
        What it wants for a key, or None.
    """

    def __init__(
        self, folder: Path, kind: str = VLLM, names: tuple[str, ...] = ("tiny",), limit: int = 256
    ) -> None:
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer

        self.model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float64).eval()
        self.tokenizer = AutoTokenizer.from_pretrained(folder)
        self.kind, self.names, self.limit = kind, names, limit
        self.lie: str | None = None
        self.busy, self.key, self.retry_after = 0, None, "0"
        self.requests: list[tuple[str, Any, str | None]] = []
        self.at_once = self.most_at_once = 0
        self.lock = threading.Lock()
        self.crowded = threading.local()

    def __enter__(self) -> CompletionServer:
        handler = type("Handler", (_Handler,), {"of": self})
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        return self

    def __exit__(self, *error: object) -> None:
        self.server.shutdown()
        self.server.server_close()

    def table(self, ids: list[int]) -> np.ndarray:
        """Log-likelihoods of every token behind each of these, float64, shape (len(ids), V)."""
        import torch

        with self.lock, torch.no_grad():
            logits = self.model(torch.tensor([ids])).logits[0].double()
        return torch.log_softmax(logits, -1).numpy()

    def entries(self, ids: list[int]) -> tuple[list[float | None], int, float]:
        """What stands beside each token of a prompt, the token made behind it, and its value."""
        table = self.table(ids)
        made = int(table[-1].argmax())
        own = [None, *(float(table[at - 1, ids[at]]) for at in range(1, len(ids)))]
        if self.lie == "shifted":
            own = [None, *(float(table[at, ids[at]]) for at in range(1, len(ids)))]
        elif self.lie == "dropped":
            own = own[:3] + own[4:]
        elif self.lie == "truncated":
            own = own[-20:]
        elif self.lie == "later" and len(ids) > 8:
            own = [None, *(v - 0.5 * (len(ids) % 7) for v in own[1:])]
        elif self.lie == "no context":
            first = self.table(ids[:1])[0]
            own = [None, *(float(first[token]) for token in ids[1:])]
        elif self.lie == "positive":
            own = [None, *(-v for v in own[1:])]
        elif self.lie == "null":
            own[5] = None
        elif self.lie == "first null":
            own[1] = None
        elif self.lie == "company" and self.crowded.here:
            own = [None, *(v * 1.5 for v in own[1:])]
        elif self.lie == "half":
            own = [None, *(v / 2 for v in own[1:])]
        return own, made, float(table[-1, made])


class _Handler(BaseHTTPRequestHandler):
    of: CompletionServer
    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments: Any) -> None:
        pass

    def do_GET(self) -> None:
        if self.of.key and self.headers.get("Authorization") != f"Bearer {self.of.key}":
            return self.answer({"error": {"message": "no key"}}, 401)
        if self.path != "/v1/models":
            return self.answer({"detail": "Not Found"}, 404)
        about = {} if self.of.kind == LLAMA_CPP else {"max_model_len": self.of.limit}
        self.answer({"object": "list", "data": [{"id": name, **about} for name in self.of.names]})

    def do_POST(self) -> None:
        of = self.of
        content = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with of.lock:
            of.requests.append((self.path, content, self.headers.get("Authorization")))
            of.at_once += 1
            of.most_at_once = max(of.most_at_once, of.at_once)
            busy = of.busy > 0
            of.busy -= busy
        try:
            if busy:
                self.answer({"error": "busy"}, 503, {"Retry-After": of.retry_after})
            elif of.lie == "company":
                time.sleep(0.1)
                of.crowded.here = of.at_once > 1
                time.sleep(0.1)
                self.answer(self.completion(content))
            elif self.path == "/v1/completions" and of.kind != SGLANG:
                self.complete(content)
            elif self.path == "/generate" and of.kind == SGLANG:
                self.answer(self.generated(content))
            else:
                self.answer({"detail": "Not Found"}, 404)
        finally:
            with of.lock:
                of.at_once -= 1

    def complete(self, content: Any) -> None:
        prompt = content["prompt"]
        if content["model"] not in self.of.names:
            return self.answer({"error": {"message": f"no model {content['model']}"}}, 404)
        if self.of.kind == LLAMA_CPP and not isinstance(prompt, str):
            return self.answer({"error": {"message": "Input should be a valid string"}}, 500)
        if len(prompt) + 1 > self.of.limit and self.of.kind == VLLM:
            return self.answer({"error": {"message": "maximum context length"}}, 400)
        self.answer(self.completion(content))

    def completion(self, content: Any) -> Any:
        of, prompt = self.of, content["prompt"]
        ids = of.tokenizer(prompt)["input_ids"] if isinstance(prompt, str) else prompt
        own, made, value = of.entries(ids)
        count, ids = len(ids), ids[-len(own) :]
        if of.kind == LLAMA_CPP and ids[0] == of.tokenizer.bos_token_id and len(ids) > 1:
            own, ids = [None, *own[2:]], ids[1:]  # it hides the BOS and nulls what comes first
        echo = content["echo"]
        values = [*own, value] if echo else [value]
        tokens = [*ids, made] if echo else [made]
        if echo and of.kind == LLAMA_CPP:
            values, tokens = own, ids  # it counts the token that it makes, and does not show it
        names = [of.tokenizer.decode([token]) for token in tokens]
        if content.get("return_tokens_as_token_ids") and of.kind == VLLM:
            names = [f"token_id:{token}" for token in tokens]
        return {
            "choices": [
                {
                    "text": (prompt if echo and isinstance(prompt, str) else "")
                    + of.tokenizer.decode([made]),
                    "logprobs": {"token_logprobs": values, "tokens": names},
                }
            ],
            "usage": {"completion_tokens": 1, "prompt_tokens": count},
        }

    def generated(self, content: Any) -> Any:
        ids = content["input_ids"]
        own, made, value = self.of.entries(ids)
        return {
            "text": self.of.tokenizer.decode([made]),
            "meta_info": {
                "input_token_logprobs": [[v, i, None] for v, i in zip(own, ids, strict=False)],
                "output_token_logprobs": [[value, made, None]],
            },
        }

    def answer(self, said: Any, status: int = 200, headers: dict[str, str] | None = None) -> None:
        body = json.dumps(said).encode()
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
