"""What texts are called: responses where they have prompts, as the score's dataset says."""

from __future__ import annotations

import mlflow
import pytest
from mlflow import MlflowClient

from mlflow_modelmap import TextSet, compare
from mlflow_modelmap.drivers.page.opened import head, open_run
from mlflow_modelmap.tracking.runs.study_run import write_study
from mlflow_modelmap.tracking.runs.text_dataset import TextSetDataset
from mlflow_modelmap.tracking.runs.unit_of_texts import unit_in, unit_of
from tests.drivers.page.reading import reads
from tests.scored import made_up, write_score

TEXTS = tuple(f"a text, number {k}" for k in range(40))


@pytest.mark.parametrize(("prompts", "word"), [(None, "texts"), (tuple("ab" * 20), "responses")])
def test_a_score_and_a_study_beside_it_say_what_their_texts_are(store, prompts, word):
    texts = TextSet("t", TEXTS, prompts=prompts)
    values, size = made_up(2)
    run_id, other = (
        write_score(store, name, row, size, digest=texts.digest)
        for name, row in zip("mn", values, strict=True)
    )
    for scored in (run_id, other):
        with mlflow.start_run(run_id=scored):
            mlflow.log_input(TextSetDataset(texts))
    assert unit_of(run_id) == word
    found = compare(run_id, other)
    assert found.unit == word
    assert found.sharpness.endswith(f"half of it lies in {found.half_in} of {len(size)} {word}")
    study = write_study(
        "map", tags={"modelmap.text_set": texts.digest}, metrics={"texts": 40}, experiment="test"
    )
    page = reads(store)
    assert head(page, open_run(page, study))["unit"] == word


def test_where_nothing_is_known_they_are_texts(store):
    values, size = made_up(1)
    run_id = write_score(store, "m", values[0], size)
    assert unit_in(MlflowClient().get_run(run_id)) is None
    assert unit_of(run_id) == unit_of("0" * 32) == "texts"
