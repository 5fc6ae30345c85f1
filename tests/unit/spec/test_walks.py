"""The pictures of docs/architecture.md are of the code as it is."""

from pathlib import Path

import pytest

from generate import walks
from generate.additions import ADDITIONS
from generate.walks import Stop, Walk, WalkError

CODE = {
    "shop.py": '''
class Till:
    """Takes money."""

    def take(self, sum):
        """Take a sum."""
        self._count(sum)

    def _count(self, sum):
        note(sum)
        ask("bank", "deposit")
''',
    "book.py": "def note(sum):\n    '''Write a sum down. It stays.'''\n",
    "bank.py": "def deposit(sum):\n    '''Keep a sum.'''\n",
}


@pytest.fixture(autouse=True)
def code(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name, text in CODE.items():
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(walks, "ROOT", tmp_path)
    walks.forget()


def drawn(*stops: Stop) -> str:
    return walks.drawn(Walk("One sum", stops, "a richer shop"))


def test_a_step_is_drawn_where_the_code_takes_it_be_it_by_a_function_beside() -> None:
    text = drawn(
        Stop("shop.py", "Till.take", start="somebody pays"),
        Stop("book.py", "note"),
        Stop("bank.py", "deposit", after="Till.take", by="deposit"),
    )
    assert "  s1 --> s2\n  s1 -->|deposit| s3\n" in text
    assert "2. [`book.py`](../book.py) `note`: Write a sum down. It stays." in text


@pytest.mark.parametrize(
    ("stop", "complaint"),
    [
        (Stop("book.py", "noted"), "book.py has no noted: mend WALKS"),
        (Stop("books.py", "note"), "books.py is gone: mend WALKS"),
        (
            Stop("bank.py", "deposit", by="withdraw"),
            "Till.take in shop.py no longer has 'withdraw', the step to deposit",
        ),
        (Stop("bank.py", "deposit", after="Shop"), "deposit comes after Shop, which is no stop"),
    ],
)
def test_what_the_code_no_longer_does_is_named(stop: Stop, complaint: str) -> None:
    with pytest.raises(WalkError, match=complaint):
        drawn(Stop("shop.py", "Till.take", start="somebody pays"), stop)


def test_there_is_a_row_for_each_thing_that_people_add() -> None:
    things = {each.thing.partition(":")[0].split()[0].strip(",") for each in ADDITIONS}
    named = {"symbol", "guard", "task", "child", "condition", "event", "service", "exchange"}
    assert things == {*named, "broker", "alarm", "command", "field"}
