"""Driver: pairs of scored models compared exactly, as one run of kind ``exact``."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pandas as pd
from mlflow import MlflowClient

from mlflow_modelmap.drivers.exact.measure import ExactComparison, check_comparable, exact_reference
from mlflow_modelmap.drivers.exact.scored_model import model_behind, texts_behind
from mlflow_modelmap.drivers.score.prepare import Prepared
from mlflow_modelmap.errors import InputError, ScoringError
from mlflow_modelmap.numerics.exact.summary import ExactKL
from mlflow_modelmap.texts.text_set import TextSet
from mlflow_modelmap.tracking import schema
from mlflow_modelmap.tracking.runs.destination import check_destination
from mlflow_modelmap.tracking.runs.point import Point
from mlflow_modelmap.tracking.runs.study_run import load_study, write_study

_TABLES = ("exact", "by_text", "by_domain", "tokens", "percentiles")
_COLUMNS = tuple(f for f in ExactKL.__dataclass_fields__ if f != "token_percentiles")
BESIDE = ("forward", "forward_se", "reverse", "reverse_se", "top1", "top1_se")
"""What stands beside an estimate, under these names behind ``exact_``."""


@dataclass(frozen=True, eq=False)
class ExactStudy:
    """Pairs of models A and B that share a vocabulary, compared token by token.

    Attributes
    ----------
    run_id
        The run of kind ``exact`` that holds it.
    pairs
        A row a pair: ``first``, ``second`` (points), ``first_run``, ``second_run``, ``pair``, then
        the fields of `ExactKL`; ``kl_5`` to ``kl_99.9`` and the like are the percentiles of a
        token's KL in nats.
    by_text, by_domain, tokens, percentiles
        As `ExactComparison` has them, with the column ``pair``.
    notices
        What was left out, a sentence each.
    """

    run_id: str
    pairs: pd.DataFrame
    by_text: pd.DataFrame
    by_domain: pd.DataFrame
    tokens: pd.DataFrame
    percentiles: pd.DataFrame
    notices: tuple[str, ...] = field(default=())
    comparisons: tuple[ExactComparison, ...] = field(default=(), repr=False)


@dataclass(frozen=True)
class ExactOptions:
    """How an exact comparison is made.

    Attributes
    ----------
    texts
        The text set that was scored, or where it lies; by default where the run read it.
    count
        How many texts are taken; by default all, up to 4 GiB of a model's head inputs.
    device, device_map
        Where the models run.
    trusted_code
        Models, named as they were scored, whose own code may run. Runs name models in tags that
        others can write, so that each model is named here or runs none.
    """

    texts: TextSet | str | os.PathLike[str] | None = None
    count: int | None = None
    device: str = "auto"
    device_map: str | None = None
    trusted_code: tuple[str, ...] = ()

    def trusts(self, point: Point) -> bool:
        """Whether the code of that very model may run."""
        return point.model in self.trusted_code


def exact_between(
    pairs: Sequence[tuple[Point, Point]],
    store: MlflowClient,
    options: ExactOptions | None = None,
    *,
    strict: bool = True,
    name: str | None = None,
    experiment: str | None = None,
    progress: bool = True,
) -> ExactStudy:
    """Compare each pair (A, B) exactly and log one run; an A is run once for all of its Bs.

    Parameters
    ----------
    strict
        Whether a pair that cannot be compared ends it; else it is left out with a notice.
    name, experiment
        Of the run.

    Raises
    ------
    InputError
        If a model or the texts are not there any more, two do not share a vocabulary, or nothing is
        left.
    ScoringError
        If a model cannot be run.
    """
    if not pairs:
        raise InputError("There is no pair of models to compare exactly; name two scored models.")
    options = options or ExactOptions()
    texts = texts_behind(pairs[0][0], store, options.texts)
    notices: list[str] = []
    left_out = None if strict else notices
    check_destination([point for pair in pairs for point in pair], store, experiment, None)
    made: list[tuple[Point, Point, ExactComparison]] = []
    for (first, model_a), others in _prepared(pairs, texts, store, options, left_out):
        with (
            _left_out(left_out, f"{first.name!r} and all of its pairs"),
            exact_reference(model_a, texts=options.count, progress=progress) as reference,
        ):
            for second, model_b in others:
                with _left_out(left_out, f"{first.name!r} and {second.name!r}"):
                    made.append((first, second, reference.against(model_b)))
    if not made:
        raise InputError(f"No pair could be compared exactly ({' '.join(notices)}).")
    return _log(made, notices, options, name, experiment, store)


def _prepared(
    pairs: Sequence[tuple[Point, Point]],
    texts: TextSet,
    store: MlflowClient,
    options: ExactOptions,
    notices: list[str] | None,
) -> list[tuple[tuple[Point, Prepared], list[tuple[Point, Prepared]]]]:
    """Each A with its Bs, their files at hand and their vocabularies looked at."""
    known: dict[str, Prepared] = {}

    def behind(point: Point) -> Prepared:
        if point.run_id not in known:
            known[point.run_id] = model_behind(
                point,
                texts,
                store,
                device=options.device,
                device_map=options.device_map,
                trust_remote_code=options.trusts(point),
            )
        return known[point.run_id]

    found: dict[str, tuple[tuple[Point, Prepared], list[tuple[Point, Prepared]]]] = {}
    for first, second in pairs:
        with _left_out(notices, f"{first.name!r} and {second.name!r}"):
            one, other = behind(first), behind(second)
            check_comparable(one, other)
            found.setdefault(first.run_id, ((first, one), []))[1].append((second, other))
    return list(found.values())


@contextmanager
def _left_out(notices: list[str] | None, what: str) -> Iterator[None]:
    """Turn a failure into a notice, so that it costs no other pair; without `notices` it is one."""
    try:
        yield
    except (InputError, ScoringError) as error:
        if notices is None:
            raise
        notices.append(f"{what}: {error}")


def _log(
    made: list[tuple[Point, Point, ExactComparison]],
    notices: list[str],
    options: ExactOptions,
    name: str | None,
    experiment: str | None,
    store: MlflowClient,
) -> ExactStudy:
    labels = [f"{first.name} || {second.name}" for first, second, _ in made]
    rows = []
    for label, (first, second, found) in zip(labels, made, strict=True):
        told = found.summary
        rows.append(
            {
                "first": first.name,
                "second": second.name,
                "first_run": first.run_id,
                "second_run": second.run_id,
                "pair": label,
                **{column: getattr(told, column) for column in _COLUMNS},
                **{f"kl_{level:g}": kl for level, kl in told.token_percentiles.items()},
            }
        )
    tables = {"exact": pd.DataFrame(rows)}
    for table in _TABLES[1:]:
        parts = [
            getattr(found, table).assign(pair=label)
            for label, (_, _, found) in zip(labels, made, strict=True)
        ]
        tables[table] = pd.concat(parts, ignore_index=True)
    # Comparing two scores, which knows this module, draws nothing.
    from mlflow_modelmap.figures.exact import by_domain_figure, token_kl_figure

    figures: dict[str, Any] = {"token_kl": token_kl_figure(tables["percentiles"])}
    if len(tables["by_domain"]):
        figures["by_domain"] = by_domain_figure(tables["by_domain"])
    metrics: dict[str, float] = {}
    for row in rows:
        end = "" if len(rows) == 1 else f"/{_metric_name(row['second'])}"
        for quantity in ("forward", "reverse", "js", "top1", "perplexity_ratio"):
            metrics[f"exact_{quantity}{end}"] = row[quantity]
            metrics[f"exact_{quantity}_se{end}"] = row[f"{quantity}_se"]
    members = list({p.run_id: p for first, second, _ in made for p in (first, second)}.values())
    run_id = write_study(
        schema.KIND_EXACT,
        tables=tables,
        figures=figures,
        metrics={k: v for k, v in metrics.items() if v == v},
        params={
            "texts_compared": rows[0]["texts"],
            "trusted_code": " ".join(options.trusted_code),
            "device": options.device,
        },
        members=members,
        notices=notices,
        name=name or (f"exact: {labels[0]}" if len(labels) == 1 else "exact"),
        experiment=experiment,
        store=store,
    )
    return _study(run_id, tables, tuple(notices), tuple(found for *_, found in made))


def _metric_name(point: str) -> str:
    """A point's name as MLflow takes it in a metric."""
    return "".join(c if c.isalnum() or c in "_-. " else "_" for c in point)[:100]


def exact_columns(study: ExactStudy, pairs: Sequence[tuple[str, str]]) -> pd.DataFrame:
    """What a table of pairs of runs says of them exactly, a row a pair; NaN where it is not known.

    Parameters
    ----------
    pairs
        Run ids of A and B.
    """
    known = study.pairs.drop_duplicates(["first_run", "second_run"])
    known = known.set_index(["first_run", "second_run"])
    rows = known.reindex(pd.MultiIndex.from_tuples(list(pairs)))
    return pd.DataFrame({f"exact_{name}": rows[name].to_numpy(dtype=float) for name in BESIDE})


def load_exact(run_id: str) -> ExactStudy:
    """What `exact_between` logged in a run.

    Raises
    ------
    InputError
        If there is no such run, or it is not a finished run of kind ``exact``.
    TrackingError
        If one of its artifacts is missing or damaged.
    """
    read = load_study(run_id, schema.KIND_EXACT, tables=_TABLES)
    return _study(run_id, read.tables, read.notices)


def _study(
    run_id: str,
    tables: Mapping[str, pd.DataFrame],
    notices: tuple[str, ...],
    comparisons: tuple[ExactComparison, ...] = (),
) -> ExactStudy:
    pairs, by_text, by_domain, tokens, percentiles = (tables[name] for name in _TABLES)
    return ExactStudy(run_id, pairs, by_text, by_domain, tokens, percentiles, notices, comparisons)
