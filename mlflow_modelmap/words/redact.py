"""Words: keep passwords and tokens out of everything that is logged, shown or raised.

Three ways, one after another: secrets that are known (`remember`) wherever they stand; whatever
lies before the last @ of an address; and what looks like a secret by its name or its shape.
"""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Callable
from urllib.parse import quote, quote_plus, unquote_plus

_known: set[str] = set()
_FEWEST = 4
"""Shorter passwords are taken out of addresses only: they stand in many a word."""
_ENVIRONMENT = re.compile(r"(?i)(^|_)(password|passwd|pwd|token|secret|secret_key|api_key)($|_)")

_DATABASES = "postgres|mysql|mariadb|mssql|sqlite|oracle|redis|mongodb|snowflake|redshift|cockroach"
_DATABASE = re.compile(rf"(?i)\b((?:{_DATABASES})[\w+.-]*://)[^\n]*?(?=(?<!\w)\w[\w+.-]*://|\n|$)")
_USERINFO = re.compile(r"(?<=://)[^/\s'\"?#]*@")
_USER_PASSWORD = re.compile(r"(?<=://)[^\s/:@'\"]*:(?!\d+(?:[/?#]|$))[^\s]*@(?=[\w\[*-])")

_NAMES = (
    r"(?:[\w.-]*[_.-])?(?:passw(?:or)?d|passwd|pwd|passphrase|secrets?|credentials?|signature|sig"
    r"|api[_-]?key|apikey|access[_-]?key(?:[_-]?id)?|account[_-]?key|private[_-]?key|secret[_-]?key"
    r"|auth|token|key)|\w*(?:password|passwd|secret|token|apikey|accountkey)"
)
# Tokens of a tokenizer, keys of a table and the like are no secrets.
_HARMLESS = re.compile(
    r"(?i)key|(?:.*[_.-])?(?:pad|eos|bos|unk|sep|cls|mask|image|video|audio|special|end|start|stop"
    r"|next|first|last|per|of|each|one|any|every|document|primary|foreign|sort|dict|metric|param"
    r"|tag)[_.-]?(?:token|key)"
)
_VALUE = r"(?:\"[^\"\n]*\"|'[^'\n]*'|\{[^}\n]*\}|[^\s;&,'\"#)\]}]+)"
_ASSIGNED = re.compile(rf"(?i)(?<![\w.-])(?P<name>{_NAMES})(?P<is>=)(?P<value>{_VALUE})")
_SAID = re.compile(
    r"(?i)(?P<name>\b[\w.-]*(?:passw(?:or)?d|passphrase|secret|api[_-]?key|access[_-]?key)"
    r"|(?P<quote>[\"'])[\w.-]*(?:passw(?:or)?d|passphrase|secret|key|token)(?P=quote))"
    rf"(?P<is>\s*:\s*)(?P<value>{_VALUE})"
)
_ENCODED = re.compile(
    r"(?i)(?P<name>\b(?:[\w.-]|%20|\+)*(?:passw(?:or)?d|pwd|secret|token|key))(?P<is>%3D)"
    r"(?P<value>.*?)(?=%3B|%26|[&\s'\"]|$)"
)
_QUERY = re.compile(
    r"(?i)(?P<name>[?&;][\w.-]*(?:token|key|secret|password|passwd|pwd|signature|sig|credential)"
    r"[\w.-]*)(?P<is>=)(?P<value>[^&;\s'\"#]+)"
)
_AUTHORISATION = re.compile(
    r"(?i)\b(bearer|(?<=authorization: )basic|(?<=authorization:)basic)\s+[A-Za-z0-9._~+/=-]{8,}"
)
_BLOCK = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|$)", re.S
)
_SHAPES = (
    (re.compile(r"\bhf_[A-Za-z0-9]{16,}"), "hf_***"),
    (re.compile(r"\bapi_org_[A-Za-z0-9]{16,}"), "api_org_***"),
    (re.compile(r"\b(gh[pousr])_[A-Za-z0-9]{16,}"), r"\1_***"),
    (re.compile(r"\bgithub_pat_\w{20,}"), "github_pat_***"),
    (re.compile(r"\bglpat-[\w-]{16,}"), "glpat-***"),
    (re.compile(r"\bdapi[0-9a-f]{16,}(?:-\d+)?"), "dapi***"),
    (re.compile(r"\bdose[0-9a-f]{24,}"), "dose***"),
    (re.compile(r"\bsk-[A-Za-z0-9_-]{16,}"), "sk-***"),
    (re.compile(r"\b(AKIA|ASIA|AROA|AIDA)[0-9A-Z]{12,}"), r"\1***"),
    (re.compile(r"\bxox[abeoprs]-[A-Za-z0-9-]{10,}"), "xox***"),
    (re.compile(r"\bAIza[\w-]{30,}"), "AIza***"),
    (re.compile(r"\bya29\.[\w-]{20,}"), "ya29.***"),
    (re.compile(r"\bpypi-[\w-]{20,}"), "pypi-***"),
    (re.compile(r"\bnpm_[A-Za-z0-9]{20,}"), "npm_***"),
    (re.compile(r"\bnvapi-[\w-]{20,}"), "nvapi-***"),
    (re.compile(r"\bgsk_[A-Za-z0-9]{20,}"), "gsk_***"),
    (re.compile(r"\beyJ[\w-]{8,}\.[\w-]{8,}(?:\.[\w-]*)?"), "eyJ***"),
)


_SHORTEST_VALUE = 8
"""Of a variable that counts as a secret by its name."""
_SHORT = 300
"""Characters of a text that is kept to be known when it is met again."""


def remember(secret: str | None) -> None:
    """Take a secret out of every later text, wherever it stands, also URL-encoded.

    Of less than four characters it is not: then only its place in an address gives it away.
    """
    if secret and len(secret) >= _FEWEST:
        _known.update(
            {secret, quote(secret, safe=""), quote(secret), quote_plus(secret), repr(secret)[1:-1]}
        )
        decoded = unquote_plus(secret)
        if len(decoded) >= _FEWEST:
            _known.add(decoded)


def redact(text: str) -> str:
    """`text` without what is secret in it; ``***`` stands where a value was.

    Everything of an address between ``://`` and its last ``@`` goes, the user's name too.
    """
    return _redact(text, frozenset(_known) if _is_plain(text) else _secrets())


def redactor() -> Callable[[str], str]:
    """`redact` for many texts at once: variables are looked at now, and texts met again are known.

    What it is given is kept in memory for a while; so are the secrets themselves.
    """
    secrets = _secrets()
    return lambda text: (_again if len(text) <= _SHORT else _redact)(text, secrets)


def _secrets() -> frozenset[str]:
    return frozenset(_known | _in_environment())


def _is_plain(text: str) -> bool:
    """Whether a text is too short for a variable's value, as most numbers and words are."""
    return len(text) < _SHORTEST_VALUE and text.replace(".", "").isalnum()


def _redact(text: str, secrets: frozenset[str]) -> str:
    plain = _is_plain(text)
    for secret in sorted(secrets, key=len, reverse=True):
        text = _without(text, secret)
    if plain:
        return text
    text = _DATABASE.sub(_address, text)
    text = _USER_PASSWORD.sub("", text)
    text = _USERINFO.sub("", text)
    text = _BLOCK.sub("*** (a private key)", text)
    text = _AUTHORISATION.sub(r"\1 ***", text)
    for pattern, put in _SHAPES:
        text = pattern.sub(put, text)
    for pattern in (_ASSIGNED, _SAID):
        text = pattern.sub(_named, text)
    for pattern in (_QUERY, _ENCODED):
        text = pattern.sub(r"\g<name>\g<is>***", text)
    return text


_again = functools.lru_cache(maxsize=1024)(_redact)


def _address(match: re.Match[str]) -> str:
    """A database's address: its password may hold / # ? ' and spaces, so the last @ counts."""
    scheme, rest = match[1], match[0][len(match[1]) :]
    before, at, after = rest.rpartition("@")
    return scheme + (after if at else before or after)


def _named(match: re.Match[str]) -> str:
    name, value = match["name"].strip("\"'"), match["value"]
    if _HARMLESS.fullmatch(name) or value.strip("\"'") in (
        "",
        "***",
        "None",
        "null",
        "True",
        "False",
    ):
        return match[0]
    return f"{match['name']}{match['is']}***"


def _without(text: str, secret: str) -> str:
    """`text` without a known secret.

    One that could be a plain word (``mlflow``, ``tiny``) goes only where nothing that belongs to a
    word or a name stands beside it, so that no model's or file's name is changed.
    """
    if secret not in text:
        return text
    if not re.fullmatch(r"[a-z]{4,11}|[A-Z][a-z]{3,10}", secret):
        return text.replace(secret, "***")
    return re.sub(
        rf"(?<=[:=])['\"]?{secret}(?=['\"@&;,\s]|$)|(?<=['\"]){secret}(?=['\"])", "***", text
    )


def _in_environment() -> set[str]:
    """Values of variables that are secrets by their names."""
    return {
        value
        for name, value in os.environ.items()
        if len(value) >= _SHORTEST_VALUE
        and _ENVIRONMENT.search(name)
        and not value.startswith(("/", "."))
    }
