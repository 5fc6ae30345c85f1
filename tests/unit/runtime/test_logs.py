from __future__ import annotations

import logging

from bellwether.runtime.logs import Once, PlainFormatter


def test_a_warning_that_repeats_with_other_days_is_said_once() -> None:
    once = Once()

    def passes(text: str, name: str = "desk") -> bool:
        return once.filter(logging.LogRecord(name, logging.WARNING, "", 0, text, None, None))

    assert passes("KO has no price of 2017-02-01")
    assert not passes("KO has no price of 2017-02-02")
    assert passes("JPM has no price of 2017-02-02")
    assert passes("KO has no price of 2017-02-02", "another")


def test_a_person_at_a_terminal_reads_words_and_no_json() -> None:
    record = logging.makeLogRecord({"msg": "the replay waits: %s", "args": ("no model",), "levelname": "WARNING"})
    assert PlainFormatter().format(record) == "warning: the replay waits: no model"
