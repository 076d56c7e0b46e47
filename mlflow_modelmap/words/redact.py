"""Tracking: keep passwords and tokens out of everything that is logged or shown."""

from __future__ import annotations

import re

_USERINFO = re.compile(r"(?<=://)[^/\s'\"?#]*@")
_QUERY_SECRET = re.compile(
    r"(?i)([?&;](?:[\w.-]*(?:token|key|secret|password|passwd|pwd|signature|sig|credential)"
    r"[\w.-]*)=)[^&;\s'\"#]+"
)
_HUB_TOKEN = re.compile(r"\bhf_[A-Za-z0-9]{16,}")
_BEARER = re.compile(r"(?i)\b(bearer|basic)\s+[A-Za-z0-9._~+/=-]{8,}")


def redact(text: str) -> str:
    """`text` without user:password@ in URIs, secret query values, Hub tokens, bearer tokens."""
    text = _USERINFO.sub("", text)
    text = _QUERY_SECRET.sub(r"\1***", text)
    text = _HUB_TOKEN.sub("hf_***", text)
    return _BEARER.sub(r"\1 ***", text)
