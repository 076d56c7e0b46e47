"""Texts are drawn as kept and dropped, with what their removal does."""

from __future__ import annotations

import numpy as np
import pandas as pd

from mlflow_modelmap.figures.trajectory import texts
from tests.figures.trajectory.generated import ODD, kl_table, words


def test_texts_are_drawn_as_kept_and_dropped():
    rng = np.random.default_rng(1)
    sd = rng.lognormal(1, 0.5, 200)
    table = pd.DataFrame({"text": range(200), "maximum": 5 * sd, "sd": sd, "dropped": sd > 6})
    said = words(texts.text_scores_figure(table))
    assert f"dropped: {(sd > 6).sum()} texts" in said
    assert "nats" in said
    removing = pd.concat([kl_table(ODD).assign(removed=k) for k in (0, 3, 6, 20)])
    said = words(texts.kl_after_removing_figure(removing, ODD, 6))
    assert "6 removed (chosen)" in said
    domains = pd.concat([kl_table(ODD).assign(domain=d, texts=9) for d in ("law", "$x_{")])
    assert "law (9)" in words(texts.domains_figure(domains, ODD))
    kl = rng.lognormal(-3, 1, 300)
    assert "r = 0.9900" in words(texts.halves_figure(kl, kl * 1.05, 0.99))
