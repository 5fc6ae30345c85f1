"""The base of the failures of backups that a person can do something about."""

from __future__ import annotations

FUTILE = 3
"""The exit code by which a program says that trying again cannot help."""


class BackupError(Exception):
    """A backup cannot be made, read or restored; the message says why and what to do."""

    final = False
    """Whether trying again changes nothing before somebody does something."""
