"""Command lines of tools: help on --help, one line and 2 for what is wrongly typed."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from typing import Any, NoReturn

import typer


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        """End with 2."""
        self.exit(2, _line(message, self.prog))


def run_function(function: Callable[..., Any]) -> int:
    """Run a function with the options in its signature; return the exit code."""
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
    app.command()(function)
    return run_app(app)


def run_app(app: typer.Typer) -> int:
    """Run a command line; return the exit code."""
    try:
        ended = app(standalone_mode=False)
    except typer.Abort:
        return 130
    except typer.TyperException as error:
        words = " ".join(error.format_message().replace("Value error, ", "").split()).rstrip(".")
        if words:  # there are none where the help was shown instead
            context = getattr(error, "ctx", None)
            sys.stderr.write(_line(words, context.command_path if context else sys.argv[0]))
        return int(error.exit_code)
    return ended if isinstance(ended, int) else 0


def _line(words: str, command: str) -> str:
    return f"error: {words[0].lower()}{words[1:]} (see {command} --help)\n"
