"""What an error comes down to within a sentence."""

from __future__ import annotations

import sqlalchemy

from mlflow_modelmap.words.reason import reason, reason_with_type


def test_the_message_on_one_line_without_its_full_stop():
    assert reason(ValueError("two\n  lines.")) == "two lines"


def test_an_error_without_a_message_is_its_type():
    assert reason(KeyError()) == reason_with_type(KeyError()) == "KeyError"


def test_the_type_that_a_library_puts_behind_its_sentence_is_left_out():
    wrapped = ConnectionError("Couldn't reach 'no/such' on the Hub (LocalEntryNotFoundError)")
    assert reason(wrapped) == "Couldn't reach 'no/such' on the Hub"


def test_of_a_database_only_what_it_says_is_left():
    said = Exception('(1049, "Unknown database")')
    asked = sqlalchemy.exc.OperationalError("SELECT 1", {}, said)
    assert reason(asked) == '(1049, "Unknown database")'
    assert reason(sqlalchemy.exc.OperationalError(None, None, said)) == '(1049, "Unknown database")'
    assert reason(ValueError("(my.Error) and more")) == "and more"
    assert reason(ValueError("an (inner.Error) stays")) == "an (inner.Error) stays"


def test_long_messages_are_cut_visibly():
    assert reason(ValueError("x" * 400), most=10) == "xxxxxxxxxx ..."
