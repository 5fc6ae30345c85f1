"""Bars from a folder of files, one SYMBOL.csv per symbol."""

from __future__ import annotations

import hashlib
import logging
import stat
import time
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from bellwether.market_data.csv_forms.cells import FormError
from bellwether.market_data.csv_forms.reading import Found, Options, read
from bellwether.market_data.rows import Loaded, SourceError
from bellwether.messages.fields import from_fields
from bellwether.spec.data import CsvData

LARGEST_FILE = 64 * 2**20
"""A century of daily bars takes some 3 MB."""
TRIES = 5
PAUSE_SECONDS = 0.05
SETTLED_SECONDS = 1.0
"""A file without an end of its last line that is younger than this may be half written."""
READER_VERSION = 1
"""Part of the fingerprint: a new version reads the same bytes again."""
_AHEAD_OF_UTC = timedelta(hours=14)
"""How far the earliest clocks on Earth are ahead."""

_log = logging.getLogger(__name__)


class CsvFiles:
    """One file per symbol, SYMBOL.csv, in one of the forms of docs/bars.md."""

    def __init__(self, declared: CsvData, directory: Path, zone: ZoneInfo | None = None) -> None:
        self._directory = directory
        self._declared = declared
        self._zone = zone

    def fingerprint(self, symbol: str) -> str:
        """Return the hash of the symbol's file, of its modification time, and of how it is to be read.

        The time counts, since a row may become final by it alone.
        """
        return self._hash(*self._bytes(symbol))

    def load(self, symbol: str) -> Loaded:
        """Return all rows of a symbol's file."""
        content, recorded_at = self._bytes(symbol)
        path = self._path(symbol)
        found = read_bars(content, symbol, str(path), self._options(latest_day()))
        for row in found.odd:
            _log.debug("%s: left out: %s", row.where, row.message)
        fingerprint = self._hash(content, recorded_at)
        return from_fields(Loaded, found, source=f"csv:{path}", fingerprint=fingerprint, recorded_at=recorded_at)

    def _options(self, today: date) -> Options:
        declared = self._declared
        return Options(
            today=today,
            prices=declared.prices,
            order=declared.dates,
            most_odd=float(declared.max_odd_rows),
            zone=self._zone,
        )

    def _path(self, symbol: str) -> Path:
        return self._directory / f"{symbol}.csv"

    def _bytes(self, symbol: str) -> tuple[bytes, datetime]:
        if not self._directory.is_dir():
            raise SourceError(f"data.csv.directory {self._directory} is not a folder")
        return read_unchanging(self._path(symbol))

    def _hash(self, content: bytes, recorded_at: datetime) -> str:
        options = asdict(self._options(date.min))
        return hashlib.sha256(content + f"{recorded_at.isoformat()} {READER_VERSION} {options}".encode()).hexdigest()


def latest_day() -> date:
    """Return the last day that has started anywhere on Earth."""
    return (datetime.now(UTC) + _AHEAD_OF_UTC).date()


def read_bars(content: bytes, symbol: str, name: str, options: Options) -> Found:
    """Return what a file's bytes state.

    Raises:
        SourceError: when they cannot be read as daily bars. Whatever a file holds, it is this error, so that one bad
            file stops one symbol.
    """
    try:
        return read(content, symbol, name, options)
    except FormError as error:
        raise SourceError(str(error)) from error
    except Exception as error:
        _log.exception("%s: a fault of the reader", name)
        raise SourceError(f"{name}: it cannot be read ({type(error).__name__}: {error})") from error


def read_unchanging(path: Path, pause: Callable[[float], None] = time.sleep) -> tuple[bytes, datetime]:
    """Return a file's bytes and its modification time, once it does not change while it is read.

    Raises:
        SourceError: when there is no such file, it is no file, or it goes on changing.
    """
    try:
        for _ in range(TRIES):
            before = path.stat()
            if not stat.S_ISREG(before.st_mode):
                raise SourceError(
                    f"{path} is a {'folder' if stat.S_ISDIR(before.st_mode) else 'special file'}, not a file"
                )
            if before.st_size > LARGEST_FILE:
                raise SourceError(f"{path} has {before.st_size:,} bytes: at most {LARGEST_FILE:,} are read")
            content = path.read_bytes()
            after = path.stat()
            unchanged = (before.st_size, before.st_mtime_ns, before.st_ino) == (
                after.st_size,
                after.st_mtime_ns,
                after.st_ino,
            )
            if unchanged and len(content) == after.st_size:
                if content.endswith((b"\n", b"\r")) or not 0 <= time.time() - after.st_mtime < SETTLED_SECONDS:
                    return content, datetime.fromtimestamp(after.st_mtime, UTC)
                pause(SETTLED_SECONDS)
            else:
                pause(PAUSE_SECONDS)
    except FileNotFoundError as error:
        raise SourceError(f"{path} does not exist: each symbol needs its SYMBOL.csv") from error
    except OSError as error:
        raise SourceError(f"{path} cannot be read: {error.strerror}") from error
    raise SourceError(f"{path} is being written: it changed {TRIES} times while it was read")
