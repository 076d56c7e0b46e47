"""No password or token passes, in whatever shape it comes; what is no secret stays as it is."""

from __future__ import annotations

import pytest

from mlflow_modelmap import InputError, ScoringError, TrackingError
from mlflow_modelmap.words import redact as room
from mlflow_modelmap.words.reason import reason, reason_with_type
from mlflow_modelmap.words.redact import redact, redactor, remember

S = "Xq7zWv2kLm9p"
"""Stands for a secret; none of it may be seen."""
LONG = S * 4
HEXADECIMAL = "0123456789abcdef" * 2

SHAPES = [
    f"postgresql://me:{S}@host:5432/db",
    f"postgresql+psycopg2://me:{S}/{S}@host/db",
    f"postgresql://me:{S}#{S}@host/db",
    f"postgresql://me:{S}?{S}@host/db",
    f"postgresql://me:{S}'{S}@host/db",
    f"postgresql://me:{S} {S}@host/db",
    f"postgresql://me:{S}@{S}@host/db",
    f'postgresql://me:{S}"{S}@host/db',
    f"mysql+pymysql://me:{S}%2F{S}@host/db?charset=utf8",
    f"mssql+pyodbc://me:{S};{S}@dsn",
    f"mssql+pyodbc:///?odbc_connect=DRIVER%3D%7BSQL%7D%3BUID%3Dme%3BPWD%3D{S}%3BDATABASE%3Dx",
    f"mssql+pyodbc:///?odbc_connect=UID%3Dme%3Bpwd%3d{S}",
    f"DRIVER={{SQL}};UID=me;PWD={S};DATABASE=x",
    f"DRIVER={{SQL}};UID=me;PWD={{{S};{S}}};DATABASE=x",
    f"host=db user=me password={S} dbname=x",
    f"host=db user=me password='{S} {S}' dbname=x",
    f"could not connect (postgresql://me:{S}/x y@host/db): refused",
    f"from postgresql://a:{S}@h/x to mysql://b:{S}@h/y",
    f"https://{S}@host/x",
    f"https://user:{S}@host/x",
    f"http://user:{S}/{S}@host/x",
    f"https://oauth2:{S}@git.example/org/x.git",
    f"s3://bucket/a?X-Amz-Signature={S}&part=1",
    f"s3://bucket/a?X-Amz-Security-Token={S}&X-Amz-Credential={S}",
    f"https://h/x?access_token={S}",
    f"wasbs://c@h/x?sv=1&sig={S}",
    f"DefaultEndpointsProtocol=https;AccountName=x;AccountKey={LONG}==;EndpointSuffix=y",
    f"token hf_{LONG} refused",
    f"ghp_{LONG}",
    f"gho_{LONG} and github_pat_{LONG}",
    f"glpat-{LONG}",
    f"dapi{HEXADECIMAL}-2",
    f"sk-{LONG}",
    f"sk-proj-{S}_{LONG}",
    f"sk-ant-api03-{LONG}",
    f"AWS_SECRET_ACCESS_KEY={LONG}",
    "AKIA" + "Q7ZWV2KLM9PX" * 2,
    f"aws_secret_access_key = '{LONG}'".replace(" = ", "="),
    f"xoxb-{LONG}",
    f"AIza{LONG}",
    f"Authorization: Bearer {LONG}",
    f"authorization: Basic {LONG}==",
    f'{{"password": "{S}", "user": "me"}}',
    f"{{'api_key': '{S}'}}",
    f"MLFLOW_TRACKING_PASSWORD={S}",
    f"--token={S}",
    f"password: {S}",
    f"eyJ{LONG}.eyJ{LONG}.{LONG}",
    f"-----BEGIN RSA PRIVATE KEY-----\n{LONG}\n{LONG}\n-----END RSA PRIVATE KEY-----",
    f"redis://:{S}@host:6379/0",
]


@pytest.mark.parametrize("text", SHAPES)
def test_no_secret_passes(text):
    clean = redact(text)
    for part in (S, HEXADECIMAL[:16], "Q7ZWV2KLM9PX"):
        assert part not in clean, clean


def test_many_texts_at_once_lose_the_same(forgotten, monkeypatch):
    before, texts = redactor(), [*SHAPES, "7", "long " * 100 + f"--token={S}", "word-of-mine"]
    assert [before(text) for text in texts] == [redact(text) for text in texts]
    assert before("word-of-mine") == "word-of-mine"
    monkeypatch.setenv("MY_API_KEY", "word-of-mine")
    remember("mine7")
    later = redactor()
    assert [later(text) for text in (*texts, "mine7")] == [redact(text) for text in texts] + ["***"]
    assert later("word-of-mine") == "***"


def test_there_are_at_least_forty_shapes():
    assert len(set(SHAPES)) >= 40


@pytest.mark.parametrize("kind", [InputError, ScoringError, TrackingError])
@pytest.mark.parametrize("text", SHAPES)
def test_no_error_of_ours_says_a_secret(kind, text):
    error = kind(f"The store {text} cannot be used.")
    assert S not in f"{error} {error!r} {error.args} {reason(error)} {reason_with_type(error)}"


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
        ("host=db password=abc dbname=x", "host=db password=*** dbname=x"),
        ("mysql://me:a/b#c@host/db (refused)", "mysql://host/db (refused)"),
    ],
)
def test_the_rest_of_such_a_text_stays(text, clean):
    assert redact(text) == clean


@pytest.mark.parametrize(
    "text",
    [
        "EleutherAI/pythia-70m@step3000",
        "models:/name@alias",
        "/data/a@b/texts.jsonl",
        "sqlite:////tmp/a/mlflow.db",
        "https://huggingface.co/org/name?revision=main",
        "https://huggingface.co/org/name@step3000",
        "http://localhost:5000/#/models/a@b",
        "http://127.0.0.1:5000/modelmap/?run=1",
        "hf_small",
        "batch_tokens=2048, scored_tokens: 12, tokens_per_second=3.5",
        "pad_token='<|endoftext|>' eos_token=</s> bos_token=None",
        "the first token: 'The'",
        "tokenizer=gpt2",
        "the key 'precision' is missing; keys: models, texts",
        "sort_key=name",
        "split_special_tokens=False",
        "sk-learn",
        "digest 3c9d591045bc",
        "the basic idea: basic information",
        "tags.`modelmap.text_set` = '0123456789abcdef0123456789abcdef'",
        "commit 0123456789abcdef0123456789abcdef01234567",
        "password",
        "a: b",
    ],
)
def test_what_is_no_secret_stays(text):
    assert redact(text) == text


@pytest.fixture
def forgotten(monkeypatch):
    monkeypatch.setattr(room, "_known", set())


@pytest.mark.parametrize(
    "secret", ["p/a#s?s'w rd", "a@b:c", "corr3ct horse", 'quo"te', "ünï-cødé", "100%pure"]
)
def test_a_known_secret_is_taken_out_wherever_it_stands(forgotten, secret):
    from urllib.parse import quote, quote_plus

    remember(secret)
    for written in (secret, quote(secret, safe=""), quote_plus(secret), repr(secret)[1:-1]):
        assert written not in redact(f"it said {written}; and 'x{written}y'")


def test_a_known_secret_that_is_a_plain_word_leaves_names_alone(forgotten):
    remember("tiny")
    assert redact("models:/tiny/1 of tiny-64, tiny.yaml") == "models:/tiny/1 of tiny-64, tiny.yaml"
    assert "tiny" not in redact("user:tiny@host, PASS=tiny, 'tiny'")


def test_secrets_in_the_environment_are_known(monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "hush, hush")
    monkeypatch.setenv("HF_TOKEN", "a-token-of-mine")
    assert redact("said hush, hush and a-token-of-mine") == "said *** and ***"
