"""The options that the callbacks pass on are typed as `Monitor` takes them."""

from __future__ import annotations

import inspect

from mlflow_modelmap import Monitor
from mlflow_modelmap.drivers.monitor.options import MonitorOptionsWithTokenizer


def test_the_typed_options_are_those_of_the_monitor():
    taken = inspect.signature(Monitor.__init__).parameters
    of_monitor = {
        name: parameter.annotation
        for name, parameter in taken.items()
        if name not in ("self", "texts")
    }
    typed = MonitorOptionsWithTokenizer.__annotations__
    assert {name: kind.__forward_arg__ for name, kind in typed.items()} == of_monitor
