"""Driver: the KL divergence between two scored models, and how large that is in words."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from mlflow import MlflowClient

from mlflow_modelmap.drivers.exact.exact import ExactOptions, ExactStudy, exact_between
from mlflow_modelmap.drivers.pair.comparison import Comparison
from mlflow_modelmap.drivers.pair.named_score import by_run_id, is_run_id, one_named, runs_to_name
from mlflow_modelmap.drivers.pair.scale_at_hand import scale_at_hand
from mlflow_modelmap.drivers.score.on_texts import on_texts
from mlflow_modelmap.errors import InputError
from mlflow_modelmap.numerics.divergence.noise_floor import pair_floor
from mlflow_modelmap.numerics.exact.summary import ExactKL
from mlflow_modelmap.numerics.matrix.sampling import uneven_lengths
from mlflow_modelmap.scoring.model.reference import ModelReference
from mlflow_modelmap.texts.text_set import TextSet
from mlflow_modelmap.tracking import schema
from mlflow_modelmap.tracking.registry.versions import fixed_version
from mlflow_modelmap.tracking.runs.point import Point
from mlflow_modelmap.tracking.runs.read_vectors import read_matrix
from mlflow_modelmap.tracking.runs.selection import check_vector
from mlflow_modelmap.tracking.runs.unique_names import unique_names
from mlflow_modelmap.tracking.runs.unit_of_texts import unit_of
from mlflow_modelmap.tracking.store.client import check_reachable
from mlflow_modelmap.words.shortened import shortened
from mlflow_modelmap.words.texts_or_responses import TEXTS
from mlflow_modelmap.words.vectors import CONDITIONAL


@dataclass(frozen=True)
class Compared:
    """One of the two: its name, run, what was scored, and its bits per byte."""

    name: str
    run_id: str
    model: str
    revision: str | None
    precision: str | None
    trajectory: str | None
    step: int | None
    bits_per_byte: float


@dataclass(frozen=True, kw_only=True)
class ScoresCompared(Comparison):
    """The KL divergence between two scored models, and whose scores they are.

    Attributes
    ----------
    a, b
        The two; the fields of `Comparison` that name a first model mean a.
    text_set, text_set_name, texts
        Digest, name and number of the texts that both were scored on.
    unit
        What these are called: ``texts``, or ``responses`` where they have prompts.
    notices
        What is to be told of the texts, a sentence each.
    exact
        The exact comparison of a and b, if it was asked for.
    exact_study
        The run that holds it, and its tables.
    """

    a: Compared
    b: Compared
    text_set: str
    text_set_name: str | None
    texts: int
    unit: str = TEXTS
    notices: tuple[str, ...] = ()
    exact: ExactKL | None = None
    exact_study: ExactStudy | None = None


_WRITTEN = (
    *("a", "b", "kl", "se", "low", "high", "words", "half_in", "sharpness"),
    *("bits_per_byte", "bits_per_byte_se", "other_bits_per_byte", "other_bits_per_byte_se"),
    *("bits_per_byte_difference", "bits_per_byte_difference_se"),
    *("bits_per_byte_difference_low", "bits_per_byte_difference_high"),
    *("text_set", "text_set_name", "texts", "documents", "length_variation", "per_byte"),
    "notices",
)


def as_json(found: ScoresCompared) -> dict[str, Any]:
    """A comparison as plain values, for ``--json``."""
    values = {name: getattr(found, name) for name in _WRITTEN}
    values |= {"a": asdict(found.a), "b": asdict(found.b)}
    noise = found.logged()
    exact: dict[str, Any] = {}
    if found.exact is not None and found.exact_study is not None:
        exact = {"exact": {**found.exact.as_json(), "run_id": found.exact_study.run_id}}
    return {
        **values,
        **({} if found.vector == CONDITIONAL else {"vector": found.vector}),
        **{name: noise[name] for name in ("noise_floor", "within_noise")},
        **exact,
    }


def compare(
    a: str,
    b: str,
    *,
    experiments: Iterable[str] = (),
    texts: TextSet | str | os.PathLike[str] | None = None,
    vector: str = CONDITIONAL,
    per_byte: bool = False,
    exact: bool = False,
    options: ExactOptions | None = None,
    name: str | None = None,
    output_experiment: str | None = None,
    progress: bool = False,
) -> ScoresCompared:
    """Measure the KL divergence between two models that are scored already.

    Parameters
    ----------
    a, b
        Each a run id (or its first letters), ``RUN_ID@STEP`` for a checkpoint of a monitored
        training, ``RUN_ID@NAME`` for an imported point, the name of a run or of a point on a
        map, or a model reference (``org/name``, ``org/name@revision``, a directory,
        ``models:/name/1``).
    experiments
        Where names are looked up; by default the current experiment, and if that holds none of
        them, all.
    texts
        The text set on which both were scored, where there are several: its name, digest or file;
        see `on_texts`.
    vector
        Which vectors of the two: ``conditional``, ``unconditional`` or ``pmi``, see
        `drivers.study.selection.select`.
    per_byte
        Whether the KL leaves out differences in proportion to the texts' bytes, for texts of
        unequal length; see `LogLikelihoodMatrix.per_byte`.
    exact
        Whether both models are loaded and run once more, to compare their next-token distributions
        token by token; that is logged as a run of kind ``exact``.
    options
        How: see `ExactOptions`.
    name, output_experiment
        Of that run.
    progress
        Whether bars are shown.

    Returns
    -------
    ScoresCompared

    Raises
    ------
    InputError
        If one of them is not there or stands for several runs, both are the same run, or they
        were scored on different text sets; if asked for `exact`, the two have no common vocabulary,
        or a model or the texts are not there any more.
    ScoringError
        If a model cannot be run.
    """
    check_vector(vector)
    store = check_reachable()
    first, second = _find((a, b), tuple(experiments), texts, store)
    if first.place == second.place:
        raise InputError(
            f"{a!r} and {b!r} are the same run, {first.run_id} ({first.name!r}); name two "
            "different ones."
        )
    notices: list[str] = []
    matrix, points = read_matrix(unique_names([first, second]), said=notices, vector=vector)
    unit = unit_of(first.run_id)
    measured = Comparison.of_vectors(
        matrix.values[0],
        matrix.values[1],
        matrix.text_bytes,
        matrix.weights,
        matrix.documents,
        per_byte=per_byte,
        noise_floor=pair_floor(points[0].noise_kl, points[1].noise_kl),
        vector=vector,
        likelihoods=matrix.likelihoods,
        unit=unit,
        own=scale_at_hand(
            first.text_set,
            first.tags.get(schema.TAG_TEXT_WEIGHTS),
            list(dict.fromkeys((first.experiment_id, second.experiment_id))),
            store,
        ),
    )
    told = None if per_byte else uneven_lengths(measured.length_variation)
    if told is not None:
        notices.append(told)
    study = None
    if exact:
        study = exact_between(
            [(points[0], points[1])],
            store,
            options,
            name=name,
            experiment=output_experiment,
            progress=progress,
        )
    return ScoresCompared(
        **vars(measured),
        a=_compared(points[0]),
        b=_compared(points[1]),
        text_set=first.text_set,
        text_set_name=first.text_set_name,
        texts=matrix.values.shape[1],
        unit=unit,
        notices=tuple(notices),
        exact=None if study is None else study.comparisons[0].summary,
        exact_study=study,
    )


def _compared(point: Point) -> Compared:
    assert point.bits_per_byte is not None
    return Compared(
        name=point.name,
        run_id=point.run_id,
        model=point.model,
        revision=point.revision,
        precision=point.precision,
        trajectory=point.trajectory,
        step=point.step,
        bits_per_byte=point.bits_per_byte,
    )


def _find(
    references: tuple[str, str],
    experiments: tuple[str, ...],
    texts: TextSet | str | os.PathLike[str] | None,
    store: MlflowClient,
) -> tuple[Point, Point]:
    references = _of_now(references[0]), _of_now(references[1])
    names = [reference for reference in references if not is_run_id(reference)]
    runs = runs_to_name(names, experiments, store) if names else []
    if texts is not None and runs:
        runs = on_texts(texts, runs)
    first, second = (
        by_run_id(reference, store)
        if is_run_id(reference)
        else one_named(reference, runs, experiments)
        for reference in references
    )
    if texts is not None:
        same = on_texts(texts, [first, second])
        other = next((one for one in (first, second) if one not in same), None)
        if other is not None:
            raise InputError(
                f"{other.name!r} (run {other.run_id}) was scored on other texts, "
                f"{shortened(other.text_set_name or 'unnamed', 60)} ({other.text_set[:12]}); leave "
                "--texts (texts=) out, or name a score on them."
            )
    return first, second


def _of_now(reference: str) -> str:
    """A registered model's alias as the version that it stands for now; all else as it is."""
    if not reference.startswith("models:/"):
        return reference
    try:
        return fixed_version(ModelReference.parse(reference)).name
    except InputError:
        return reference  # a run may be called so
