"""A study of trajectories is given back as it was made."""

from __future__ import annotations

import numpy as np
import pandas as pd

from mlflow_modelmap.drivers.trajectory.study import load_trajectory


def test_what_was_logged_can_be_loaded_back(there):
    study, *_ = there
    read = load_trajectory(study.run_id)
    for name in ("points", "kl_previous", "kl_between", "diffusion", "summary", "siblings"):
        pd.testing.assert_frame_equal(
            getattr(read, name), getattr(study, name), check_dtype=False, check_index_type=False
        )
    np.testing.assert_array_equal(read.coordinates, study.coordinates)
    pd.testing.assert_frame_equal(read.kl, study.kl)
    assert read.notices == study.notices
    assert set(read.tables) == set(study.tables)
    assert read.settings["window"] == "10000"
