"""Scoring: one base model in memory, for its adapters that are scored one after the other."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mlflow_modelmap.scoring.load.precision import is_quantised, resolve
from mlflow_modelmap.scoring.model.config import read_config
from mlflow_modelmap.scoring.model.gguf_file import WEIGHTS as GGUF
from mlflow_modelmap.scoring.model.reference import ModelFiles
from mlflow_modelmap.scoring.model.stored_quantization import stored_quantization
from mlflow_modelmap.scoring.settings import ScoringSettings

if TYPE_CHECKING:
    from mlflow_modelmap.scoring.load.untouched import Untouched


@dataclass(frozen=True)
class BaseKey:
    """Everything that decides what is loaded, before any adapter is applied to it."""

    path: str
    commit: str
    precision: str
    device: str
    device_map: str | None
    double_quantization: bool
    int8_threshold: float
    trust_remote_code: bool
    safetensors_only: bool


def base_key(files: ModelFiles, settings: ScoringSettings) -> BaseKey | None:
    """What is loaded for a model: of an adapter its base; None if that is never kept.

    Raises
    ------
    InputError
        As `precision.resolve`.
    """
    config = read_config(files.model_path)
    stored = stored_quantization(config)
    if stored is not None and stored.method not in ("bitsandbytes", "gguf"):
        return None  # takes no adapters
    precision, device = resolve(settings, config)
    if files.adapter is not None and is_merged(files.model_path, precision):
        precision = "float32"
    return BaseKey(
        path=files.model_path,
        commit=files.commit if files.adapter is None else files.adapter.base_commit,
        precision=precision,
        device=device,
        device_map=settings.device_map,
        double_quantization=settings.double_quantization,
        int8_threshold=settings.int8_threshold,
        trust_remote_code=settings.trust_remote_code,
        safetensors_only=settings.safetensors_only,
    )


def is_merged(model_path: str, precision: str) -> bool:
    """Whether an adapter is merged into a base, which is loaded in float32 for it."""
    return not is_quantised(precision) or GGUF in os.listdir(model_path)


class LoadedBase:
    """At most one model in memory between one score and the next; whoever holds this owns it.

    Attributes
    ----------
    expected
        What the model after the present one is on; only that is kept. None for nothing.
    loads
        How often weights were read.
    """

    def __init__(self) -> None:
        self.expected: BaseKey | None = None
        self.loads = 0
        self._key: BaseKey | None = None
        self._kept: Untouched | None = None

    @property
    def holds(self) -> bool:
        """Whether a model is kept."""
        return self._kept is not None

    def get(self, key: BaseKey | None, read: Callable[[], Any]) -> Any:
        """What is loaded under a key: as it is kept, to the bit, else read now.

        Parameters
        ----------
        read
            Loads it; called when nothing is kept any more.
        """
        model = None
        if self._kept is not None and key == self._key:
            model = self._kept.again()
            if model is not None and key != self.expected:
                self._kept = None  # no other follows
        if model is None:
            self.let_go()
            self.loads += 1
            model = read()
            if key is not None and key == self.expected and _all_here(model):
                from mlflow_modelmap.scoring.load.untouched import Untouched

                self._key, self._kept = key, Untouched(model)
        return model

    def before_change(self, changed: Iterable[Any], replaced: Iterable[Any]) -> None:
        """Let an adapter change the model: what it changes is copied, or the model not kept."""
        if self._kept is not None and not self._kept.before_change(changed, replaced):
            self._kept = None

    def let_go(self) -> None:
        """Give the memory back."""
        held, self._kept, self._key = self._kept is not None, None, None
        if held:
            gc.collect()


def _all_here(model: Any) -> bool:
    """Whether no weight of a model is left on disk."""
    return not any(tensor.is_meta for tensor in (*model.parameters(), *model.buffers()))
