"""Shared by every room: the three kinds of failure that a user is told about in one sentence."""

from mlflow_modelmap.words.redact import redact


class ModelMapError(Exception):
    """Base of every failure whose message is meant for the user: one sentence, with its remedy.

    Whatever the message quotes, passwords and tokens are taken out of it.
    """

    def __init__(self, message: object = "") -> None:
        super().__init__(redact(str(message)))


class InputError(ModelMapError):
    """What was asked for cannot be right: a value, a file, a reference, a selection of runs."""


class ScoringError(ModelMapError):
    """A model could not be loaded or did not give a finite log-likelihood for every text.

    `not_finite` holds the indices of those texts, if that was it.
    """

    not_finite: tuple[int, ...] = ()


class TrackingError(ModelMapError):
    """The MLflow store cannot be reached, or a run in it is damaged or incomplete."""
