"""Tracking: a text set as an MLflow dataset, so that the UI shows it and filters find it."""

# No postponed annotations here: MLflow reads the constructor's return annotation as a class.
import json
from typing import Any

import pandas as pd
from mlflow.data.dataset import Dataset
from mlflow.data.dataset_source import DatasetSource
from mlflow.data.evaluation_dataset import EvaluationDataset
from mlflow.data.pyfunc_dataset_mixin import PyFuncConvertibleDatasetMixin, PyFuncInputsOutputs
from mlflow.types import ColSpec, DataType, Schema

from mlflow_modelmap.texts.prompt import canonical
from mlflow_modelmap.texts.text_set import TextSet
from mlflow_modelmap.tracking.schema import DOCUMENT_COLUMN, PROMPT_COLUMN, WEIGHT_COLUMN
from mlflow_modelmap.words.redact import redact

DIGEST_CHARACTERS = 32
"""MLflow keeps 36 characters of a digest; the whole one is in the tag ``modelmap.text_set``."""


class TextSetSource(DatasetSource):
    """Where a text set was read from: a path, the word ``python-docs``, or only its name.

    Parameters
    ----------
    uri
        What `read_texts` takes, or None for texts made in memory.
    """

    def __init__(self, uri: str | None = None) -> None:
        self.uri = redact(uri) if uri else None

    @staticmethod
    def _get_source_type() -> str:
        return "modelmap_texts"

    def load(self, **_: Any) -> TextSet:
        """Read the texts again."""
        from mlflow_modelmap.errors import InputError
        from mlflow_modelmap.texts.read import read_texts
        from mlflow_modelmap.tracking.runs.stored_texts import names_stored, read_stored_texts
        from mlflow_modelmap.tracking.store.client import client

        if self.uri is None:
            raise InputError(
                "These texts were made in memory and not read from a file; write them with "
                "`write_texts` to keep them."
            )
        if names_stored(self.uri):
            return read_stored_texts(self.uri, client())
        return read_texts(self.uri)

    @staticmethod
    def _can_resolve(raw_source: Any) -> bool:
        return isinstance(raw_source, TextSet)

    @classmethod
    def _resolve(cls, raw_source: Any) -> "TextSetSource":
        return cls()

    def to_dict(self) -> dict[str, Any]:
        return {"uri": self.uri}

    @classmethod
    def from_dict(cls, source_dict: dict[Any, Any]) -> "TextSetSource":
        return cls(source_dict.get("uri"))


class TextSetDataset(Dataset, PyFuncConvertibleDatasetMixin):
    """A text set for `mlflow.log_input` and `mlflow.models.evaluate`.

    Parameters
    ----------
    text_set
        The texts; they are not logged themselves.
    source
        Where they come from, if not from where the text set says.
    """

    def __init__(
        self,
        text_set: TextSet,
        source: TextSetSource | None = None,
        name: str | None = None,
        digest: str | None = None,
    ) -> None:
        self._text_set = text_set
        source = source or TextSetSource(text_set.source)
        super().__init__(source, name or text_set.name[:500], digest)

    def _compute_digest(self) -> str:
        return self._text_set.digest[:DIGEST_CHARACTERS]

    @property
    def text_set(self) -> TextSet:
        """The texts themselves."""
        return self._text_set

    @property
    def profile(self) -> dict[str, Any]:
        """How many texts and bytes, and the whole digest."""
        texts = self._text_set
        profile: dict[str, Any] = {
            "texts": len(texts),
            "bytes": int(texts.bytes.sum()),
            "mean_bytes": round(texts.mean_bytes, 3),
            "sha256": texts.digest,
        }
        if texts.weights_digest:
            profile["weights_sha256"] = texts.weights_digest
        if texts.domains:
            profile["domains"] = len(set(texts.domains))
        if texts.documents:
            profile["documents"] = texts.independent
        if texts.prompts is not None:
            profile["prompts"] = len(set(texts.prompts))
        return profile

    @property
    def schema(self) -> Schema:
        """One column of text."""
        return Schema([ColSpec(DataType.string, "text")])

    def to_frame(self) -> pd.DataFrame:
        """A row a text: ``text``, and ``domain``, ``weight``, ``document`` where there are any."""
        texts = self._text_set
        columns = {
            "text": texts.texts,
            "domain": texts.domains,
            WEIGHT_COLUMN: texts.weights,
            DOCUMENT_COLUMN: texts.documents,
            PROMPT_COLUMN: None if texts.prompts is None else map(canonical, texts.prompts),
        }
        return pd.DataFrame({name: list(c) for name, c in columns.items() if c is not None})

    def to_pyfunc(self) -> PyFuncInputsOutputs:
        """The texts as a model's input."""
        return PyFuncInputsOutputs([self.to_frame()])

    def to_evaluation_dataset(
        self, path: str | None = None, feature_names: list[str] | None = None
    ) -> EvaluationDataset:
        """The texts as `mlflow.models.evaluate` wants them."""
        return EvaluationDataset(
            self.to_frame(),
            path=path,
            feature_names=feature_names,
            name=self.name.replace('"', "'"),
            digest=self.digest,
        )

    def to_dict(self) -> dict[str, str]:
        return {
            **super().to_dict(),
            "schema": json.dumps({"mlflow_colspec": self.schema.to_dict()}),
            "profile": json.dumps(self.profile),
        }


def from_text_set(
    text_set: TextSet,
    source: str | None = None,
    name: str | None = None,
    digest: str | None = None,
) -> TextSetDataset:
    """``mlflow.data.from_text_set(text_set)``: a text set as an MLflow dataset.

    Parameters
    ----------
    source
        Where it was read from, if not from where the text set says.
    name, digest
        Shown in the UI; by default the text set's own name and first 32 hex digits.
    """
    return TextSetDataset(text_set, TextSetSource(source) if source else None, name, digest)
