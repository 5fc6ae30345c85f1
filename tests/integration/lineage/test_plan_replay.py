"""`bellwether plan FILE --replay N`: the orders that an edit would have changed, over the same versions of bars."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import yaml

from bellwether.cli.main import main

pytestmark = pytest.mark.integration

SAMPLE = Path(__file__).parents[3] / "manifests" / "samples" / "replay.yaml"


def written(folder: Path, name: str, **changes: Any) -> str:
    document = yaml.safe_load(SAMPLE.read_text("utf-8"))
    for field, value in changes.items():
        block = document["spec"].get(field)
        document["spec"][field] = {**block, **value} if isinstance(block, dict) else value
    (folder / name).write_text(yaml.safe_dump(document))
    return str(folder / name)


def planned(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    code = main(["plan", *words, "-o", "json"])
    reported = capsys.readouterr()
    assert code == 0, reported.err
    found: dict[str, Any] = json.loads(reported.out)
    return found


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with stored bars that end with February 2009, while their source goes on to 2013."""
    folder = tmp_path_factory.mktemp("stored")
    assert main(["replay", written(folder, "old.yaml"), "--to", "2009-01-05", "--data", str(folder / "state")]) == 0
    with closing(sqlite3.connect(folder / "state" / "bars.db")) as database, database:
        database.execute("DELETE FROM bars WHERE session > '2009-02-27'")
        database.execute("UPDATE loads SET fingerprint = 'another'")
    return folder / "state"


def test_each_order_that_an_edit_changes_has_its_reason(
    tmp_path: Path, state: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old = written(tmp_path, "old.yaml")
    wide = written(tmp_path, "wide.yaml", predictions={"margin": "0.3"})
    found = planned(capsys, wide, "--from", old, "--replay", "20", "--data", str(state))
    # What is stored is replayed, and not what the source says by now.
    assert found["span"] == {"first": "2009-01-30", "last": "2009-02-27"}
    assert found["orders_before"] > 0
    assert found["orders_after"] == 0
    assert {one["kind"] for one in found["changes"]} == {"gone"}
    assert len(found["changes"]) == found["orders_before"]
    signals = [one for one in found["changes"] if "as edited HOLD, probability" in one["why"]]
    assert signals
    assert all("BUY from" in one["why"] for one in signals)


def test_the_same_declaration_changes_nothing_and_a_share_less_takes_its_orders(
    tmp_path: Path, state: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old = written(tmp_path, "old.yaml")
    same = planned(capsys, old, "--from", old, "--replay", "5", "--data", str(state))
    assert same["changes"] == []
    assert same["orders_before"] == same["orders_after"]
    assert same["equity_before"] == same["equity_after"]
    halved = written(tmp_path, "halved.yaml", symbols=["AAPL", "IBM"])
    found = planned(capsys, halved, "--from", old, "--replay", "20", "--data", str(state))
    gone = [one for one in found["changes"] if one["symbol"] in ("GOOG", "MSFT")]
    assert gone
    for one in gone:
        assert one["why"] == f"{one['symbol']} is not declared any more"


def test_sessions_up_to_another_day_are_looked_at_and_a_plan_without_any_order_says_so(
    tmp_path: Path, state: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wide = written(tmp_path, "wide.yaml", predictions={"margin": "0.3"})
    words = (wide, "--from", wide, "--replay", "5", "--data", str(state))
    found = planned(capsys, *words, "--at", "2009-01-30T23:00:00Z")
    assert found["span"] == {"first": "2009-01-26", "last": "2009-01-30"}
    assert found["orders_before"] == 0
    assert any("there was no order to change: 20 of 20 predictions are HOLD now" in one for one in found["notes"])


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--replay", "5"], "no declaration of a run is there; say --from OLDFILE"),
        (["--replay", "5", "--from", "OLD", "--data", "."], "there is no bars.db in it"),
        (["--replay", "5", "--offline"], "leave --offline and --context out"),
        (["--data", "."], "--data is for --replay"),
    ],
)
def test_what_is_missing_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    old = written(tmp_path, "old.yaml")
    assert main(["plan", old, *(old if one == "OLD" else one for one in words)]) == 1
    assert says in capsys.readouterr().err
