"""Secrets of repositories: what is missing or open to others is refused in words that hold nothing of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from bellwether.backups.secrets import SecretError, read_secret, secrets_folder

PASSWORD = "correct-horse-battery"


def write(path: Path, text: str, mode: int = 0o600) -> Path:
    path.write_text(text)
    path.chmod(mode)
    return path


def test_a_file_of_lines_is_read(tmp_path: Path) -> None:
    path = write(tmp_path / "repo", f"# ours\npassword={PASSWORD}\naccessKey=a\nsecretKey=b=c\n")
    assert read_secret(path, "s3") == {"password": PASSWORD, "accessKey": "a", "secretKey": "b=c"}


def test_a_mounted_secret_is_a_folder(tmp_path: Path) -> None:
    (tmp_path / "password").write_text(PASSWORD + "\n")
    assert read_secret(tmp_path, "folder") == {"password": PASSWORD}


@pytest.mark.parametrize(
    ("text", "mode", "reported"),
    [
        (f"password={PASSWORD}\n", 0o640, r"has mode 0640: others can read it; chmod 600 "),
        (f"password={PASSWORD}\n", 0o600, r"has no entry accessKey: it needs a line password=…"),
        ("password=short\naccessKey=a\nsecretKey=b\n", 0o600, r"password has fewer than 12 characters"),
    ],
)
def test_what_cannot_be_used_is_reported(tmp_path: Path, text: str, mode: int, reported: str) -> None:
    with pytest.raises(SecretError, match=reported) as caught:
        read_secret(write(tmp_path / "repo", text, mode), "s3")
    assert PASSWORD not in str(caught.value)


def test_a_missing_secret_is_reported_with_what_to_write(tmp_path: Path) -> None:
    words = r"there is no secret none: on a machine write \S+/none with a line password=… \(mode 0600\), in a cluster"
    with pytest.raises(SecretError, match=words):
        read_secret(tmp_path / "none", "folder")


def test_secrets_are_where_the_variable_says() -> None:
    assert secrets_folder({"BELLWETHER_SECRETS": "/srv/s"}) == Path("/srv/s")
