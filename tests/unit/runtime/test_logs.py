from __future__ import annotations

import logging

from bellwether.runtime.logs import Once


def test_a_warning_that_repeats_with_other_days_is_said_once() -> None:
    once = Once()

    def passes(text: str, name: str = "desk") -> bool:
        return once.filter(logging.LogRecord(name, logging.WARNING, "", 0, text, None, None))

    assert passes("KO has no price of 2017-02-01")
    assert not passes("KO has no price of 2017-02-02")
    assert passes("JPM has no price of 2017-02-02")
    assert passes("KO has no price of 2017-02-02", "another")
