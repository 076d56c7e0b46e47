"""No password or token passes."""

from __future__ import annotations

import pytest

from mlflow_modelmap.words.redact import redact


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("postgresql://me:s3cret@host:5432/db", "postgresql://host:5432/db"),
        ("https://tok3n@host/x", "https://host/x"),
        ("see http://a:b@c/ and http://d:e@f/", "see http://c/ and http://f/"),
        ("s3://bucket/a?X-Amz-Signature=abc&part=1", "s3://bucket/a?X-Amz-Signature=***&part=1"),
        ("https://h/x?access_token=abc", "https://h/x?access_token=***"),
        ("token hf_abcdefghijklmnopqrst refused", "token hf_*** refused"),
        ("Authorization: Bearer abcdefgh12345", "Authorization: Bearer ***"),
    ],
)
def test_secrets_are_taken_out(text, clean):
    assert redact(text) == clean


@pytest.mark.parametrize(
    "text",
    [
        "EleutherAI/pythia-70m@step3000",
        "models:/name@alias",
        "/data/a@b/texts.jsonl",
        "sqlite:////tmp/a/mlflow.db",
        "https://huggingface.co/org/name?revision=main",
        "hf_small",
    ],
)
def test_the_rest_stays(text):
    assert redact(text) == text
