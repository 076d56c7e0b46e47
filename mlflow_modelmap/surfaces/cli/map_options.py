"""Surface: the options of every command that holds models against a map that is there."""

from __future__ import annotations

from mlflow_modelmap.surfaces.cli.options import Function, logging_experiment, option

MAP = "The map"


def map_options(function: Function) -> Function:
    """``--map``, ``--texts`` and ``--experiment``; the command receives ``map_run`` for the map."""
    for declared in (
        logging_experiment("Where scores are looked for and go; by default the map's.", MAP),
        option(
            "--texts",
            group=MAP,
            help="The map's text set; by default where its own scores read it from.",
        ),
        option("--map", "map_run", required=True, group=MAP, help="Run id of the map."),
    ):
        function = declared(function)
    return function
