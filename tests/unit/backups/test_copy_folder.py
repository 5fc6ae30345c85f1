"""A registry's folder is copied while models arrive in it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from bellwether.backups.source import copy_folder
from bellwether.storage import copying
from bellwether.storage.folders import copy_file

BOOK = "registry/ledger.json"


def put(root: Path, name: str, content: str = "x") -> None:
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_text(content)


def copied(target: Path) -> dict[str, str]:
    return {str(each.relative_to(target)): each.read_text() for each in target.rglob("*") if each.is_file()}


def test_a_model_that_arrives_while_the_book_is_copied_is_in_the_copy_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, target = tmp_path / "ml-model", tmp_path / "copy"
    put(root, "registry/aa/model.onnx")
    put(root, BOOK, "aa")

    def arriving(given: Path, made: Path, reported: Callable[[int], None]) -> str:
        if given == root / BOOK:
            put(root, "registry/bb/model.onnx")
            put(root, BOOK, "aa bb")
        return copy_file(given, made, reported)

    monkeypatch.setattr(copying, "copy_file", arriving)
    assert copy_folder(root, target) == 3
    assert copied(target) == {BOOK: "aa bb", "registry/aa/model.onnx": "x", "registry/bb/model.onnx": "x"}


def test_an_upload_that_is_put_in_its_place_meanwhile_stops_no_backup(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, target = tmp_path / "ml-model", tmp_path / "copy"
    put(root, BOOK)
    for name in ("cc", "dd"):
        put(root, f"registry/.upload-{name}/model.onnx")

    def settling(given: Path, made: Path, reported: Callable[[int], None]) -> str:
        if ".upload-" in str(given) and given.parent.exists():
            given.parent.rename(given.parent.with_name(given.parent.name.removeprefix(".upload-")))
        return copy_file(given, made, reported)

    monkeypatch.setattr(copying, "copy_file", settling)
    assert copy_folder(root, target) == 1
    assert copied(target) == {BOOK: "x"}
