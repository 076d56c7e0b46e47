"""What a process holds is in use until that process is done or dead."""

from __future__ import annotations

import errno
import subprocess
import sys

from mlflow_modelmap.machine import in_use
from mlflow_modelmap.machine.in_use import hold, unused

HOLDS = """
import sys
from pathlib import Path
from mlflow_modelmap.machine.in_use import hold
kept = hold(Path(sys.argv[1]))
print("held", flush=True)
input()
"""


def test_a_file_is_in_use_until_all_who_hold_it_let_go_or_die(tmp_path):
    path = tmp_path / "new" / "x.lock"
    with unused(path) as free:
        assert free
    own, pipe = hold(path), subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", HOLDS, path], stdin=pipe, stdout=pipe) as other:
        assert other.stdout.readline() == b"held\n"
        own.close()
        with unused(path) as free:
            assert not free
        other.kill()
    with unused(path) as free:
        assert free


def test_where_nothing_can_be_written_nobody_holds(tmp_path):
    (tmp_path / "file").write_text("")
    assert hold(tmp_path / "file" / "x.lock") is None
    with unused(tmp_path / "file" / "x.lock") as free:
        assert free


def test_another_program_s_lock_is_not_made_and_not_presumed_free(tmp_path, monkeypatch):
    with unused(tmp_path / "none.lock", ours=False) as free:
        assert free
    assert not (tmp_path / "none.lock").exists(), "to others it might mean that it is held"

    def without_locks(*_):
        raise OSError(errno.ENOSYS, "Function not implemented")

    (tmp_path / "there.lock").touch()
    monkeypatch.setattr(in_use.fcntl, "flock", without_locks)
    with unused(tmp_path / "there.lock", ours=False) as free:
        assert not free
    with unused(tmp_path / "there.lock") as free:
        assert free, "nobody of ours can hold it either"
