"""Generated trainings with odd names, and what a figure of them says."""

from __future__ import annotations

import io

import numpy as np
import pandas as pd

ODD = ["a $1 training_{of", "b" * 60]
STEPS = np.arange(1000, 31_000, 1000)


def drawn(figure):
    """The figure as PNG bytes; drawing is what finds most mistakes."""
    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=60)
    return buffer.getvalue()


def words(figure):
    """Every text in a figure."""
    drawn(figure)
    return " | ".join(t.get_text() for t in figure.findobj(lambda a: hasattr(a, "get_text")))


def kl_table(names, steps=STEPS):
    """KL from the checkpoint before, of each training."""
    rng = np.random.default_rng(0)
    return pd.concat(
        [
            pd.DataFrame(
                {
                    "trajectory": name,
                    "step_from": steps[:-1],
                    "step": steps[1:],
                    "kl": 0.02 * rng.lognormal(0, 0.2, len(steps) - 1),
                    "se": 0.002,
                    "kl_per_1000_steps": 0.02,
                }
            )
            for name in names
        ]
    )


def diffusion_table(names, starts=STEPS[:20], spaces=("q", "w")):
    """Exponents of each training and space by t0."""
    return pd.DataFrame(
        [
            (name, space, t0, 0.2 if space == "q" else 1.0, 0.1, 1.2, 0.9)
            for name in names
            for space in spaces
            for t0 in starts
        ],
        columns=["trajectory", "space", "t0", "exponent", "low", "high", "r2"],
    )
