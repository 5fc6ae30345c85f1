"""What a declaration of notifications may say, in the words of the refusal."""

from __future__ import annotations

from typing import Any

import pytest

from bellwether.spec.validate import validate

WEBHOOK = {"name": "ops", "kind": "webhook", "url": "https://hook.example/in"}
MAIL = {
    "name": "mail",
    "kind": "email",
    "email": {"host": "mail.example", "from": "bellwether@example.com", "to": ["me@example.com"]},
}


def problems(*notifications: dict[str, Any]) -> list[str]:
    spec = {"data": {"provider": "yahoo"}, "notifications": list(notifications)}
    head = {"apiVersion": "bellwether.dev/v1alpha1", "kind": "TradingSystem", "metadata": {"name": "made-up"}}
    return [str(one) for one in validate({**head, "spec": spec})]


def test_the_three_kinds_are_accepted() -> None:
    secret = {"secretRef": {"name": "push"}}
    quiet = {"quietHours": {"from": "22:00", "to": "07:00"}, "minSeverity": "critical", "template": "{message}"}
    ntfy = {"name": "push", "kind": "ntfy", "url": "https://ntfy.sh/topic"}
    assert problems(WEBHOOK | quiet, MAIL, ntfy | secret, {"name": "hidden", "kind": "webhook", **secret}) == []


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"name": "ops", "kind": "webhook"}, "kinds webhook and ntfy need `url`"),
        ({"name": "mail", "kind": "email"}, "kind email needs `email`"),
        (MAIL | {"url": "https://x.example"}, "kind email has none"),
        (WEBHOOK | {"email": MAIL["email"]}, "the other kinds have none"),
        ({"name": "push", "kind": "ntfy", "url": "https://ntfy.sh/"}, "ends with its topic"),
        (WEBHOOK | {"quietHours": {"from": "22:00", "to": "22:00"}}, "would be all day"),
        (WEBHOOK | {"template": "{msg}"}, "a template knows {system}"),
        (WEBHOOK | {"kind": "pager"}, "pager"),
        (WEBHOOK | {"url": "https://user:pass@hook.example"}, "url"),
    ],
)
def test_what_is_wrong_is_said_in_words(wrong: dict[str, Any], words: str) -> None:
    found = problems(wrong)
    assert any(words in one for one in found), found


def test_two_of_one_name_are_refused() -> None:
    assert any("ops" in one for one in problems(WEBHOOK, WEBHOOK))
