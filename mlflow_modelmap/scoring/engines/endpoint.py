"""Scoring: a model behind a server, read over HTTP - several questions at a time."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator, Sequence
from queue import Empty, SimpleQueue
from typing import Any

import numpy as np

from mlflow_modelmap.errors import InputError, ScoringError
from mlflow_modelmap.scoring.engines.reader import Facts, Row, Rows
from mlflow_modelmap.scoring.model.reference import ModelFiles, Served
from mlflow_modelmap.scoring.served.address import GENERATE
from mlflow_modelmap.scoring.served.alignment import NotTheseTokens, Spelling, aligned
from mlflow_modelmap.scoring.served.answers import (
    Answer,
    NoLogLikelihoods,
    completion_answer,
    completion_question,
    generate_answer,
    generate_question,
)
from mlflow_modelmap.scoring.served.client import Client, Refused
from mlflow_modelmap.scoring.settings import ScoringSettings
from mlflow_modelmap.scoring.tokenizer.load import load_tokenizer
from mlflow_modelmap.scoring.tokenizer.tokenize import TokenizedTexts
from mlflow_modelmap.texts.text_set import TextSet

_TRIES = 4
_MIDDLING = 64
"""Tokens of the text by which a server is asked first."""
_MADE_WITHIN = 0.3
"""Nats by which a token's own value may differ between its making and its reading."""
_FORMS = ((True, 0, True), (True, 0, False), (True, 1, False), (False, 0, False), (False, 1, False))
"""Tokens or text, how many others are shown beside each, tokens named by number: best first."""


class EndpointReader:
    """A server that shows the log-likelihoods of a prompt's tokens.

    Parameters
    ----------
    tokenizer
        By which the rows were made.
    has_bos
        Whether rows begin with a BOS.

    Attributes
    ----------
    prefixed
        Whether the server puts a BOS of its own before text.
    """

    rereads = True

    def __init__(
        self, client: Client, served: Served, tokenizer: Any, *, has_bos: bool, concurrency: int
    ) -> None:
        self.client, self.served, self.has_bos = client, served, has_bos
        self.what = f"The server at {client.url!r}"
        self.concurrency = concurrency
        self.spelling = Spelling(tokenizer)
        self.takes_tokens, self.logprobs, self.as_ids = True, 0, served.route != GENERATE
        self.prefixed = False
        self.made_apart: float | None = None

    def open(self, rows: Sequence[Row]) -> None:
        """Find out how this server wants to be asked, and that it makes what it reads.

        Parameters
        ----------
        rows
            A few, of middling length, whole texts if there are any.

        Raises
        ------
        InputError
            If it takes text alone and the row is a part of one.
        ScoringError
            If it gives no log-likelihoods of a prompt, or not those of its tokens.
        """
        if self.served.route != GENERATE:
            self._negotiate(rows[0])
        self._check_making(_beginnings(rows[0]) if self.takes_tokens else rows)

    def _negotiate(self, row: Row) -> None:
        why = "it answers nothing"
        for self.takes_tokens, self.logprobs, self.as_ids in _FORMS:
            if not self.takes_tokens and row.text is None:
                continue
            try:
                self._values(row)
                return
            except Refused as refused:
                if refused.status > 500:
                    raise
                why = str(refused).rstrip(".").rpartition(" answers ")[2]
            except NoLogLikelihoods as lacks:
                why = str(lacks)
            except NotTheseTokens as other:
                if not self.takes_tokens or not other.args[0].startswith("it gives"):
                    raise self._other_tokens(row, other) from None
                why = str(other)
        if row.text is None and self.served.route != GENERATE:
            self.takes_tokens = False
            self._prompt(row)
        raise ScoringError(
            f"{self.what} gives no log-likelihoods of a prompt ({why}); it must take echo with "
            "logprobs at /v1/completions, as vLLM, SGLang and llama-cpp-python's server (with "
            "--logits_all true) do, or be SGLang (--url http://HOST:PORT/generate)."
        )

    def _check_making(self, rows: Sequence[Row]) -> None:
        """A token that the server makes must have the same value when it is read.

        This shows entries that are shifted by one, whatever the model.
        """
        apart: list[float] = []
        for part in rows:
            made = self._made_behind(part)
            if made is None:
                continue
            token_id, value, text = made
            longer = Row(
                np.append(part.ids, token_id),
                None if part.text is None else part.text + text,
                part.name,
            )
            try:
                read = float(self._values(longer)[-1])
            except (NotTheseTokens, NoLogLikelihoods):
                continue
            if math.isfinite(read):
                apart.append(abs(read - value))
        if not apart:
            return
        self.made_apart = float(np.median(apart))
        if self.made_apart > _MADE_WITHIN:
            raise ScoringError(
                f"{self.what} gives a token {self.made_apart:.2g} nats more or less when it reads "
                "it than when it made it: its values are not those of the tokens that they stand "
                "beside (shifted by one, as llama-cpp-python's server has them for models without "
                "a BOS), or are changed after the model."
            )

    def _made_behind(self, row: Row) -> tuple[int, float, str] | None:
        """A token that the server makes, its own value of it, and its text."""
        try:
            if self.served.route == GENERATE:
                answer = generate_answer(self.client.post(GENERATE, generate_question(_list(row))))
                entry = answer.entries[-1] if answer.made else None
            else:
                question = completion_question(
                    self.served.name, self._prompt(row), self.logprobs, self.as_ids, echo=False
                )
                answer = completion_answer(self.client.post("completions", question))
                entry = answer.entries[-1]
        except (NoLogLikelihoods, Refused):
            return None
        if entry is None or entry.log_likelihood is None:
            return None
        text = answer.text or entry.token or ""
        token_id = entry.token_id if entry.token_id is not None else self.spelling.alone(text)
        return None if token_id is None else (token_id, entry.log_likelihood, text)

    def read(self, rows: Sequence[Row]) -> Iterator[tuple[int, np.ndarray]]:
        """See `Reader.read`: in the order in which the server answers."""
        todo: SimpleQueue[int] = SimpleQueue()
        done: SimpleQueue[tuple[int, np.ndarray | BaseException]] = SimpleQueue()
        for place in range(len(rows)):
            todo.put(place)
        left = threading.Event()

        def ask() -> None:
            while not left.is_set():
                try:
                    place = todo.get_nowait()
                except Empty:
                    return
                try:
                    done.put((place, self._one(rows[place])))
                except BaseException as error:
                    done.put((place, error))

        # Not of a pool: Python waits for a pool's threads when it ends, and these may be waiting
        # for a server that does not answer.
        for _ in range(min(self.concurrency, len(rows))):
            threading.Thread(target=ask, name="modelmap-ask", daemon=True).start()
        try:
            for _ in rows:
                place, found = done.get()
                if isinstance(found, BaseException):
                    raise found
                yield place, found
        finally:
            left.set()

    def _one(self, row: Row) -> np.ndarray:
        try:
            return self._values(row)
        except NotTheseTokens as other:
            raise self._other_tokens(row, other) from None
        except NoLogLikelihoods as lacks:
            raise ScoringError(f"{self.what} does not score {row.name}: {lacks}.") from None
        except Refused as refused:
            said = str(refused).rpartition(" answers ")[2].rstrip(".")
            raise ScoringError(
                f"{self.what} does not score {row.name}: it answers {said}. What it answered so "
                "far is kept: once it answers again, the same command goes on from there."
            ) from None

    def _values(self, row: Row) -> np.ndarray:
        answer = self._ask(row)
        values, prefixed = aligned(
            answer,
            row.ids,
            self.spelling,
            has_bos=self.has_bos,
            takes_tokens=self.takes_tokens,
        )
        self.prefixed |= prefixed or (not self.takes_tokens and answer.given == len(row.ids) + 1)
        return values

    def _ask(self, row: Row) -> Answer:
        if self.served.route == GENERATE:
            return generate_answer(self.client.post(GENERATE, generate_question(_list(row))))
        question = completion_question(
            self.served.name, self._prompt(row), self.logprobs, self.as_ids
        )
        return completion_answer(self.client.post("completions", question))

    def _prompt(self, row: Row) -> str | list[int]:
        if self.takes_tokens:
            return _list(row)
        if row.text is None:
            raise InputError(
                f"{self.what} takes text and no tokens, and {row.name} goes through it cut, in "
                "windows or with an EOS; leave such texts out."
            )
        return row.text

    def _other_tokens(self, row: Row, other: NotTheseTokens) -> ScoringError:
        return ScoringError(
            f"{self.what} does not score the tokens of {row.name}: {other}. It cuts texts short, "
            "drops tokens, or has another tokenizer; give the model's own with --tokenizer."
        )

    def facts(self) -> Facts:
        """See `Reader.facts`."""
        facts: Facts = {
            "url": self.client.url,
            "served_model": self.served.name,
            "endpoint_route": self.served.route,
            "endpoint_takes": "tokens" if self.takes_tokens else "text",
        }
        if self.prefixed:
            facts["endpoint_bos"] = True
        if self.made_apart is not None:
            facts["made_and_read_apart"] = round(self.made_apart, 6)
        return facts

    def close(self) -> None:
        """See `Reader.close`."""
        self.client.close()


def _list(row: Row) -> list[int]:
    return [int(token) for token in row.ids]


def _beginnings(row: Row) -> list[Row]:
    """A few beginnings of a row, of other lengths."""
    length = len(row.ids)
    ends = sorted({max(2, length * part // _TRIES) for part in range(1, _TRIES + 1)})
    return [Row(row.ids[: min(end, length)], None, row.name) for end in ends]


def open_endpoint(
    files: ModelFiles, tokens: TokenizedTexts, texts: TextSet, settings: ScoringSettings
) -> EndpointReader:
    """The server that a model is behind, asked how it wants to be asked.

    Raises
    ------
    InputError, ScoringError
        As `EndpointReader.open`.
    """
    assert files.served is not None
    client = Client(
        files.served.url,
        concurrency=settings.concurrency,
        requests_per_minute=settings.requests_per_minute,
    )
    try:
        reader = EndpointReader(
            client,
            files.served,
            load_tokenizer(files.tokenizer_path, settings.trust_remote_code, settings.tokens_from),
            has_bos=tokens.bos_applied,
            concurrency=settings.concurrency,
        )
        rows = Rows(tokens, texts)
        near = np.abs(rows.pieces.lengths - _MIDDLING)
        whole = [place for place in range(len(rows)) if rows[place].text is not None]
        first = sorted(whole or range(len(rows)), key=lambda place: int(near[place]))
        reader.open([rows[place] for place in first[:_TRIES]])
    except BaseException:
        client.close()
        raise
    return reader
