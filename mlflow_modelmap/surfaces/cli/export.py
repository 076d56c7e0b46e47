"""Surface: `modelmap export`, the vectors of scored runs as one file."""

from __future__ import annotations

from typing import Any

import click

from mlflow_modelmap.surfaces.cli.options import (
    Command,
    Output,
    option,
    output_options,
    selection_options,
)


@click.command(cls=Command, short_help="Write the vectors of scored runs into a file.")
@option("-o", "--out", required=True, help="File to write: .npz, .parquet or .csv.")
@option("--layers", is_flag=True, help="A point a layer, of runs that were scored with --layers.")
@selection_options
@output_options
def export(out: str, output: Output, **values: Any) -> None:
    """Write the vectors of scored runs, with their labels, into one file.

    modelmap import reads it back bit for bit, on any machine and into any store: the file says
    which text set it is and how long the texts are, and does not hold the texts themselves.
    """
    from mlflow_modelmap.drivers.exchange.export_vectors import export_vectors

    made = export_vectors(out, **values)
    for notice in made.notices:
        output.notice(notice)
    beside = [f"and {made.beside}, which says what its texts are"] if made.beside else []
    output.tell(
        {
            "file": made.file,
            "beside": made.beside,
            "points": made.points,
            "texts": made.texts,
            "text_set": made.text_set,
            "notices": list(made.notices),
        },
        [f"Wrote {made.file}: {made.points:,} points on {made.texts:,} texts", *beside],
        ids=[made.file],
    )
