"""What restic's words mean: every failure ends with code 1, so only its words tell them apart. Pure.

The words are those of restic 0.14 to 0.18 and of the servers it was tried with.
"""

from __future__ import annotations

import re
from enum import StrEnum


class Failure(StrEnum):
    """Why a repository cannot be used, with what to do."""

    WRONG_KEY = "the password is not the one that the repository was made with: look at `password` in the secret"
    CREDENTIAL = "the server refuses the credential: look at `accessKey` and `secretKey` in the secret"
    NO_BUCKET = "there is no such bucket: make it, or correct `url`"
    NO_REPOSITORY = "there is no repository: it was deleted, its disk is not mounted, or the location is another"
    FULL = "no space is left: prune, lower `retention`, or make room"
    UNREACHABLE = "the server does not answer"
    LOCKED = "another restic uses the repository: wait until it ends"
    DAMAGED = "the repository is damaged: what is in it cannot be trusted until it is repaired"
    NOT_WRITABLE = "it may not be written"
    TOO_LONG = "it took too long"
    OTHER = "restic failed"


_WORDS: tuple[tuple[Failure, str], ...] = (
    (Failure.WRONG_KEY, r"wrong password or no key found"),
    (
        Failure.CREDENTIAL,
        r"access ?denied|access ?key id|signaturedoesnotmatch|signature we calculated|invalidaccesskey|403 forbidden",
    ),
    (Failure.NO_BUCKET, r"bucket does not exist|nosuchbucket"),
    (Failure.FULL, r"no space left on device|disk quota exceeded|file too large|insufficient ?storage"),
    (Failure.LOCKED, r"already locked"),
    (Failure.UNREACHABLE, r"connection refused|no such host|i/o timeout|dial tcp|no route to host|connection reset"),
    # "Is there a repository at the following location?" follows any failure, a server's too.
    (
        Failure.NO_REPOSITORY,
        r"unable to open config file.*(?:no such file|not a directory|does not exist)|config file.*does not exist",
    ),
    # After those that name the repository's path, which may have any word in it.
    (
        Failure.DAMAGED,
        r"ciphertext verification failed|invalid data returned|hash does not match|does not match id|"
        r"not found in (?:index|repository)|tree [0-9a-f]+.*not found|contains \d+ errors|repository contains errors|"
        r"pack [0-9a-f]+.*(?:damaged|unexpected|not found)|index .*(?:damaged|not (?:found|readable))|"
        r"unexpected (?:pack|blob)|decrypt|unmarshal|invalid (?:length|character)|damaged|corrupt",
    ),
    (Failure.NOT_WRITABLE, r"permission denied|read-only file system"),
)
FINAL = frozenset(
    {
        Failure.WRONG_KEY,
        Failure.CREDENTIAL,
        Failure.NO_BUCKET,
        Failure.NO_REPOSITORY,
        Failure.FULL,
        Failure.DAMAGED,
        Failure.NOT_WRITABLE,
    }
)
"""What stays whatever is waited for, until somebody does something about it."""
_NEVER_BETTER = frozenset({Failure.CREDENTIAL, Failure.NO_BUCKET, Failure.FULL, Failure.UNREACHABLE})


def failure_of(words: str) -> Failure:
    """Return what restic's words say has failed."""
    lower = words.lower()
    return next((failure for failure, pattern in _WORDS if re.search(pattern, lower)), Failure.OTHER)


def is_futile(line: str) -> bool:
    """Whether a line says that restic tries again, for minutes, what will not get better by that."""
    return "retrying after" in line and failure_of(line) in _NEVER_BETTER


def telling_line(words: str) -> str:
    """Return the line of restic's output that says most, for a person; without its addresses and doubled spaces."""
    lines = [line.strip() for line in words.splitlines() if line.strip()]
    final = [line for line in lines if line.lower().startswith(("fatal:", "error:", "error "))] or lines
    return re.sub(r"\s+", " ", final[-1]).removeprefix("Fatal: ")[:300] if final else "it said nothing"
