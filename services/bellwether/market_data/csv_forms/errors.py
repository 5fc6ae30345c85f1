"""Why a file cannot be used."""

from __future__ import annotations


class FormError(Exception):
    """A file that cannot be read as daily bars; the message says file and line, what is wrong, and what to do."""
