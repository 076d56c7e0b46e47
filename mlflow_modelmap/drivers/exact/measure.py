"""Driver: the exact KL divergence of models from a reference whose part is kept once."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from mlflow_modelmap.drivers.process import collector
from mlflow_modelmap.drivers.process.progress import progress_bar, say
from mlflow_modelmap.drivers.score.prepare import Prepared
from mlflow_modelmap.drivers.score.token_cache import TokenCache, tokenizer_digest
from mlflow_modelmap.errors import InputError
from mlflow_modelmap.machine.folders import temporary_folder
from mlflow_modelmap.numerics.exact.summary import ExactKL, summary
from mlflow_modelmap.scoring.load.precision import resolve
from mlflow_modelmap.scoring.model.config import read_config
from mlflow_modelmap.scoring.model.reference import ModelFiles
from mlflow_modelmap.scoring.settings import ScoringSettings
from mlflow_modelmap.texts.text_set import TextSet

if TYPE_CHECKING:
    from mlflow_modelmap.scoring.exact.head_states import HeadStates
    from mlflow_modelmap.scoring.exact.token_divergences import TokenDivergences, TokenInContext
    from mlflow_modelmap.scoring.tokenizer.tokenize import TokenizedTexts

LARGEST_FILE = 4 * 2**30
"""Bytes of kept head inputs that are taken without being asked for more texts."""
_OF_TOKENS = ("forward", "reverse", "js", "first", "second", "agree")


@dataclass(frozen=True, eq=False)
class ExactComparison:
    """Two models A and B compared exactly.

    Attributes
    ----------
    summary
        KL in both directions and the rest, with errors.
    by_text
        A row a text: ``text``, ``tokens``, ``bytes``, ``forward``, ``reverse``, ``js`` (nats),
        ``log_likelihood_first``, ``log_likelihood_second`` (nats), ``agree`` (tokens).
    by_domain
        ``domain``, ``texts``, ``forward``, ``forward_se``, ``reverse``, ``reverse_se``
        (bits/byte), ``top1``; empty where the texts name none.
    tokens
        The tokens that carry most of it, readable: ``text``, ``position``, ``kl`` (nats),
        ``context``, ``token``, ``first``, ``second``.
    percentiles
        ``percent``, ``kl``: a token's KL(A || B) in nats at every half per cent and in the tail.
    """

    summary: ExactKL
    by_text: pd.DataFrame
    by_domain: pd.DataFrame
    tokens: pd.DataFrame
    percentiles: pd.DataFrame


@dataclass(frozen=True, eq=False)
class ExactReference:
    """A model A whose part is kept, so that any number of others can be compared with it.

    Attributes
    ----------
    prepared, states
        The model and what was kept of it.
    chosen
        Which texts of the set, ascending.
    progress
        Whether bars are shown.
    """

    prepared: Prepared
    states: HeadStates
    chosen: np.ndarray
    progress: bool = True
    cache: TokenCache = field(default_factory=TokenCache)

    def against(self, other: Prepared) -> ExactComparison:
        """Compare model B with the one that is kept.

        Raises
        ------
        InputError
            If the two do not share a vocabulary, or do not read the texts alike.
        ScoringError
            If B cannot be loaded, or a distribution is not finite.
        """
        from mlflow_modelmap.scoring.exact.compare_with_states import compare_with_states

        check_comparable(self.prepared, other)
        tokens = chosen_tokens(self.cache, other, self.chosen)
        name = f"{other.request.point_name}, exact"
        settings = other.request.settings
        with (
            model_in_memory(other.files, settings) as (model, precision),
            progress_bar(name, self.progress) as bar,
        ):
            found = compare_with_states(
                self.states, model, tokens, settings, precision=precision, progress=bar
            )
        return summed_up(found, self.prepared, self.prepared.texts, self.chosen)


@contextmanager
def exact_reference(
    prepared: Prepared, *, texts: int | None = None, progress: bool = True
) -> Iterator[ExactReference]:
    """Run a model over its texts and keep its part in a temporary file, as long as the block lasts.

    Parameters
    ----------
    texts
        How many texts are taken, evenly spread; None for all, as long as the file stays below
        `LARGEST_FILE`.

    Raises
    ------
    InputError
        If the number is not possible, or the model's head is no matrix product.
    ScoringError
        If the model cannot be loaded, or there is no room for the file.
    """
    from mlflow_modelmap.scoring.exact.head_states import keep_head_states, size_of_states

    cache = TokenCache()
    every = cache.tokens_for(prepared)
    settings, config = prepared.request.settings, read_config(prepared.files.model_path)
    precision, _ = resolve(settings, config)
    each = 2 if precision in ("bfloat16", "float16") else 4
    width = int(_width(config))
    chosen = choose(every.scored, width * each, texts)
    size = size_of_states(int(every.scored[chosen].sum()), width, each)
    some = "" if len(chosen) == len(every) else f" of {len(every):,}"
    say(
        f"{len(chosen):,}{some} texts are compared exactly; {size / 2**20:,.0f} MiB of "
        f"{prepared.request.point_name!r} are kept in a temporary file.",
        progress,
    )
    with temporary_folder() as folder:
        with (
            model_in_memory(prepared.files, settings) as (model, precision),
            progress_bar(f"{prepared.request.point_name}, kept", progress) as bar,
        ):
            states = keep_head_states(
                model, every.only(chosen), settings, folder, precision=precision, progress=bar
            )
            del model  # of which the head alone stays
        yield ExactReference(prepared, states, chosen, progress, cache)


def choose(positions: np.ndarray, bytes_each: int, texts: int | None) -> np.ndarray:
    """Which texts are compared: so many, evenly spread over the set.

    Parameters
    ----------
    positions
        Scored positions of each text, shape (N,).
    bytes_each
        What one of them takes in the file.
    texts
        How many; None for as many as `LARGEST_FILE` holds.

    Returns
    -------
    ndarray of int64
        Ascending.

    Raises
    ------
    InputError
        If it is less than 2.
    """
    count = len(positions)
    if texts is None:
        share = LARGEST_FILE / max(1, int(positions.sum()) * bytes_each)
        texts = count if share >= 1 else int(count * share)
    if texts < min(2, count):
        raise InputError(
            f"{texts} texts are too few for an exact comparison; take 2 or more (--exact-texts)."
        )
    if texts >= count:
        return np.arange(count)
    return np.unique(np.linspace(0, count - 1, texts).round().astype(np.int64))


def check_comparable(first: Prepared, second: Prepared) -> None:
    """Refuse models without a common vocabulary, before any weights are read.

    Raises
    ------
    InputError
        It says why, and that the second-order estimate is what there is.
    """
    from mlflow_modelmap.scoring.exact.vocabulary import check_same_vocabulary

    folders = first.files.tokenizer_path, second.files.tokenizer_path
    configs = [read_config(one.files.model_path) for one in (first, second)]
    digests = [tokenizer_digest(f, c) for f, c in zip(folders, configs, strict=True)]
    if digests[0] != digests[1]:
        trust = tuple(one.request.settings.trust_remote_code for one in (first, second))
        check_same_vocabulary(*folders, trust)  # type: ignore[arg-type]


def chosen_tokens(cache: TokenCache, prepared: Prepared, chosen: np.ndarray) -> TokenizedTexts:
    """The tokens of the chosen texts."""
    return cache.tokens_for(prepared).only(chosen)


def summed_up(
    found: TokenDivergences, first: Prepared, texts: TextSet, chosen: np.ndarray
) -> ExactComparison:
    """Sum up what was found on the chosen texts of a set.

    Parameters
    ----------
    first
        A model whose tokenizer says what the tokens read like.
    """

    def of(rows: np.ndarray) -> ExactKL:
        return summary_of(found, texts, chosen, rows)

    by_text = pd.DataFrame(
        {
            "text": chosen,
            "tokens": found.tokens,
            "bytes": found.bytes,
            **{n: found.by_text(getattr(found, n)) for n in ("forward", "reverse", "js")},
            "log_likelihood_first": found.by_text(found.first),
            "log_likelihood_second": found.by_text(found.second),
            "agree": found.by_text(found.agree.astype(float)).astype(np.int64),
        }
    )
    levels = np.unique(np.r_[np.linspace(0, 100, 201), 99.9, 99.99, 0.1, 0.01])
    return ExactComparison(
        summary=summary_of(found, texts, chosen),
        by_text=by_text,
        by_domain=_by_domain(texts, chosen, of),
        tokens=_readable(found.most, first, chosen),
        percentiles=pd.DataFrame({"percent": levels, "kl": np.percentile(found.forward, levels)}),
    )


def summary_of(
    found: TokenDivergences, texts: TextSet, chosen: np.ndarray, rows: np.ndarray | None = None
) -> ExactKL:
    """What was found on the chosen texts of a set, or on some `rows` of them, in few numbers."""
    rows = np.arange(len(chosen)) if rows is None else rows
    of_rows = np.zeros(len(chosen), dtype=bool)
    of_rows[rows] = True
    keep = np.repeat(of_rows, found.tokens)
    weights = texts.weight_array
    return summary(
        tokens=found.tokens[rows],
        size=found.bytes[rows],
        vocabulary=found.vocabulary,
        weights=None if weights is None else weights[chosen[rows]],
        documents=chosen_documents(texts, chosen[rows]),
        **{name: getattr(found, name)[keep] for name in _OF_TOKENS},
    )


def chosen_documents(texts: TextSet, chosen: np.ndarray) -> np.ndarray | None:
    """The number of each chosen text's document, -1 for none; None where none is known."""
    codes = texts.document_codes
    return None if codes is None else codes[chosen]


def _by_domain(texts: TextSet, chosen: np.ndarray, of: Any) -> pd.DataFrame:
    columns = ["domain", "texts", "forward", "forward_se", "reverse", "reverse_se", "top1"]
    if texts.domains is None:
        return pd.DataFrame(columns=columns)
    domains = np.array([texts.domains[i] or "" for i in chosen])
    rows = []
    for domain in sorted(set(domains) - {""}):
        told = of(np.flatnonzero(domains == domain))
        rows.append({"domain": domain, **{name: getattr(told, name) for name in columns[1:]}})
    return pd.DataFrame(rows, columns=columns)


def _readable(
    most: tuple[TokenInContext, ...], prepared: Prepared, chosen: np.ndarray
) -> pd.DataFrame:
    from mlflow_modelmap.scoring.tokenizer.load import load_tokenizer

    trust = prepared.request.settings.trust_remote_code
    tokenizer = load_tokenizer(prepared.files.tokenizer_path, trust)

    def text_of(ids: tuple[int, ...] | list[int]) -> str:
        return str(tokenizer.decode(list(ids), clean_up_tokenization_spaces=False))

    def likeliest(told: tuple[tuple[int, float], ...]) -> str:
        return ", ".join(f"{text_of([token])!r} {share:.3f}" for token, share in told)

    return pd.DataFrame(
        [
            {
                "text": int(chosen[one.text]),
                "position": one.position,
                "kl": one.forward,
                "context": text_of(one.context),
                "token": text_of([one.token]),
                "first": likeliest(one.first),
                "second": likeliest(one.second),
            }
            for one in most
        ],
        columns=["text", "position", "kl", "context", "token", "first", "second"],
    )


def _width(config: dict[str, Any]) -> int:
    """What a head takes in, as configurations call it; only for the size that is said before."""
    for name in ("word_embed_proj_dim", "hidden_size", "n_embd", "d_model"):
        if isinstance(config.get(name), int):
            return int(config[name])
    return 4096


@contextmanager
def model_in_memory(
    files: ModelFiles | str, settings: ScoringSettings
) -> Iterator[tuple[Any, str]]:
    """A model and its precision, in memory for the length of the block."""
    from mlflow_modelmap.scoring.accelerator.memory import give_back
    from mlflow_modelmap.scoring.load.load import load_model

    collector.as_usual()
    path = files.model_path if isinstance(files, ModelFiles) else files
    adapter = files.adapter.path if isinstance(files, ModelFiles) and files.adapter else None
    precision, device = resolve(settings, read_config(path))
    held = [load_model(path, precision, device, settings, adapter)]
    try:
        yield held[0], precision
    finally:
        held.clear()
        gc.collect()
        give_back()
