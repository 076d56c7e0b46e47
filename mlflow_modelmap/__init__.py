"""Language models as points on one map: KL divergence in bits per byte, tracked in MLflow.

Public names are loaded on first use, so that importing the package imports neither torch nor
mlflow.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_PUBLIC = {
    "GateDecision": "mlflow_modelmap.drivers.gate",
    "InputError": "mlflow_modelmap.errors",
    "ModelMap": "mlflow_modelmap.drivers.map",
    "ModelMapCallback": "mlflow_modelmap.surfaces.callbacks.trainer",
    "ModelMapError": "mlflow_modelmap.errors",
    "ModelMapLightningCallback": "mlflow_modelmap.surfaces.callbacks.lightning",
    "ModelReference": "mlflow_modelmap.scoring.reference",
    "Monitor": "mlflow_modelmap.drivers.monitor",
    "ScoringError": "mlflow_modelmap.errors",
    "ScoringSettings": "mlflow_modelmap.scoring.settings",
    "TextSet": "mlflow_modelmap.texts.text_set",
    "TrackingError": "mlflow_modelmap.errors",
    "build_map": "mlflow_modelmap.drivers.map",
    "build_scale": "mlflow_modelmap.drivers.scale",
    "compare": "mlflow_modelmap.drivers.compare",
    "evaluable": "mlflow_modelmap.scoring.evaluable",
    "gate": "mlflow_modelmap.drivers.gate",
    "lineage": "mlflow_modelmap.drivers.lineage",
    "load_layers": "mlflow_modelmap.drivers.layers",
    "load_lineage": "mlflow_modelmap.drivers.lineage",
    "load_map": "mlflow_modelmap.drivers.map",
    "load_quantization": "mlflow_modelmap.drivers.quantization",
    "load_scale": "mlflow_modelmap.drivers.scale",
    "load_trajectory": "mlflow_modelmap.drivers.trajectory",
    "load_weight_distances": "mlflow_modelmap.drivers.weights",
    "read_texts": "mlflow_modelmap.texts.read",
    "resample_texts": "mlflow_modelmap.drivers.resample",
    "score": "mlflow_modelmap.drivers.score",
    "study_layers": "mlflow_modelmap.drivers.layers",
    "study_quantization": "mlflow_modelmap.drivers.quantization",
    "sweep": "mlflow_modelmap.drivers.sweep",
    "trajectory": "mlflow_modelmap.drivers.trajectory",
    "weight_distances": "mlflow_modelmap.drivers.weights",
}

_NEEDS_AN_EXTRA = ("ModelMapLightningCallback",)  # `import *` must work without it

__all__ = ["__version__", *(name for name in _PUBLIC if name not in _NEEDS_AN_EXTRA)]


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(_PUBLIC[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*__all__, *_NEEDS_AN_EXTRA])


if TYPE_CHECKING:
    from mlflow_modelmap.drivers.compare import compare as compare
    from mlflow_modelmap.drivers.gate import GateDecision as GateDecision
    from mlflow_modelmap.drivers.gate import gate as gate
    from mlflow_modelmap.drivers.layers import load_layers as load_layers
    from mlflow_modelmap.drivers.layers import study_layers as study_layers
    from mlflow_modelmap.drivers.lineage import lineage as lineage
    from mlflow_modelmap.drivers.lineage import load_lineage as load_lineage
    from mlflow_modelmap.drivers.map import ModelMap as ModelMap
    from mlflow_modelmap.drivers.map import build_map as build_map
    from mlflow_modelmap.drivers.map import load_map as load_map
    from mlflow_modelmap.drivers.monitor import Monitor as Monitor
    from mlflow_modelmap.drivers.quantization import load_quantization as load_quantization
    from mlflow_modelmap.drivers.quantization import study_quantization as study_quantization
    from mlflow_modelmap.drivers.resample import resample_texts as resample_texts
    from mlflow_modelmap.drivers.scale import build_scale as build_scale
    from mlflow_modelmap.drivers.scale import load_scale as load_scale
    from mlflow_modelmap.drivers.score import score as score
    from mlflow_modelmap.drivers.sweep import sweep as sweep
    from mlflow_modelmap.drivers.trajectory import load_trajectory as load_trajectory
    from mlflow_modelmap.drivers.trajectory import trajectory as trajectory
    from mlflow_modelmap.drivers.weights import load_weight_distances as load_weight_distances
    from mlflow_modelmap.drivers.weights import weight_distances as weight_distances
    from mlflow_modelmap.errors import InputError as InputError
    from mlflow_modelmap.errors import ModelMapError as ModelMapError
    from mlflow_modelmap.errors import ScoringError as ScoringError
    from mlflow_modelmap.errors import TrackingError as TrackingError
    from mlflow_modelmap.scoring.evaluable import evaluable as evaluable
    from mlflow_modelmap.scoring.reference import ModelReference as ModelReference
    from mlflow_modelmap.scoring.settings import ScoringSettings as ScoringSettings
    from mlflow_modelmap.surfaces.callbacks.lightning import (
        ModelMapLightningCallback as ModelMapLightningCallback,
    )
    from mlflow_modelmap.surfaces.callbacks.trainer import ModelMapCallback as ModelMapCallback
    from mlflow_modelmap.texts.read import read_texts as read_texts
    from mlflow_modelmap.texts.text_set import TextSet as TextSet
