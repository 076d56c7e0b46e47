"""Scoring (no torch here): a file of pickled weights, looked at from outside; none is unpickled."""

from __future__ import annotations

import os
import zipfile

from mlflow_modelmap.errors import InputError
from mlflow_modelmap.scoring.model.plain_file import check_plain
from mlflow_modelmap.words.reason import reason

SAFETENSORS_ONLY = "which safetensors_only refuses (`modelmap gate`: unless --allow-pickles)"
WEIGHT_DISTANCES = "of which no weight distances are measured"
"""Why pickles are refused somewhere, as `check_has_weights` puts it into its sentence."""

_LFS = b"version https://git-lfs"
_PICKLE = b"\x80"
"""What torch.save wrote before version 1.6 begins with: the protocol of a bare pickle."""


def refuses_pickles(safetensors_only: bool) -> str | None:
    """Why pickles are refused under a setting, or None."""
    return SAFETENSORS_ONLY if safetensors_only else None


def check_pickle(path: str, what: str) -> None:
    """Raise an InputError unless a file can be one of weights that `torch.save` wrote.

    Only its beginning and its list of contents are read. What it holds is judged when it is
    loaded, by torch's restricted unpickler.

    Parameters
    ----------
    what
        How the error names the model.
    """
    name = os.path.basename(path)
    check_plain(path)
    why = None
    try:
        with open(path, "rb") as file:
            start = file.read(512)
        if start.startswith(_LFS):
            raise InputError(
                f"{what[:1].upper()}{what[1:]} holds only a Git LFS pointer for {name}; fetch it "
                "with `git lfs pull`."
            )
        if start.startswith(b"PK"):
            with zipfile.ZipFile(path) as content:
                entries = content.infolist()
            inside = [entry.filename.partition("/")[2] for entry in entries]
            if inside.count("data.pkl") != 1 or any(e.startswith("code/") for e in inside):
                why = "it is a zip file, but not of weights"
            elif any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
                why = "it is compressed, as torch.save writes none"
        elif start[257:262] == b"ustar":
            why = "it is a tar file, as torch wrote them before 0.1"
        elif not start.startswith(_PICKLE):
            why = "it begins like no file that torch.save writes"
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        why = reason(error)
    if why is not None:
        raise damaged(name, what, why)


def damaged(name: str, what: str, why: str) -> InputError:
    """The error for a file of weights that cannot be read."""
    return InputError(
        f"The weight file {name} of {what} is damaged or cut short ({why}); fetch it again."
    )
