"""JSON logs: one object a line on standard error, with the request and trace that a line belongs to."""

from __future__ import annotations

import json
import logging
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import NamedTuple

_NUMBERS = re.compile(r"[0-9]+")

LEVELS = ("debug", "info", "warning", "error")


class LogContext(NamedTuple):
    """What a line is about: the service whose code runs, its request or event, and its trace."""

    service: str
    request_id: str | None = None
    trace_id: int | None = None


log_context: ContextVar[LogContext | None] = ContextVar("log_context", default=None)


@contextmanager
def log_lines_of(service: str) -> Iterator[None]:
    """Name a service in the lines that are logged meanwhile, also later by the tasks that are started meanwhile."""
    token = log_context.set(LogContext(service))
    try:
        yield
    finally:
        log_context.reset(token)


class JsonFormatter(logging.Formatter):
    """Formats a record as one JSON object: time (UTC), level, service, msg, and where known request_id, trace_id."""

    def __init__(self, service: str) -> None:
        super().__init__()
        self._service = service

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        context = log_context.get()
        line: dict[str, str] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "service": context.service if context else self._service,
            "msg": record.getMessage(),
            "logger": record.name,
        }
        if context and context.request_id:
            line["request_id"] = context.request_id
        if context and context.trace_id:
            line["trace_id"] = f"{context.trace_id:032x}"
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


class Once(logging.Filter):
    """Lets a line through once: what differs from an earlier one in its numbers and days alone is the same line."""

    def __init__(self) -> None:
        super().__init__()
        self._seen: set[tuple[str, str]] = set()

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether the line is new."""
        key = (record.name, _NUMBERS.sub("#", record.getMessage()))
        if key in self._seen:
            return False
        self._seen.add(key)
        return True


class PlainFormatter(logging.Formatter):
    """Formats a record as words for a person at a terminal: the level, and what is said."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, and the traceback below it where there is one."""
        line = f"{record.levelname.lower()}: {record.getMessage()}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


def configure_logs(service: str, level: str = "info", *, terminal: bool = False) -> None:
    """Send all logs of the process to standard error as JSON; for a terminal, as plain words and each line once.

    Raises:
        ValueError: if the level is unknown.
    """
    if level not in LEVELS:
        raise ValueError(f"log level {level!r}: use one of {', '.join(LEVELS)}")
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(PlainFormatter() if terminal else JsonFormatter(service))
    if terminal:
        handler.addFilter(Once())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    # The client says each lost connection attempt itself; ours says it once per change.
    logging.getLogger("nats").setLevel("ERROR")
    # They write whole addresses, and at level debug the headers of answers: a broker's tokens are among those.
    for name in ("httpx", "httpcore"):
        logging.getLogger(name).setLevel("WARNING")
