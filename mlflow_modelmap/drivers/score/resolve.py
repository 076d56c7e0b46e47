"""Driver: where a model's files are on this machine - a whole model, or an adapter on its base."""

from __future__ import annotations

import os

from mlflow_modelmap.errors import InputError
from mlflow_modelmap.scoring.model.adapter import Adapter, check_peft, read_adapter
from mlflow_modelmap.scoring.model.config import brings_own_code
from mlflow_modelmap.scoring.model.folder import local_files, weights_in
from mlflow_modelmap.scoring.model.reference import HUB, LOCAL, ModelFiles, ModelReference
from mlflow_modelmap.scoring.model.weight_files import ADAPTER, adapter_refused
from mlflow_modelmap.words.reason import reason


def resolve_model(
    reference: ModelReference, *, base: ModelReference | None = None, refused: str | None = None
) -> ModelFiles:
    """Where a model's files are on this machine, fetched if need be; of an adapter with its base.

    Parameters
    ----------
    base
        The base model of an adapter; by default the one that the adapter names.
    refused
        Why pickled weights are refused, or None; see `weight_files.check_has_weights`.

    Raises
    ------
    InputError
        If it is not there, gated, no causal language model, or an adapter whose base is not.
    ScoringError, TrackingError
        If the Hub or the MLflow store cannot give it.
    """
    found = _model_or_adapter(reference, refused)
    if isinstance(found, ModelFiles):
        if base is not None:
            raise InputError(
                f"{str(reference)!r} is a whole model and no adapter, so that it has no base to be "
                f"applied to ({str(base)!r} was given); leave the base out."
            )
        return found
    check_peft(f"the model {str(reference)!r}")
    return found.on(_base(found, base, refused))


def whole_model(reference: ModelReference, *, refused: str | None = None) -> ModelFiles:
    """As `resolve_model`, for places that cannot take an adapter.

    Raises
    ------
    InputError
        If it is one, or as `resolve_model`.
    """
    found = _model_or_adapter(reference, refused)
    if isinstance(found, Adapter):
        raise adapter_refused(repr(str(reference)), found.base)
    return found


def check_base_code(files: ModelFiles) -> None:
    """Raise an InputError if the base of an adapter, which its user did not name, brings code.

    To be asked where code may run: that was allowed for what the user wrote.
    """
    if files.adapter is not None and brings_own_code(files.model_path):
        raise InputError(
            f"The base model {files.adapter.base_name!r} of the adapter "
            f"{str(files.reference)!r} brings its own code, which is not run because the adapter "
            "named it and not you; read it, then name it with --base."
        )


def _model_or_adapter(reference: ModelReference, refused: str | None) -> ModelFiles | Adapter:
    if reference.kind == HUB:
        from mlflow_modelmap.scoring.model.hub import snapshot

        return snapshot(reference, refused)
    if reference.kind == LOCAL:
        if os.path.lexists(os.path.join(reference.name, ADAPTER)):
            return read_adapter(reference.name, reference, refused=refused)
        return local_files(reference.name, refused=refused)
    from mlflow_modelmap.tracking.registry.model_files import logged_model_files

    return logged_model_files(reference, refused)


def _base(adapter: Adapter, given: ModelReference | None, refused: str | None) -> ModelFiles:
    """The base of an adapter: as given, else what came with it, else what it names."""
    if given is None and adapter.base_path is not None:
        return weights_in(adapter.base_path, refused)
    wanted = given or adapter.named_base()
    try:
        found = _model_or_adapter(wanted, refused)
    except InputError as error:
        if given is not None:
            raise
        raise InputError(
            f"The base model of the adapter {str(adapter.reference)!r} cannot be had: "
            f"{reason(error, 600)}, or name another with --base."
        ) from error
    if isinstance(found, Adapter):
        raise InputError(
            f"The base model {str(wanted)!r} of the adapter {str(adapter.reference)!r} is an "
            "adapter itself; merge that into its own base (`merge_and_unload()`), save it and name "
            "it with --base."
        )
    return found
