"""What restic's words mean. The words are those that it said when it was tried."""

from __future__ import annotations

import pytest

from bellwether.backups.failures import Failure, failure_of, is_futile, telling_line

SAID = {
    "Fatal: wrong password or no key found": Failure.WRONG_KEY,
    "Fatal: unable to open config file: stat /r/config: no such file or directory\nIs there a repository at the "
    "following location?\n/r": Failure.NO_REPOSITORY,
    "Fatal: unable to open config file: stat /damaged-disk/config: no such file or directory": Failure.NO_REPOSITORY,
    "Save(<data/8f1>) returned error, retrying after 552ms: write: no space left on device": Failure.FULL,
    "Stat(<config/0>) returned error, retrying after 720ms: client.StatObject: Access Denied.": Failure.CREDENTIAL,
    "Fatal: unable to open config file: Stat: The Access Key Id you provided does not exist in our records.": (
        Failure.CREDENTIAL
    ),
    "Fatal: unable to open config file: Stat: The specified bucket does not exist": Failure.NO_BUCKET,
    "error for tree 5ed1:\n ciphertext verification failed\nFatal: repository contains errors": Failure.DAMAGED,
    "Load(<index/1a>, 0, 0) returned error, retrying: hash does not match id": Failure.DAMAGED,
    "Fatal: unable to open config file: Get http://x/: dial tcp 127.0.0.1:1: connect: connection refused": (
        Failure.UNREACHABLE
    ),
    "Fatal: unable to open config file: Stat: 500 Internal Server Error\nIs there a repository at the following "
    "location?\ns3:http://x/b": Failure.OTHER,
    "Fatal: unable to open config file: Stat: The specified key does not exist.\nIs there a repository at the "
    "following location?\ns3:http://x/b": Failure.NO_REPOSITORY,
    "unable to create lock in backend: repository is already locked by PID 4 on vm": Failure.LOCKED,
    "Fatal: create repository at /x failed: mkdir /x: permission denied": Failure.NOT_WRITABLE,
    "something new": Failure.OTHER,
}


@pytest.mark.parametrize(("words", "failure"), SAID.items())
def test_words_are_distinguished(words: str, failure: Failure) -> None:
    assert failure_of(words) is failure


def test_what_cannot_get_better_is_not_waited_for() -> None:
    assert is_futile("Stat(<config/0>) returned error, retrying after 1s: Access Denied.")
    assert not is_futile("Save(<data/1>) returned error, retrying after 1s: 503 Service Unavailable")


def test_the_line_that_says_most_is_reported() -> None:
    assert telling_line("loading\nFatal: wrong   password\nmore\n") == "wrong password"
    assert telling_line("") == "it said nothing"
