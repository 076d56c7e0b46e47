"""Tracking: the names of tags, metrics and artifacts that make an MLflow run one of ours."""

from __future__ import annotations

SCHEMA_VERSION = "1"
"""Raised only when a reader of the old layout would misread the new one."""

TAG_SCHEMA = "modelmap.schema"
TAG_KIND = "modelmap.kind"
TAG_MODEL = "modelmap.model"
TAG_REVISION = "modelmap.revision"
TAG_COMMIT = "modelmap.commit"
TAG_TRAJECTORY = "modelmap.trajectory"
TAG_STEP = "modelmap.step"
TAG_MODEL_TYPE = "modelmap.model_type"
TAG_BASE_MODEL = "modelmap.base_model"
TAG_PRECISION = "modelmap.precision"
TAG_TEXT_SET = "modelmap.text_set"
TAG_TEXT_SET_NAME = "modelmap.text_set_name"
TAG_IDENTITY = "modelmap.identity"
"""Hash of everything that goes into a score; the same identity is not scored twice."""
TAG_SAME_AS = "modelmap.same_as"
"""On a run of kind ``skipped``: the run that already holds this score."""
TAG_MEMBERS = "modelmap.members"
"""On a map-like run: how many score runs it gathers (their ids are in points.parquet)."""

KIND_SCORE = "score"
KIND_SKIPPED = "skipped"
KIND_SWEEP = "sweep"
KIND_MAP = "map"
KIND_TRAJECTORY = "trajectory"
KIND_WEIGHTS = "weights"
KIND_SCALE = "scale"
KIND_LINEAGE = "lineage"

ARTIFACT_FOLDER = "modelmap"
LOG_LIKELIHOODS = "modelmap/log_likelihoods.parquet"
LOG_LIKELIHOOD_COLUMNS = ("text", "layer", "log_likelihood", "scored_tokens", "bytes")

METRIC_BITS_PER_BYTE = "modelmap/bits_per_byte"
METRIC_MEAN_LOG_LIKELIHOOD = "modelmap/mean_log_likelihood"
METRIC_SCORED_TOKENS = "modelmap/scored_tokens"
METRIC_TOKENS_PER_SECOND = "modelmap/tokens_per_second"
