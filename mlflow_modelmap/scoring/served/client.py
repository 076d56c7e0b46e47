"""Scoring (no torch here): questions to a server over HTTP, asked again where that may help."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Mapping
from typing import Any

from mlflow_modelmap.errors import InputError, ScoringError
from mlflow_modelmap.scoring.served.address import KEY_VARIABLE
from mlflow_modelmap.words.reason import reason
from mlflow_modelmap.words.redact import redact, remember
from mlflow_modelmap.words.shortened import shortened

RETRIES = 6
"""How often a question is asked again where a server is busy, or does not answer."""
CONNECT_SECONDS, ANSWER_SECONDS = 10, 600
LONGEST_WAIT = 600
"""Seconds that a server may ask to be left alone without the score ending."""
LARGEST_ANSWER = 256 * 1024**2
_BUSY = (408, 425, 429, 502, 503, 504)
"""Answers after which it is asked again; 500 is a question that it cannot take."""


class _AsksForTooLong(Exception):
    """A server that is busy for longer than anybody waits; its argument is the seconds it says."""


class Refused(ScoringError):
    """A server that answered no.

    Attributes
    ----------
    status
        Of the answer.
    """

    def __init__(self, sentence: str, status: int) -> None:
        super().__init__(sentence)
        self.status = status


class Client:
    """Asks a server; several threads may do so at once.

    Parameters
    ----------
    requests_per_minute
        The most questions asked in a minute; None for any number.

    Notes
    -----
    The key, from the environment, goes into a header and nowhere else. A server that is busy (429,
    503) is asked again after as long as it says, else after 0.5, 1, 2, ... seconds.
    """

    def __init__(
        self, url: str, *, concurrency: int = 1, requests_per_minute: int | None = None
    ) -> None:
        import requests
        from requests.adapters import HTTPAdapter
        from urllib3 import Retry

        self.url = url
        self._pause = 60 / requests_per_minute if requests_per_minute else 0.0
        self._next = 0.0
        self._turn = threading.Lock()

        class Patient(Retry):
            """Does not sleep for a day, and takes no notice of a Retry-After that is none."""

            def get_retry_after(self, response: Any) -> float | None:
                try:
                    seconds = super().get_retry_after(response)
                except Exception:
                    return None
                if seconds is not None and seconds > LONGEST_WAIT:
                    raise _AsksForTooLong(seconds)
                return seconds

        retry = Patient(
            total=RETRIES,
            connect=min(2, RETRIES),
            redirect=0,
            allowed_methods=None,
            status_forcelist=_BUSY,
            backoff_factor=0.5,
            backoff_max=60,
            respect_retry_after_header=True,
            raise_on_status=False,
        )
        self._session = requests.Session()
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, HTTPAdapter(max_retries=retry, pool_maxsize=concurrency))
        key = os.environ.get(KEY_VARIABLE, "").strip()
        if not (key.isascii() and key.isprintable()):
            raise InputError(
                f"The key in the environment variable {KEY_VARIABLE} holds a line break or another "
                "character that no key has; set it anew."
            )
        if key:
            remember(key)
        self._key = key
        self._session.auth = _Key(key)

    def close(self) -> None:
        """Let go of all connections."""
        self._session.close()

    def get(self, route: str) -> Any:
        """What a route answers, from JSON.

        Raises
        ------
        Refused
            If the server says no.
        ScoringError
            If it does not answer, or no JSON.
        """
        return self._ask("GET", route, None)

    def post(self, route: str, question: Mapping[str, Any]) -> Any:
        """As `get`, with a question as JSON."""
        return self._ask("POST", route, question)

    def _ask(self, method: str, route: str, question: Mapping[str, Any] | None) -> Any:
        import requests

        self._wait()
        where = f"{self.url}/{route}"
        try:
            with self._session.request(
                method,
                where,
                json=question,
                timeout=(CONNECT_SECONDS, ANSWER_SECONDS),
                allow_redirects=False,
                stream=True,
            ) as answer:
                body = _read(answer, where)
                status = answer.status_code
        except _AsksForTooLong as asks:
            raise ScoringError(
                f"The server at {where!r} is busy and asks to be left alone for {asks.args[0]:.0f} "
                "seconds; give the same command again then, with --requests-per-minute if it "
                "counts questions."
            ) from None
        except requests.RequestException as error:
            raise ScoringError(
                f"The server at {where!r} does not answer ({_cause(error)}); look whether it runs "
                "there, and give its address with --url."
            ) from None
        if status != 200:
            raise _refusal(where, status, self._without_key(body), has_key=bool(self._key))
        try:
            return json.loads(body)
        except (ValueError, RecursionError):
            shown = _shown(self._without_key(body))
            raise ScoringError(
                f"The server at {where!r} answers no JSON ({shown}); it is no "
                "OpenAI-compatible server, or the address is another one's."
            ) from None

    def _without_key(self, body: bytes) -> bytes:
        """What a server says, if it says the key too: also one that could be a plain word."""
        return body.replace(self._key.encode(), b"***") if self._key else body

    def _wait(self) -> None:
        """Until it is this question's turn."""
        if not self._pause:
            return
        with self._turn:
            now = time.monotonic()
            mine = max(now, self._next)
            self._next = mine + self._pause
        time.sleep(max(0.0, mine - now))


class _Key:
    """The key in a header; being there keeps requests from sending what ~/.netrc holds."""

    def __init__(self, key: str) -> None:
        self.key = key

    def __call__(self, request: Any) -> Any:
        if self.key:
            request.headers["Authorization"] = f"Bearer {self.key}"
        return request


def _read(answer: Any, where: str) -> bytes:
    """The whole answer, if it is of a size that can be."""
    found = bytearray()
    for part in answer.iter_content(1 << 20):
        found += part
        if len(found) > LARGEST_ANSWER:
            raise ScoringError(
                f"The server at {where!r} answers more than {LARGEST_ANSWER >> 20} MiB to one "
                "question; it is no scoring server."
            )
    return bytes(found)


def _refusal(where: str, status: int, body: bytes, *, has_key: bool) -> Exception:
    said = f"The server at {where!r} answers {status}"
    if status in (401, 403) and has_key:
        return InputError(
            f"{said}: it does not take the key in the environment variable {KEY_VARIABLE} "
            f"({_shown(body)}); put a valid one there."
        )
    if status in (401, 403):
        return InputError(
            f"{said}: it wants a key; put it into the environment variable {KEY_VARIABLE}."
        )
    if 300 <= status < 400:
        return InputError(f"{said}: it sends on to another address; give that with --url.")
    return Refused(f"{said} ({_shown(body)}).", status)


def _shown(body: bytes) -> str:
    """What a server says, in few words."""
    try:
        said = json.loads(body)
    except (ValueError, RecursionError):
        said = None
    if isinstance(said, Mapping):
        inner = said.get("error", said)
        message = inner.get("message") if isinstance(inner, Mapping) else inner
        message = message or said.get("detail") or said.get("message")
        if message:
            return shortened(redact(str(message)), 200).rstrip(".")
    return shortened(redact(" ".join(body.decode("utf-8", "replace").split())), 200) or "nothing"


def _cause(error: BaseException) -> str:
    """What lies under requests' and urllib3's layers."""
    inner: Any = error
    while True:
        below = getattr(inner, "reason", None)
        if not isinstance(below, BaseException):
            below = next((a for a in inner.args if isinstance(a, BaseException)), None)
        if below is None:
            break
        inner = below
    return redact(reason(inner).rpartition(": ")[2] or type(error).__name__)
