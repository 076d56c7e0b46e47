"""Surface: `modelmap compare`, the KL divergence between two scored models, in words."""

from __future__ import annotations

from typing import Any

import click

from mlflow_modelmap.surfaces.cli.exact_lines import told_in_lines
from mlflow_modelmap.surfaces.cli.exact_options import exact_options, options_of
from mlflow_modelmap.surfaces.cli.options import (
    Command,
    Output,
    experiments_option,
    option,
    output_options,
    vector_option,
)
from mlflow_modelmap.words.interval import interval_words
from mlflow_modelmap.words.value_and_error import with_error
from mlflow_modelmap.words.vectors import of_vectors

FAR_ABOVE = 2.0
FAR = (
    "At this size it is a distance between the models, not what coding text of one with the other "
    "would cost."
)
"""A KL far above the bits per byte of any text is not a number of bits that anybody would pay."""


@click.command(cls=Command, short_help="KL divergence between two scored models, in words.")
@click.argument("a")
@click.argument("b")
@experiments_option(
    "Where to look names up; by default the current experiment, then all.", "Options"
)
@vector_option
@option(
    "--per-byte",
    is_flag=True,
    help="Leave out differences in proportion to the texts' bytes (texts of unequal length).",
)
@exact_options
@output_options
def compare(
    a: str,
    b: str,
    experiments: tuple[str, ...],
    output: Output,
    *,
    vector: str,
    per_byte: bool,
    exact: bool,
    **values: Any,
) -> None:
    """Print the KL divergence between A and B, two models that are scored already.

    Each is a run id, the name of a run or of a point on a map, or a model reference such as
    org/name or org/name@revision. With --exact both models are run again, and what they expect at
    every token is compared; that is logged as a run of its own.
    """
    from mlflow_modelmap.drivers.pair.compare import as_json
    from mlflow_modelmap.drivers.pair.compare import compare as measure
    from mlflow_modelmap.numerics.divergence.noise_floor import noise_sentence

    options = options_of(values)
    found = measure(
        a,
        b,
        experiments=experiments,
        texts=values.pop("texts"),
        vector=vector,
        per_byte=per_byte,
        exact=exact,
        options=options,
        progress=output.progress,
    )
    width = max(len(found.a.name), len(found.b.name))
    name = f" ({found.text_set_name})" if found.text_set_name else ""
    of = f" of {found.documents:,} documents" if found.documents != found.texts else ""
    lines = [
        f"KL divergence{of_vectors(vector)} {with_error(found.kl, found.se)} bits/byte, "
        f"{interval_words(found.low, found.high)}",
        f"That is {found.words}.",
        f"It is {found.sharpness}.",
        *([FAR] if found.kl > FAR_ABOVE else []),
        *([noise_sentence(found.noise_floor)] if found.within_noise else []),
        "",
        *(
            f"{one.name:<{width}}  {with_error(bits, error)} bits per byte  run {one.run_id}"
            for one, bits, error in (
                (found.a, found.bits_per_byte, found.bits_per_byte_se),
                (found.b, found.other_bits_per_byte, found.other_bits_per_byte_se),
            )
        ),
        f"{'difference':<{width}}  "
        f"{with_error(found.bits_per_byte_difference, found.bits_per_byte_difference_se)}, "
        + interval_words(found.bits_per_byte_difference_low, found.bits_per_byte_difference_high)
        + ("; the part that is equal on all texts is not in the KL" if found.shifted else ""),
        f"on {found.texts:,} {found.unit}{of}{name}" + (", per byte" if per_byte else ""),
        *found.notices,
        *([] if found.exact_study is None else ["", *told_in_lines(found.exact_study)]),
        *([] if found.exact_study is None else [f"Run {found.exact_study.run_id} holds it."]),
    ]
    output.tell(as_json(found), lines, ids=[f"{found.kl!r}"])
