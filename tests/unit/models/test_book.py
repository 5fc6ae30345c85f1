"""The registry's book on the wire: of any length, read in parts and changed by what is new in it."""

from __future__ import annotations

from datetime import UTC, datetime

from bellwether.messages.registry import RegistryBook
from bellwether.models import book
from bellwether.training.gate import Check, Verdict
from bellwether.training.ledger import Entry, ModelLedger, Stage, Trial, promote

AT = datetime(2026, 11, 30, 9, tzinfo=UTC)
MODELS = 1000
MESSAGE = 1024 * 1024


def entry(number: int, stage: Stage = "candidate", name: str = "direction") -> Entry:
    checks = [Check(f"check {at}", True, "found " + "x" * 60, "wanted " + "x" * 60) for at in range(6)]
    verdict = Verdict(True, "refit", 1, 0.005, checks)
    return Entry(f"{number:064x}", name, f"S{number}", "r" * 64, stage, AT, "passed", verdict, "e" * 64)


def large() -> ModelLedger:
    trials = [Trial(f"{at:064x}", "direction", f"S{at}", AT, True) for at in range(MODELS)]
    return ModelLedger([entry(at) for at in range(MODELS)], trials)


def test_a_book_of_a_thousand_models_goes_in_parts_that_a_message_holds() -> None:
    reported, content, parts = book.written(large()), b"", list[RegistryBook]()
    while len(content) < reported.part(0).total:
        parts.append(reported.part(len(content)))
        content += parts[-1].content
    assert len(reported.content) > MESSAGE
    # As base64 a part takes a third more.
    assert max(len(each.content) for each in parts) * 4 / 3 < MESSAGE
    assert book.read(content) == large()
    assert reported.part(len(content)).content == b""


def test_a_change_of_one_model_says_nothing_of_the_others() -> None:
    before = large()
    after = promote(before, before.entries[7].version, AT, "passed", mode="enforce")
    after = ModelLedger([*after.entries, entry(MODELS)], [*after.trials, Trial("k", "direction", None, AT, False)])
    change = book.change_of(before, after)
    assert [one.version for one in change.entries] == [before.entries[7].version, entry(MODELS).version]
    assert [one.key for one in change.trials] == ["k"]
    assert book.changed(before, change) == after


def test_no_change_takes_a_model_out_of_the_book() -> None:
    before = ModelLedger([entry(1), entry(2)])
    assert book.changed(before, ModelLedger()) == before
    assert [one.version for one in book.changed(before, ModelLedger([entry(2), entry(3)])).entries] == [
        entry(number).version for number in (1, 2, 3)
    ]


def test_what_serves_is_listed_however_old_and_of_others_the_newest() -> None:
    ledger = ModelLedger(
        [entry(1), entry(2, "serving"), entry(3, "shadow"), entry(4), entry(5), entry(6, name="other")]
    )
    found, total = book.listed(ledger, "direction", 1)
    assert [one.version for one in found] == [entry(number).version for number in (2, 3, 5)]
    assert total == 5
    assert book.listed(ledger, None, 500) == (ledger.entries, 6)
