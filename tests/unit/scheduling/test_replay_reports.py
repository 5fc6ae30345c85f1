"""Reports of replays on disk: whole or not there, found by name, bounded, and gone with their replay."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest
from msgspec.structs import replace

from bellwether.messages.parts import PART
from bellwether.messages.scheduling import GetReplayReport, PutReplayReport
from bellwether.scheduling.replay_reports import Shelf, ShelfError

UID = "0d2f6c1e-aaaa"


def part(content: bytes, *, name: str = "sizes", uid: str = UID, index: int = 0) -> PutReplayReport:
    sha256 = hashlib.sha256(content).hexdigest()
    return PutReplayReport(name, uid, index, "index.html", sha256, 0, len(content), content)


def page_of(shelf: Shelf, name: str = "sizes", index: int = 0) -> bytes:
    found = b""
    while True:
        got = shelf.part(GetReplayReport(name, index, "index.html", len(found)))
        found += got.content
        if len(found) >= got.total:
            return found


def test_a_page_comes_in_parts_and_is_there_when_it_is_whole(tmp_path: Path) -> None:
    shelf, content = Shelf(tmp_path / "s"), os.urandom(PART + 7)
    whole = part(content)
    first = replace(whole, content=content[:PART])
    assert shelf.take(first) == shelf.take(replace(first, offset=5))
    with pytest.raises(ShelfError, match="there is no report of variant 0 of the replay sizes"):
        page_of(shelf)
    # A pod that was ended begins again from the start.
    assert shelf.take(first).received == PART
    assert shelf.take(replace(whole, offset=PART, content=content[PART:])).complete
    assert page_of(shelf) == content
    assert [(one.replay, one.uid, one.variants) for one in shelf.lines()] == [("sizes", UID, [0])]


def test_the_newest_replay_of_a_name_is_shown_and_others_go_when_they_are_not_kept(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path)
    shelf.take(part(b"old"))
    shelf.take(part(b"new", uid="0d2f6c1e-bbbb"))
    os.utime(tmp_path / f"sizes.{UID}", (1, 1))
    shelf.take(part(b"other", name="exits", uid="0d2f6c1e-cccc", index=3))
    assert page_of(shelf) == b"new"
    shelf.retain(["0d2f6c1e-cccc"])
    assert [(one.replay, one.variants) for one in shelf.lines()] == [("exits", [3])]


def test_beyond_the_room_the_oldest_replay_goes(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path, room=250)
    for at, uid in enumerate(("0d2f6c1e-aaaa", "0d2f6c1e-bbbb", "0d2f6c1e-cccc")):
        shelf.take(part(b"x" * 100, name=f"r{at}", uid=uid))
        os.utime(tmp_path / f"r{at}.{uid}", (at + 1, at + 1))
    assert [one.replay for one in shelf.lines()] == ["r1", "r2"]


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"replay": "../x"}, "'../x' is not the name of a replay"),
        ({"replay": "x" * 41}, "is not the name of a replay"),
        ({"uid": "../../y"}, "is not the uid of a replay"),
        ({"index": 20}, "variant 20: they are counted from 0 to 19"),
        ({"total": 10**9}, "from 1 to 16777216 are taken"),
        ({"sha256": "0" * 64}, "index.html has the hash"),
    ],
)
def test_what_no_replay_has_is_refused(tmp_path: Path, wrong: dict[str, object], words: str) -> None:
    with pytest.raises(ShelfError) as refused:
        Shelf(tmp_path).take(replace(part(b"page"), **wrong))
    assert words in str(refused.value)
    assert Shelf(tmp_path).lines() == []
