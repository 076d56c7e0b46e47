"""Language models as points on one map: KL divergence in bits per byte, tracked in MLflow.

Public names are loaded on first use, so that importing the package imports neither torch nor
mlflow.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.2.0.dev0"

_PUBLIC = {
    "GateDecision": "mlflow_modelmap.drivers.gate.gate",
    "InputError": "mlflow_modelmap.errors",
    "ModelMap": "mlflow_modelmap.drivers.map.model_map",
    "ModelMapCallback": "mlflow_modelmap.surfaces.callbacks.trainer",
    "ModelMapError": "mlflow_modelmap.errors",
    "ModelMapLightningCallback": "mlflow_modelmap.surfaces.callbacks.lightning",
    "ModelReference": "mlflow_modelmap.scoring.model.reference",
    "Monitor": "mlflow_modelmap.drivers.monitor.monitor",
    "ScoringError": "mlflow_modelmap.errors",
    "ScoringSettings": "mlflow_modelmap.scoring.settings",
    "TextSet": "mlflow_modelmap.texts.text_set",
    "TrackingError": "mlflow_modelmap.errors",
    "Workers": "mlflow_modelmap.drivers.score.workers.options",
    "build_map": "mlflow_modelmap.drivers.map.build_map",
    "build_scale": "mlflow_modelmap.drivers.study.scale",
    "compare": "mlflow_modelmap.drivers.pair.compare",
    "evaluable": "mlflow_modelmap.scoring.model.evaluable",
    "export_vectors": "mlflow_modelmap.drivers.exchange.export_vectors",
    "gate": "mlflow_modelmap.drivers.gate.gate",
    "import_vectors": "mlflow_modelmap.drivers.exchange.import_vectors",
    "import_weights": "mlflow_modelmap.drivers.exchange.import_weights",
    "identify": "mlflow_modelmap.drivers.lineage.identify",
    "lineage": "mlflow_modelmap.drivers.lineage.lineage",
    "load_layers": "mlflow_modelmap.drivers.study.layers",
    "load_lineage": "mlflow_modelmap.drivers.lineage.study",
    "load_map": "mlflow_modelmap.drivers.map.model_map",
    "load_prediction": "mlflow_modelmap.drivers.study.prediction",
    "load_prompts": "mlflow_modelmap.drivers.study.prompts",
    "load_quantization": "mlflow_modelmap.drivers.study.quantization",
    "load_scale": "mlflow_modelmap.drivers.study.scale",
    "load_texts": "mlflow_modelmap.drivers.score.texts",
    "load_trajectory": "mlflow_modelmap.drivers.trajectory.study",
    "load_weight_distances": "mlflow_modelmap.drivers.weights.distances",
    "log_texts": "mlflow_modelmap.drivers.score.texts",
    "place_on_map": "mlflow_modelmap.drivers.map.place",
    "predict": "mlflow_modelmap.drivers.study.prediction",
    "read_texts": "mlflow_modelmap.texts.read",
    "resample_texts": "mlflow_modelmap.drivers.map.resample",
    "score": "mlflow_modelmap.drivers.score.score",
    "study_layers": "mlflow_modelmap.drivers.study.layers",
    "study_prompts": "mlflow_modelmap.drivers.study.prompts",
    "study_quantization": "mlflow_modelmap.drivers.study.quantization",
    "sweep": "mlflow_modelmap.drivers.score.sweep",
    "trajectory": "mlflow_modelmap.drivers.trajectory.trajectory",
    "weight_distances": "mlflow_modelmap.drivers.weights.distances",
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
    from mlflow_modelmap.drivers.exchange.export_vectors import export_vectors as export_vectors
    from mlflow_modelmap.drivers.exchange.import_vectors import import_vectors as import_vectors
    from mlflow_modelmap.drivers.exchange.import_weights import import_weights as import_weights
    from mlflow_modelmap.drivers.gate.gate import GateDecision as GateDecision
    from mlflow_modelmap.drivers.gate.gate import gate as gate
    from mlflow_modelmap.drivers.lineage.identify import identify as identify
    from mlflow_modelmap.drivers.lineage.lineage import lineage as lineage
    from mlflow_modelmap.drivers.lineage.study import load_lineage as load_lineage
    from mlflow_modelmap.drivers.map.build_map import build_map as build_map
    from mlflow_modelmap.drivers.map.model_map import ModelMap as ModelMap
    from mlflow_modelmap.drivers.map.model_map import load_map as load_map
    from mlflow_modelmap.drivers.map.place import place_on_map as place_on_map
    from mlflow_modelmap.drivers.map.resample import resample_texts as resample_texts
    from mlflow_modelmap.drivers.monitor.monitor import Monitor as Monitor
    from mlflow_modelmap.drivers.pair.compare import compare as compare
    from mlflow_modelmap.drivers.score.score import score as score
    from mlflow_modelmap.drivers.score.sweep import sweep as sweep
    from mlflow_modelmap.drivers.score.texts import load_texts as load_texts
    from mlflow_modelmap.drivers.score.texts import log_texts as log_texts
    from mlflow_modelmap.drivers.score.workers.options import Workers as Workers
    from mlflow_modelmap.drivers.study.layers import load_layers as load_layers
    from mlflow_modelmap.drivers.study.layers import study_layers as study_layers
    from mlflow_modelmap.drivers.study.prediction import load_prediction as load_prediction
    from mlflow_modelmap.drivers.study.prediction import predict as predict
    from mlflow_modelmap.drivers.study.prompts import load_prompts as load_prompts
    from mlflow_modelmap.drivers.study.prompts import study_prompts as study_prompts
    from mlflow_modelmap.drivers.study.quantization import load_quantization as load_quantization
    from mlflow_modelmap.drivers.study.quantization import study_quantization as study_quantization
    from mlflow_modelmap.drivers.study.scale import build_scale as build_scale
    from mlflow_modelmap.drivers.study.scale import load_scale as load_scale
    from mlflow_modelmap.drivers.trajectory.study import load_trajectory as load_trajectory
    from mlflow_modelmap.drivers.trajectory.trajectory import trajectory as trajectory
    from mlflow_modelmap.drivers.weights.distances import (
        load_weight_distances as load_weight_distances,
    )
    from mlflow_modelmap.drivers.weights.distances import weight_distances as weight_distances
    from mlflow_modelmap.errors import InputError as InputError
    from mlflow_modelmap.errors import ModelMapError as ModelMapError
    from mlflow_modelmap.errors import ScoringError as ScoringError
    from mlflow_modelmap.errors import TrackingError as TrackingError
    from mlflow_modelmap.scoring.model.evaluable import evaluable as evaluable
    from mlflow_modelmap.scoring.model.reference import ModelReference as ModelReference
    from mlflow_modelmap.scoring.settings import ScoringSettings as ScoringSettings
    from mlflow_modelmap.surfaces.callbacks.lightning import (
        ModelMapLightningCallback as ModelMapLightningCallback,
    )
    from mlflow_modelmap.surfaces.callbacks.trainer import ModelMapCallback as ModelMapCallback
    from mlflow_modelmap.texts.read import read_texts as read_texts
    from mlflow_modelmap.texts.text_set import TextSet as TextSet
