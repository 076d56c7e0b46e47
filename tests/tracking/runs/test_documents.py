"""The documents of texts come with the vectors, from the runs that know them."""

from __future__ import annotations

import numpy as np
import pytest

from mlflow_modelmap import TrackingError
from mlflow_modelmap.tracking.runs.read_vectors import read_matrix
from mlflow_modelmap.tracking.runs.select_runs import select_runs
from tests.tracking.conftest import vector_frame

VALUES = np.array([-1.0, -2.0, -3.0, -4.0])


def with_documents(documents):
    return vector_frame(VALUES).assign(document=np.array(documents, dtype=float))


def test_runs_that_know_documents_count_where_they_agree(write_run):
    write_run("with", frame=with_documents([0, 0, np.nan, 1]))
    write_run("without", VALUES)
    write_run("shuffled", frame=with_documents([0, 0, np.nan, 1]).iloc[[2, 0, 3, 1]])
    notices: list[str] = []
    matrix, _ = read_matrix(select_runs(["test"]), notices=notices)
    assert matrix.documents.tolist() == [0, 0, -1, 1]
    assert matrix.units == 3
    assert notices == []
    write_run("others", frame=with_documents([0, 1, 1, 0]))
    matrix, _ = read_matrix(select_runs(["test"]), notices=notices)
    assert matrix.documents is None
    assert "disagree about which texts are of one document" in notices[0]


def test_runs_without_documents_have_none(write_run):
    write_run("old", VALUES)
    assert read_matrix(select_runs(["test"]))[0].documents is None


@pytest.mark.parametrize("wrong", [0.5, -2.0, 4.0])
def test_a_document_that_is_no_number_of_one_is_damage(write_run, wrong):
    write_run("damaged", frame=with_documents([0, 0, 1, wrong]))
    with pytest.raises(TrackingError, match="is no whole number from 0"):
        read_matrix(select_runs(["test"]))
