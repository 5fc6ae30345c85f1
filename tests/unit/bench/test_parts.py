import sqlite3
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bellwether.messages.envelope import decode_reply, decode_request
from bellwether.runtime.call import decode_as
from bench import wide
from bench.halting import p99
from bench.inference import medians_of
from bench.memory import mapped_bytes, pss_of, stated_bytes
from bench.replay import Replayed, rate_of, taken, unpaced
from bench.rpc import paired_ratios
from bench.rpc_peer import REPLY_BODY, REQUEST_BODY, Features, Score

ROLLUP = "00400000-7ffd rollup\nRss:              2048 kB\nPss:              1000 kB\nPss_Dirty:         10 kB\n"


def test_the_99th_percentile_is_a_value_that_was_measured() -> None:
    assert p99([float(number) for number in range(1, 101)]) == 99.0
    assert p99([3.0, 1.0]) == 3.0


def test_pss_is_read_in_bytes_and_not_taken_from_its_parts() -> None:
    assert stated_bytes(ROLLUP, "Pss") == 1_024_000
    assert stated_bytes(ROLLUP, "Rss") == 2_097_152


SMAPS = """00400000-00452000 r-xp 00000000 08:02 173521 /usr/bin/python3.11
Rss:                  100 kB
Pss:                   10 kB
Pss_Dirty:              9 kB
01a00000-01b00000 rw-p 00000000 00:00 0 [heap]
Pss:                   20 kB
7f0000000000-7f0000100000 rw-p 00000000 00:00 0\x20
Pss:                   30 kB
7f0000200000-7f0000300000 rw-p 00000000 00:00 0\x20
Pss:                    5 kB
7f0000400000-7f0000500000 r-xp 00000000 08:02 99 /lib/onnxruntime/capi.so
Pss:                   40 kB
7f0000600000-7f0000700000 r-xp 00000000 08:02 99 /lib/libc.so.6
Pss:                    7 kB
"""


def test_what_a_process_has_mapped_is_added_up_by_kind() -> None:
    assert {kind: size // 1024 for kind, size in mapped_bytes(SMAPS).items()} == {
        "everything else": 10,
        "heap of the C library": 20,
        "objects of Python, buffers": 35,
        "code of onnxruntime": 40,
        "code of other libraries": 7,
    }


def test_a_text_without_pss_is_refused() -> None:
    with pytest.raises(ValueError, match="states no Pss"):
        stated_bytes("Rss: 12 kB\n", "Pss")


def test_a_tree_s_pss_leaves_its_rss_out() -> None:
    assert pss_of({"services": 100.0, "nats-server": 20.0, "Rss": 150.0}) == 120.0


def test_a_rate_is_taken_between_the_first_and_the_last_decision_that_was_taken(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "ledger.db") as connection:
        connection.execute("CREATE TABLE inbox (event_id TEXT, at REAL)")
        rows = [(f"prediction_generated-{number}", 100.0 + number / 10) for number in range(21)]
        rows += [("market_data_updated-1", 500.0)]
        connection.executemany("INSERT INTO inbox VALUES (?, ?)", rows)
    found = taken(tmp_path / "ledger.db")
    assert found.decisions == 21
    assert found.rate == pytest.approx(10.0)


def test_decisions_that_are_noted_together_count_from_the_second_time_on() -> None:
    # Of each 20 that a group of sessions made, the first were made before anything was noted.
    assert rate_of([100.0] * 20 + [102.0] * 20 + [104.0] * 20) == pytest.approx(10.0)


def test_a_database_with_too_few_decisions_is_refused(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "ledger.db") as connection:
        connection.execute("CREATE TABLE inbox (event_id TEXT, at REAL)")
    with pytest.raises(RuntimeError, match="0 decisions"):
        taken(tmp_path / "ledger.db")


def test_a_system_without_pace_keeps_all_else() -> None:
    system: dict[str, Any] = {
        "metadata": {"name": "replay"},
        "spec": {"clock": {"mode": "replay", "pace": "500ms"}, "profile": "ha"},
    }
    found = unpaced(system, "2009-12-31")
    assert found["spec"] == {"clock": {"mode": "replay", "pace": "0s", "to": "2009-12-31"}, "profile": "ha"}
    assert found["metadata"] == {"name": "replay"}
    assert system["spec"]["clock"] == {"mode": "replay", "pace": "500ms"}


def test_ratios_are_taken_within_each_round() -> None:
    assert paired_ratios([70.0, 40.0], [100.0, 50.0]) == [0.7, 0.8]


def test_rounds_of_different_numbers_are_refused() -> None:
    with pytest.raises(ValueError, match="argument 2 is longer"):
        paired_ratios([70.0], [100.0, 50.0])


def test_raw_nats_carries_bytes_that_our_runtime_would_understand() -> None:
    request, reply = decode_request(REQUEST_BODY), decode_reply(REPLY_BODY)
    assert decode_as(request.params, Features).symbol == "AAPL"
    assert reply.status == "success"
    assert isinstance(reply.result, msgspec.Raw)
    assert decode_as(reply.result, Score).symbol == "AAPL"


def test_kinds_take_turns_and_the_first_round_is_left_out() -> None:
    seen: list[str] = []
    kinds = {"a": lambda row: seen.append(f"a{row}"), "b": lambda row: seen.append(f"b{row}")}
    found = medians_of(kinds, rounds=2, calls=2)
    assert seen == ["a0", "a1", "b0", "b1"] * 3
    assert {name: len(values) for name, values in found.items()} == {"a": 2, "b": 2}


def test_a_wide_replay_states_what_a_decision_takes_of_the_disk() -> None:
    made = Replayed(decisions=250_000, rate=400.0, first_year=500.0, last_year=450.0)
    figures = {figure.what: figure.value for figure in wide.figures_of(made, 700.0, 300.0, 1000.0)}
    assert figures["databases, a decision"] == 4.0
    assert figures["its last year / its first year"] == 0.9
