"""Scoring (no torch here): squared Euclidean distances between checkpoints, streamed from disk."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from mlflow_modelmap.errors import InputError
from mlflow_modelmap.scoring.weights.checkpoint_files import (
    CheckpointFiles,
    common_parameters,
    open_checkpoint,
)

_ALGORITHM = 1
"""Raised when partial sums of an older version must not be continued."""
_NUMBERS = 1 << 21
"""Numbers (checkpoints times elements) that one thread holds at once: 16 MB."""
_LONGEST = 1 << 17
_CLOSE = 1e-6
"""Below this share of its terms a pair is taken from its difference, not from the Gram product."""
_SAVE_SECONDS = 5.0


@dataclass(frozen=True, eq=False)
class WeightDistances:
    """Squared distances between K checkpoints of one architecture.

    Attributes
    ----------
    squared
        Shape (K, K), float64, symmetric; NaN for pairs that were not asked for.
    parameters
        How many numbers were compared.
    names
        The parameters that they are in.
    left_out
        Tensors of some checkpoint that are no parameters of their own, and why.
    resumed
        Share of the work that an earlier, interrupted call had left in the spool.
    kept
        The file in the spool that holds the sums; None where there is none.
    """

    squared: np.ndarray
    parameters: int
    names: tuple[str, ...]
    left_out: dict[str, str]
    resumed: float = 0.0
    kept: Path | None = None


@dataclass(frozen=True)
class _Piece:
    """Elements start .. stop of one parameter."""

    name: str
    start: int
    stop: int


def reach_of(steps: Sequence[int] | np.ndarray, window: int | None) -> np.ndarray:
    """For each checkpoint, the last one that it is compared with, shape (K,).

    Parameters
    ----------
    steps
        Increasing training steps.
    window
        0: the next one only; None: all; else all up to `window` steps later, and always the next.
    """
    at = np.asarray(steps)
    last = len(at) - 1
    following = np.minimum(np.arange(len(at)) + 1, last)
    if window is None:
        return np.full(len(at), last)
    within = np.searchsorted(at, at + window, side="right") - 1
    return np.maximum(following, within)


def squared_distances(
    checkpoints: Sequence[str | os.PathLike[str] | CheckpointFiles],
    reach: Sequence[int] | np.ndarray | None = None,
    *,
    labels: Sequence[str] | None = None,
    spool: str | os.PathLike[str] | None = None,
    keep: bool = False,
    threads: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> WeightDistances:
    """Squared Euclidean distances over all parameters, each file read once (Section 4.2).

    Pieces of the same parameter are read from all checkpoints, widened to float64 and subtracted
    from one of them, which is exact for weights stored as float32 or less; their Gram product
    holds the distances of all pairs. Pairs for which it would cancel are summed from their
    differences while the piece is at hand. No model is built. Memory does not depend on the
    number of checkpoints, for pieces get shorter as there are more.

    Parameters
    ----------
    checkpoints
        K directories with safetensors, in order.
    reach
        For each, the index of the last one that it is compared with, not decreasing; see
        `reach_of`. None: all pairs.
    labels
        How to call each in a message.
    spool
        Directory for partial sums, so that an interrupted call goes on where it was.
    keep
        Whether the sums stay there at the end, for whoever logs them to remove (`kept`).
    threads
        How many pieces are worked on at once; the result does not depend on it.
    progress
        Called with (numbers done, numbers in all) of the parameters.

    Raises
    ------
    InputError
        If a file is missing or damaged, the architectures differ (it names the first parameter
        that does), or a weight is not finite.
    """
    opened = [c if isinstance(c, CheckpointFiles) else open_checkpoint(c) for c in checkpoints]
    count = len(opened)
    if count < 2:
        raise InputError(f"{count} checkpoint was given; a distance needs at least two.")
    called = list(labels) if labels is not None else [repr(c.path) for c in opened]
    ends = np.full(count, count - 1) if reach is None else np.asarray(reach)
    names = common_parameters(opened, called)
    sizes = {name: opened[0].parameters[name].elements for name in names}
    total = sum(sizes.values())
    pieces = _pieces(sizes, max(1024, min(_LONGEST, _NUMBERS // count)))
    spooled = _Spool.of(spool, opened, ends, pieces)
    done, squared = spooled.load(count)
    finished = sum(piece.stop - piece.start for piece in pieces[:done])
    resumed = finished / total if total else 0.0
    with threadpool_limits(1):
        for part in _in_order(opened, called, ends, pieces[done:], threads or _processors()):
            squared += part
            finished += pieces[done].stop - pieces[done].start
            done += 1
            spooled.save_now_and_then(done, squared)
            if progress is not None:
                progress(finished, total)
    if keep:
        spooled.save(done, squared)
    else:
        spooled.remove()
    index = np.arange(count)
    asked = (index[:, None] <= index) & (index <= ends[:, None])
    squared[~(asked | asked.T)] = np.nan
    return WeightDistances(
        squared,
        total,
        tuple(names),
        {
            **{
                name: "zeros, and not in every checkpoint"
                for checkpoint in opened
                for name in checkpoint.optional.difference(names)
            },
            **{name: why for checkpoint in opened for name, why in checkpoint.left_out.items()},
        },
        resumed,
        spooled.path if keep else None,
    )


def _processors() -> int:
    from joblib import cpu_count

    return min(8, cpu_count())


def _pieces(sizes: dict[str, int], longest: int) -> list[_Piece]:
    return [
        _Piece(name, start, min(start + longest, size))
        for name, size in sizes.items()
        for start in range(0, size, longest)
    ]


def _in_order(
    checkpoints: Sequence[CheckpointFiles],
    labels: Sequence[str],
    reach: np.ndarray,
    pieces: Sequence[_Piece],
    threads: int,
) -> Iterator[np.ndarray]:
    """Each piece's part of the squared distances, in the pieces' order."""
    waiting: deque[Future[np.ndarray]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        try:
            for piece in pieces:
                waiting.append(pool.submit(_part, checkpoints, labels, reach, piece))
                if len(waiting) > threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def _part(
    checkpoints: Sequence[CheckpointFiles],
    labels: Sequence[str],
    reach: np.ndarray,
    piece: _Piece,
) -> np.ndarray:
    values = np.empty((len(checkpoints), piece.stop - piece.start))
    for row, checkpoint, label in zip(values, checkpoints, labels, strict=True):
        tensor = checkpoint.parameters[piece.name]
        with open(tensor.file, "rb", buffering=0) as file:
            tensor.read_into(file, piece.start, row)
        if not np.isfinite(row.sum()) and not np.isfinite(row).all():
            raise InputError(
                f"The parameter {piece.name!r} of {label} holds a value that is not finite, so it "
                "has no distance to any other; leave that checkpoint out."
            )
    return banded_squared_distances(values, reach)


def banded_squared_distances(values: np.ndarray, reach: np.ndarray) -> np.ndarray:
    """Squared distances between rows i <= j <= reach[i]; other entries are of no meaning.

    Parameters
    ----------
    values
        Float64, shape (K, n).
    reach
        Shape (K,), not decreasing.

    Returns
    -------
    ndarray, shape (K, K)
        Symmetric.
    """
    count = len(values)
    squared = np.zeros((count, count))
    if (reach <= np.arange(count) + 1).all():
        for row in range(count - 1):
            difference = values[row + 1] - values[row]
            squared[row, row + 1] = squared[row + 1, row] = difference @ difference
        return squared
    width = int((reach - np.arange(count)).max())
    block = count if 2 * width >= count else max(8, width)
    for start in range(0, count, block):
        stop = min(start + block, count)
        end = int(reach[stop - 1]) + 1
        # Differences to the block's first row leave little to cancel in the Gram product.
        apart = values[start:end] - values[start]
        gram = apart[: stop - start] @ apart.T
        norms = np.einsum("ij,ij->i", apart, apart)
        terms = norms[: stop - start, None] + norms
        part = terms - 2.0 * gram
        close = np.argwhere((part < _CLOSE * terms) & (terms > 0))
        for i, j in close[close[:, 0] < close[:, 1]]:
            difference = apart[j] - apart[i]
            part[i, j] = difference @ difference
        # A BLAS may round the two halves of a Gram matrix differently.
        own = part[:, : stop - start]
        own[:] = np.triu(own, 1) + np.triu(own, 1).T
        squared[start:stop, start:end] = part
        squared[start:end, start:stop] = part.T
    return squared


@dataclass
class _Spool:
    """Partial sums of one computation: one small file, replaced whole."""

    path: Path | None
    saved: float = 0.0

    @classmethod
    def of(
        cls,
        folder: str | os.PathLike[str] | None,
        checkpoints: Sequence[CheckpointFiles],
        reach: np.ndarray,
        pieces: Sequence[_Piece],
    ) -> _Spool:
        if folder is None:
            return cls(None)
        what = [
            _ALGORITHM,
            [checkpoint.identity for checkpoint in checkpoints],
            reach.tolist(),
            [(piece.name, piece.start, piece.stop) for piece in pieces],
        ]
        key = hashlib.sha256(json.dumps(what).encode()).hexdigest()
        Path(folder).mkdir(parents=True, exist_ok=True)
        return cls(Path(folder) / f"weights-{key[:32]}.npz", time.monotonic())

    def load(self, count: int) -> tuple[int, np.ndarray]:
        """Pieces done and their sum; none where there is no file or an unreadable one."""
        if self.path is not None and self.path.exists():
            with contextlib.suppress(Exception), np.load(self.path, allow_pickle=False) as held:
                done, squared = int(held["done"]), held["squared"]
                if squared.shape == (count, count) and squared.dtype == np.float64:
                    return done, squared
        return 0, np.zeros((count, count))

    def save_now_and_then(self, done: int, squared: np.ndarray) -> None:
        if time.monotonic() - self.saved >= _SAVE_SECONDS:
            self.save(done, squared)

    def save(self, done: int, squared: np.ndarray) -> None:
        if self.path is None:
            return
        beside = self.path.with_suffix(f".{os.getpid()}.tmp")
        with contextlib.suppress(OSError):  # no room on disk is no reason to stop
            try:
                with beside.open("wb") as file:
                    np.savez(file, done=np.int64(done), squared=squared)
                os.replace(beside, self.path)
            finally:
                beside.unlink(missing_ok=True)
        self.saved = time.monotonic()

    def remove(self) -> None:
        if self.path is not None:
            self.path.unlink(missing_ok=True)
