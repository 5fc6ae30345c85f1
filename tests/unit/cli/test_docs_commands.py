"""Every command that the pages tell people to type exists, with the options that they name."""

from __future__ import annotations

import argparse
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from bellwether.cli.app import app
from bellwether.cli.main import PROCESS_COMMANDS
from bellwether.local.commands import _parser

ROOT = Path(__file__).parents[3]
PAGES = sorted([*(ROOT / "docs").glob("*.md"), ROOT / "README.md", ROOT / "CONTRIBUTING.md"])
TREE = typer.main.get_command(app)
_INLINE = re.compile(r"`((?:\.venv/bin/)?bellwether [^`]+)`")
_BLOCK = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)
_ENDS = re.compile(r"\s#|\s[|>;]|&&|…|\)$|\\")


def commands(text: str) -> Iterator[str]:
    """Yield what follows `bellwether` in the commands of a page, without what the shell does with it."""
    found = _INLINE.findall(text)
    for block in _BLOCK.findall(text):
        found += [line.strip() for line in block.splitlines()]
    for line in found:
        words = re.search(r"(?:^|[\s/])bellwether (.*)", line)
        # A unit's name or a placeholder's own text is no command.
        if (
            words is not None
            and re.match(r"^[a-z]", words[1])
            and not re.search(r"(kubectl|helm|pip|journalctl) ", line)
        ):
            yield _ENDS.split(words[1])[0]


def lacking(command: str) -> str | None:
    """Return what of a command there is not; None: all of it is there."""
    words = shlex.split(command.replace("[", " ").replace("]", " ").replace("'", ""))
    if words[0] in PROCESS_COMMANDS:
        return _lacking_of_process(words)
    here: Any = TREE
    while words and (inner := getattr(here, "commands", None)):
        if words[0] in inner:
            here = inner[words.pop(0)]
        elif words[0].startswith("-") or here is not TREE:
            break
        else:
            return f"there is no command {words[0]}"
    known = {option for parameter in here.params for option in (*parameter.opts, *parameter.secondary_opts)}
    odd = [word for word in words if word.startswith("-") and word.split("=")[0] not in known | {"--help", "-"}]
    return f"{here.name} has no option {odd[0]}" if odd else None


def _lacking_of_process(words: list[str]) -> str | None:
    (commands,) = [one for one in _parser()._actions if isinstance(one, argparse._SubParsersAction)]
    known = {"--help", *(commands.choices[words[0]]._option_string_actions if words[0] in commands.choices else ())}
    odd = [word for word in words if word.startswith("-") and word.split("=")[0] not in known]
    return f"{words[0]} has no option {odd[0]}" if odd else None


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_the_commands_of_a_page_exist(page: Path) -> None:
    found = {command: lacking(command) for command in commands(page.read_text(encoding="utf-8"))}
    assert {command: why for command, why in found.items() if why is not None} == {}


def test_the_migration_page_has_a_command_for_each_step_and_they_are_looked_at() -> None:
    text = (ROOT / "docs" / "migration.md").read_text(encoding="utf-8")
    steps = [line for line in text.splitlines() if re.match(r"^\| \d+ \|", line)]
    assert len(steps) == 15
    for step in steps:
        cells = [cell.strip() for cell in step.strip("|").split(" | ")]
        assert len(cells) == 4, step
        assert all(cells), step
    assert len(list(commands(text))) >= 30


def test_a_command_or_an_option_that_there_is_not_is_found() -> None:
    assert lacking("frobnicate now") == "there is no command frobnicate"
    assert lacking("migrate cron --zone UTC FILE") == "cron has no option --zone"
    assert lacking("run FILE --attach") == "run has no option --attach"
    assert lacking("models list -o json") is None
