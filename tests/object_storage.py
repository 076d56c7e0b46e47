"""S3-protocol storage on the loopback (moto's server), for a store as teams have it."""

from __future__ import annotations

import contextlib
import importlib.util
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

KEYS = {
    "AWS_ACCESS_KEY_ID": "made-up",
    "AWS_SECRET_ACCESS_KEY": "made-up",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}


def not_here() -> str | None:
    """What to install, in a sentence; None where all is there."""
    lacking = [
        name for name in ("boto3", "moto", "flask_cors") if not importlib.util.find_spec(name)
    ]
    if not lacking:
        return None
    return f"Python has no {lacking[0]} here; install it: pip install boto3 'moto[s3]' flask-cors."


@contextlib.contextmanager
def storage(folder: Path, bucket: str) -> Iterator[str]:
    """S3-protocol storage with a bucket; yields its address."""
    import boto3

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    with (folder / "storage.log").open("w") as log:
        command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        for _ in range(600):
            with contextlib.suppress(OSError):
                urllib.request.urlopen(f"{address}/moto-api/", timeout=5).close()
                break
            if process.poll() is not None:
                raise SystemExit((folder / "storage.log").read_text())
            time.sleep(0.2)
        boto3.client("s3", endpoint_url=address).create_bucket(Bucket=bucket)
        yield address
    finally:
        process.kill()
        process.wait()
