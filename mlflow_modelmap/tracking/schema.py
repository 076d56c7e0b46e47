"""Tracking: the names of tags, metrics and artifacts that make an MLflow run one of ours."""

from __future__ import annotations

SCHEMA_VERSION = "1"
"""Raised only when a reader of the old layout would misread the new one."""

TAG_SCHEMA = "modelmap.schema"
TAG_KIND = "modelmap.kind"
TAG_MODEL = "modelmap.model"
TAG_ALIAS = "modelmap.alias"
"""``models:/name@alias``, where a version was asked for so; the alias may have moved on since."""
TAG_REVISION = "modelmap.revision"
TAG_COMMIT = "modelmap.commit"
TAG_TRAJECTORY = "modelmap.trajectory"
TAG_STEP = "modelmap.step"
TAG_MODEL_TYPE = "modelmap.model_type"
TAG_BASE_MODEL = "modelmap.base_model"
TAG_BASE_MODEL_RELATION = "modelmap.base_model_relation"
"""How it was made from it, as the Hub calls that: adapter, finetune, merge, quantized."""
TAG_ADAPTER = "modelmap.adapter"
"""The adapter that was scored, with its own commit behind ``@``; of a monitored training its kind
(``lora``, ``dora``, ...); absent for whole models."""
TAG_ADAPTER_BASE = "modelmap.adapter_base"
"""What it was applied to, with its commit (of a monitored training where it is known); absent where
the base lies in the same artifact."""
TAG_WEIGHTS_FORMAT = "modelmap.weights_format"
"""In which the weights were read: ``safetensors`` or ``pickle``."""
TAG_ENGINE = "modelmap.engine"
"""What computed: ``transformers`` (also where it is absent), ``vllm``, ``endpoint``, ..."""
TAG_PROMPT = "modelmap.prompt"
"""What its prompts are under, beside what the text set holds: a system's message, a template."""
TAG_UNCONDITIONAL = "modelmap.unconditional"
"""``true`` where responses were scored without their prompts too; absent where not."""
TAG_PRECISION = "modelmap.precision"
TAG_INT8_THRESHOLD = "modelmap.int8_threshold"
"""Outlier threshold of LLM.int8, where there is one; absent where it is 0."""
TAG_TEXT_SET = "modelmap.text_set"
TAG_TEXT_SET_NAME = "modelmap.text_set_name"
TAG_TEXT_WEIGHTS = "modelmap.text_weights"
"""SHA-256 of the texts' weights as little-endian float64; absent where texts count alike."""
TAG_IDENTITY = "modelmap.identity"
"""Hash of everything that goes into a score; the same identity is not scored twice."""
TAG_VECTOR = "modelmap.vector"
"""On a score run: SHA-256 of the vectors as they were scored, so that another artifact in their
place is noticed; see `vector_table.vectors_digest`."""
TAG_SAME_AS = "modelmap.same_as"
"""On a run of kind ``skipped``: the run that already holds this score."""
TAG_ERROR = "modelmap.error"
"""Why a run failed, in one sentence; a run that has it never enters a map."""
TAG_PROCESS = "modelmap.process"
"""Which process works on a run: host, space, pid and started, as JSON."""
TAG_HEARTBEAT = "modelmap.heartbeat"
"""When it last said so, in UTC; absent on runs of less than half a minute."""
TAG_NOT_FINITE = "modelmap.not_finite"
"""Names of metrics that were left out because they are not finite."""
TAG_MEMBERS = "modelmap.members"
"""On a map-like run: how many score runs it gathers (their ids are in points.parquet)."""
TAG_MONITOR_STOPPED = "modelmap.monitor_stopped"
"""On a monitored run: why the monitor stopped itself, in one sentence."""
TAG_CHECKPOINTS = "modelmap.checkpoints"
"""On a monitored run: how many checkpoints its index lists."""
TAG_POINTS = "modelmap.points"
"""On a run of kind ``vectors``: how many points it holds."""
TAG_ANOMALY = "modelmap.anomaly"
"""On a score run: why a trajectory run found that it breaks continuity."""
TAG_GATE = "modelmap.gate"
"""Verdict of a gate - ``pass``, ``fail`` or ``undecided`` - on its run and on a model version."""
TAG_GATE_RUN = "modelmap.gate_run"
"""On a model version: the gate's run."""
TAG_CANDIDATE_RUN = "modelmap.candidate_run"
TAG_REFERENCE_RUN = "modelmap.reference_run"
"""The score runs that a gate or an evaluation compared."""
TAG_KL_IN_WORDS = "modelmap.kl_in_words"
"""On an evaluation's run: how large the KL divergence to the reference is."""
TAG_NOTE = "mlflow.note.content"
"""MLflow's own: what the UI shows as the run's description."""

PARAM_EXPERIMENTS = "modelmap.experiments"
PARAM_FILTER = "modelmap.filter"
PARAM_RUN_IDS = "modelmap.run_ids"
"""On a study: which runs it was asked for; experiments and run ids are JSON lists."""
PARAM_TEXTS = "modelmap.texts_chosen"
"""On a study: digest of the text set that was chosen among several, where one was."""
PARAM_VECTOR_KIND = "modelmap.vector_kind"
"""On a study: ``pmi`` or ``unconditional``, if it is of those vectors; absent for ``conditional``,
the log-likelihoods themselves."""
PARAM_NOTICES = "modelmap.notices"
"""On a study or score: what its user was told, a JSON list of sentences."""
PARAM_BOS_APPLIED = "modelmap.bos_applied"
"""On a score: whether a BOS token came before each text, so that its first token was scored."""

READ_AS = {
    "modelmap.eos_applied": "false",
    "modelmap.tokens_from": "file",
    "modelmap.windowed": "0",
    "modelmap.window_tokens": "",
    "modelmap.stride": "",
}
"""Params of a score that say how its texts were read, and what it means if one is not there."""

PROMPTED = {
    "modelmap.system_prompt": "",
    "modelmap.template": "auto",
    "modelmap.end_of_turn": "false",
}
"""Params of a score that say what its prompts were under and what of the turn was scored, and what
it means if one is not there."""

TAG_PARENT = "modelmap.parent"
TAG_KL_TO_PARENT = "modelmap.kl_to_parent"
TAG_KL_TO_PARENT_SE = "modelmap.kl_to_parent_se"
TAG_GENERATION = "modelmap.generation"
TAG_LINEAGE_RUN = "modelmap.lineage_run"
"""What a lineage study writes on the model versions that it measured."""

KIND_SCORE = "score"
KIND_SKIPPED = "skipped"
KIND_SWEEP = "sweep"
KIND_MAP = "map"
KIND_TRAJECTORY = "trajectory"
KIND_WEIGHTS = "weights"
KIND_SCALE = "scale"
KIND_QUANTIZATION = "quantization"
KIND_LAYERS = "layers"
KIND_PROMPTS = "prompts"
"""The same models under several prompts."""
KIND_PREDICT = "predict"
"""Benchmark scores predicted from the map."""
KIND_TEXTS = "texts"
"""A text set, for everybody who has the store."""
KIND_EXACT = "exact"
"""Pairs of models compared by their next-token distributions."""
KIND_LINEAGE = "lineage"
KIND_GATE = "gate"
KIND_MONITOR = "monitor"
"""A training run that holds the vectors of its own checkpoints, whatever else it holds."""
KIND_VECTORS = "vectors"
"""The vectors of many points that come from elsewhere, as one run."""

ARTIFACT_FOLDER = "modelmap"
LOG_LIKELIHOODS = "modelmap/log_likelihoods.parquet"
TEXTS_FILE = "modelmap/texts.jsonl"
"""On a run of kind ``texts``: a row a text, as `write_texts` writes them."""
CHECKPOINT_INDEX = "modelmap/checkpoints.csv"
"""On a monitored run: one row a checkpoint, with at least ``step`` and ``bits_per_byte``."""
VECTORS = "modelmap/vectors.npy"
"""On a run of kind ``vectors``: log-likelihoods in nats, shape (K, N), float64 or float32."""
VECTOR_POINTS = "modelmap/points.parquet"
"""Beside it: one row a point, with at least ``point`` (its name) and ``row`` (of `VECTORS`)."""
VECTOR_TEXTS = "modelmap/texts.parquet"
"""Beside it: one row a text, in order, with at least ``bytes``; as in `LOG_LIKELIHOODS` also
``scored_tokens``, ``weight`` and ``document``."""
LONG_VALUES = "modelmap/long_values.json"
"""Of params and tags longer than MLflow keeps: "param NAME" or "tag NAME" and the whole value."""
SWEEP_TABLE = "runs.parquet"
"""In a sweep's ``modelmap/``: what became of each of its models (point, run_id, state, ...)."""
STUDY_WEIGHTS = "weights"
"""In a study's ``modelmap/``: the texts' weights, ``weights.npy``, where they have any."""
OLD_NOTICES = "notices.txt"
"""In the ``modelmap/`` of weights and lineage runs of version 0.1: the notices, one a line."""
LOG_LIKELIHOOD_COLUMNS = ("text", "layer", "log_likelihood", "scored_tokens", "bytes")
UNCONDITIONAL_COLUMN = "unconditional_log_likelihood"
"""Of a response without its prompt (float64, nats); null where that was not asked for and in rows
of layers, and absent where texts stand for themselves."""
DOCUMENT_COLUMN = "document"
"""Number of the document that the text is a piece of (int64, from 0 in order of first appearance);
null for a text that stands for itself, and absent where no document is known."""
PROMPT_COLUMN = "modelmap_prompt"
"""In a frame for `mlflow.models.evaluate`: what the text is the response to, as text or as messages
in JSON; absent where texts stand for themselves."""
WEIGHT_COLUMN = "weight"
"""Importance weight of the text (float64); only where the text set has weights."""

METRIC_BITS_PER_BYTE = "modelmap/bits_per_byte"
METRIC_MEAN_LOG_LIKELIHOOD = "modelmap/mean_log_likelihood"
METRIC_SCORED_TOKENS = "modelmap/scored_tokens"
METRIC_TOKENS_PER_SECOND = "modelmap/tokens_per_second"
NOISE_KL, NOISE_KL_SE, NOISE_TEXTS = "noise_kl", "noise_kl_se", "noise_texts"
METRIC_NOISE_KL = f"modelmap/{NOISE_KL}"
"""On a score run: KL divergence in bits/byte between two scores of this model, which differ by
arithmetic only; with its standard error (``_se``), and the param ``modelmap.noise_texts``: of how
many texts."""
METRIC_NOISE_KL_SE = f"modelmap/{NOISE_KL_SE}"


def checkpoint_vectors(step: int) -> str:
    """Where a monitored run holds the vector of a checkpoint: a file like `LOG_LIKELIHOODS`."""
    return f"{ARTIFACT_FOLDER}/checkpoints/step-{step}.parquet"
