"""Scoring: the texts through another engine than transformers - proved, read, put together."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing

import numpy as np

from mlflow_modelmap.errors import ScoringError
from mlflow_modelmap.scoring.engine.provenance import NOTICES, of_tokens, origin, said_notices
from mlflow_modelmap.scoring.engine.score_texts import tokens_of
from mlflow_modelmap.scoring.engine.second_pass import spread
from mlflow_modelmap.scoring.engines.agreement import Expected, expected
from mlflow_modelmap.scoring.engines.kept_values import KeptValues
from mlflow_modelmap.scoring.engines.open_reader import open_reader
from mlflow_modelmap.scoring.engines.proof import check_not_chance, check_values, prove
from mlflow_modelmap.scoring.engines.reader import Facts, Reader, Rows, read_all
from mlflow_modelmap.scoring.load.precision import resolve
from mlflow_modelmap.scoring.model.config import known_config, most_tokens
from mlflow_modelmap.scoring.model.reference import ModelFiles
from mlflow_modelmap.scoring.settings import ENDPOINT, ScoreResult, ScoringSettings, SecondPass
from mlflow_modelmap.scoring.tokenizer.tokenize import TokenizedTexts
from mlflow_modelmap.scoring.tokenizer.without_prompts import with_both
from mlflow_modelmap.texts.text_set import TextSet

_ROWS_AT_ONCE = 64
"""Rows that an engine has at a time, so that progress shows and what is read is kept."""
_KEPT_AGAIN, _KEPT_WITHIN = 8, 0.05
"""Texts of an earlier attempt that are read again, and by how many nats a token they may differ."""

Progress = Callable[[int, int], None]


def score_by_engine(
    files: ModelFiles,
    texts: TextSet,
    settings: ScoringSettings,
    *,
    progress: Progress | None = None,
    tokens: TokenizedTexts | None = None,
    kept: KeptValues | None = None,
) -> ScoreResult:
    """As `score_texts`, with the engine that the settings name.

    Parameters
    ----------
    kept
        Where values are written down as they come, and where an earlier attempt left some.

    Raises
    ------
    InputError
        If the engine cannot take what is asked for.
    ScoringError
        If it does not answer, or its numbers are not the log-likelihoods of these tokens.
    """
    config = known_config(files)
    precision, device = resolve(settings, config)
    limit = most_tokens(files, config, settings.engine)
    own = tokens_of(files, texts, settings, tokens).fitted(limit, settings)
    tokens = with_both(own)
    by_transformers, why_not = expected(files, tokens, settings)
    started = time.perf_counter()
    with closing(open_reader(files, tokens, texts, settings, precision, device)) as reader:
        loaded = time.perf_counter() - started
        read = _Pass(reader, tokens, texts, progress)
        read.prove()
        if kept is not None:
            read.take_up(kept)
        facts: Facts = {}
        if by_transformers is not None and not reader.prefixed:
            facts = read.agree(by_transformers, str(files.reference))
        elif settings.engine == ENDPOINT:
            read.check_chance(config.get("vocab_size"))
        read.all()
        second = read.again(settings.texts_scored_twice(precision), len(own))
        facts |= reader.facts()
    notices = list(tokens.notices)
    if reader.prefixed:
        why_not = "it puts a BOS of its own before each text"
    if why_not is not None:
        notices.append(f"{reader.what} was not held against transformers: {why_not}.")
    notices += read.notices
    values, alone = tokens.pieces.by_text(read.values), own.without_prompts
    return ScoreResult(
        log_likelihoods=values[: len(own)],
        scored_tokens=own.scored,
        bytes=own.bytes,
        provenance={
            "engine": settings.engine,
            "precision": precision,
            "device": device,
            **of_tokens(own, settings),
            **({} if alone is None else {"unconditional_tokens": int(alone.scored.sum())}),
            **({"model_type": str(config["model_type"])} if "model_type" in config else {}),
            **origin(files, precision),
            **facts,
            **({NOTICES: said_notices(notices)} if notices else {}),
            "windowed": own.pieces.windowed,
            "resumed": read.resumed,
            "load_seconds": round(loaded, 3),
            "seconds": round(read.seconds, 3),
            "tokens_per_second": round(read.done / max(read.seconds, 1e-9), 1),
        },
        second=second,
        unconditional=None if alone is None else values[len(own) :],
    )


class _Pass:
    """One pass of the rows through an engine.

    Attributes
    ----------
    values
        Log-likelihoods of the rows, nats, float64; NaN where not read yet.
    """

    def __init__(
        self, reader: Reader, tokens: TokenizedTexts, texts: TextSet, progress: Progress | None
    ) -> None:
        self.reader, self.tokens, self.progress = reader, tokens, progress
        self.rows = Rows(tokens, texts)
        self.firsts = self.rows.pieces.firsts
        self.lengths = self.rows.pieces.lengths
        self.values = np.full(len(self.rows), np.nan)
        self.kept: KeptValues | None = None
        self.notices: list[str] = []
        self.seconds, self.done, self.resumed = 0.0, 0, 0

    def prove(self) -> None:
        """See `proof.prove`."""
        prove(self.reader, self.rows, self.firsts, self.reader.what, self.tokens.bos_applied)

    def take_up(self, kept: KeptValues) -> None:
        """Go on where an earlier attempt stopped, if the model still says what it said then."""
        self.kept = kept.open([self.rows.pieces[place] for place in range(len(self.rows))])
        there = np.array(sorted(kept.found), dtype=np.int64)
        some = [int(place) for place in spread(self.lengths, there, _KEPT_AGAIN)]
        for place, values in zip(
            some, read_all(self.reader, [self.rows[place] for place in some]), strict=True
        ):
            apart = abs(self._sum(place, values) - kept.found[place]) / self.lengths[place]
            if not apart <= _KEPT_WITHIN:
                self.notices.append(
                    "What an earlier attempt had read was read again: the model says otherwise now."
                )
                kept.forget()
                break
        for place, value in kept.found.items():
            self.values[place] = value
        self.resumed = len(kept.found)

    def agree(self, by_transformers: Expected, weights: str) -> Facts:
        """Read some texts first, and see that they are as transformers has them."""
        self._read(self.rows.pieces.of(by_transformers.texts))
        found = self.rows.pieces.by_text(self.values)[by_transformers.texts]
        apart = by_transformers.check(found, self.reader.what, weights)
        return {
            "agreement_texts": len(by_transformers.texts),
            "agreement_nats_a_token": round(apart, 6),
        }

    def check_chance(self, vocabulary: int | None) -> None:
        """See `proof.check_not_chance`, on the first rows."""
        places = range(min(10, len(self.rows)))
        found = read_all(self.reader, [self.rows[place] for place in places])
        most = max(int(ids.max()) for ids in self.tokens.ids) + 1
        check_not_chance(
            found, self.firsts[: len(found)], int(vocabulary or most), self.reader.what
        )

    def all(self) -> None:
        """Read every row that is not read yet."""
        self._read(np.arange(len(self.rows)))

    def again(self, wanted: int, among: int) -> SecondPass | None:
        """Read some of the first texts once more, in another order and company."""
        texts = spread(self.tokens.lengths, np.arange(among), wanted)
        if len(texts) < 2 or not self.reader.rereads:
            return None
        places = self.rows.pieces.of(np.sort(texts))[::-1]
        found = np.full(len(self.rows), np.nan)
        for place, values in self.reader.read([self.rows[int(place)] for place in places]):
            at = int(places[place])
            self._check(at, values)
            found[at] = self._sum(at, values)
        texts = np.sort(texts)
        return SecondPass(texts, self.rows.pieces.by_text(found)[texts])

    def _read(self, places: np.ndarray) -> None:
        todo = places[np.isnan(self.values[places])]
        total = int(self.lengths.sum())
        started = time.perf_counter()
        for begin in range(0, len(todo), _ROWS_AT_ONCE):
            some = [int(place) for place in todo[begin : begin + _ROWS_AT_ONCE]]
            for at, values in self.reader.read([self.rows[place] for place in some]):
                place = some[at]
                self._check(place, values)
                self.values[place] = self._sum(place, values)
                if self.kept is not None:
                    self.kept.add(place, float(self.values[place]))
                self.done += int(self.lengths[place])
                if self.progress is not None:
                    read = int(self.lengths[~np.isnan(self.values)].sum())
                    self.progress(read, total)
        self.seconds += time.perf_counter() - started

    def _check(self, place: int, values: np.ndarray) -> None:
        first, has_bos = int(self.firsts[place]), self.tokens.bos_applied
        check_values(self.rows[place], values, first, self.reader.what, has_bos)

    def _sum(self, place: int, values: np.ndarray) -> float:
        length, first = int(self.lengths[place]), int(self.firsts[place])
        if len(values) != length - 1:
            raise ScoringError(
                f"{self.reader.what} gives {len(values)} values for the {length - 1} tokens behind "
                f"the first of {self.rows[place].name}; it drops or adds some."
            )
        return float(values[first - 1 :].sum())
