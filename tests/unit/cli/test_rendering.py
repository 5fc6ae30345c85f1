"""`bellwether render systemd` and `bellwether render compose`, as a person types them."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest
import yaml

from bellwether.cli.main import main

FILE = """
apiVersion: bellwether.dev/v1alpha1
kind: TradingSystem
metadata: {name: demo}
spec:
  market: {calendar: XASX}
  symbols: [CBA.AX, ANZ.AX]
  profile: standard
"""


class Typed:
    """Types `bellwether render` in a folder of its own."""

    def __init__(self, folder: Path, capture: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        self._capture = capture

    def write(self, text: str) -> str:
        (self.folder / "system.yaml").write_text(text)
        return "system.yaml"

    def __call__(self, *words: str) -> tuple[int, str, str]:
        code = main(["render", *words])
        reported = self._capture.readouterr()
        return code, reported.out, reported.err

    def files(self, directory: str) -> dict[str, str]:
        root = self.folder / directory
        return {str(path.relative_to(root)): path.read_text() for path in root.rglob("*") if path.is_file()}


@pytest.fixture
def typed(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Typed:
    monkeypatch.chdir(tmp_path)
    return Typed(tmp_path, capsys)


def test_units_are_written_with_keys_that_only_their_owner_reads_and_nobody_is_shown(typed: Typed) -> None:
    before = os.umask(0o077)
    try:
        code, out, _ = typed("systemd", typed.write(FILE), "-d", "out")
    finally:
        os.umask(before)
    assert code == 0
    assert "out/etc/systemd/system/trading-prediction.service" in out
    assert "systemctl enable --now trading.target" in out
    keys = typed.folder / "out/etc/bellwether/keys"
    modes = {stat.S_IMODE(path.stat().st_mode) for path in keys.iterdir()}
    assert (stat.S_IMODE(keys.stat().st_mode), modes) == (0o700, {0o600})
    assert not [path for path in keys.iterdir() if path.read_text() in out]
    # Copied to the machine with these modes, /etc stays readable.
    assert stat.S_IMODE((typed.folder / "out/etc").stat().st_mode) == 0o755
    assert stat.S_IMODE((typed.folder / "out/etc/bellwether/system.json").stat().st_mode) == 0o644


def test_rendered_again_it_is_the_same_and_an_edit_is_the_next_generation(typed: Typed) -> None:
    file = typed.write(FILE)
    typed("systemd", file, "-d", "out")
    first = typed.files("out")
    typed("systemd", file, "-d", "out")
    assert typed.files("out") == first
    typed.write(FILE.replace("standard", "compact"))
    typed("systemd", file, "-d", "out")
    second = typed.files("out")
    reported = json.loads(second["etc/bellwether/system.json"])
    assert reported["metadata"]["generation"] == 2
    assert "etc/systemd/system/trading-prediction.service" not in second
    assert second["etc/bellwether/keys/gateway.token"] == first["etc/bellwether/keys/gateway.token"]


def test_a_compose_file_names_files_that_are_there(typed: Typed) -> None:
    code, out, _ = typed("compose", typed.write(FILE))
    document = yaml.safe_load(out)
    named = [one["file"] for kind in ("configs", "secrets") for one in document[kind].values()]
    named += [one["source"] for service in document["services"].values() for one in service.get("volumes", [])]
    assert code == 0
    assert len(named) > 10
    assert not [path for path in named if not Path(path).exists()]
    assert not [path for path in named if path.endswith((".nk", ".token")) and Path(path).read_text() in out]
    owner = (typed.folder / ".bellwether/demo-compose/keys/prediction.nk").stat()
    assert document["services"]["prediction"]["user"] == f"{owner.st_uid}:{owner.st_gid}"
    assert owner.st_uid != 0


def test_a_compose_file_is_written_where_it_is_asked_for(typed: Typed) -> None:
    assert typed("compose", typed.write(FILE), "-o", "compose.yaml", "-d", "state", "--image", "r/s:2") == (0, "", "")
    document = yaml.safe_load((typed.folder / "compose.yaml").read_text())
    assert document["services"]["gateway"]["image"] == "r/s:2"
    assert document["secrets"]["gateway.nk"]["file"] == str(typed.folder / "state/keys/gateway.nk")


def test_an_edit_changes_each_container_so_that_compose_starts_it_again(typed: Typed) -> None:
    def services() -> dict[str, object]:
        found: dict[str, object] = yaml.safe_load(typed("compose", "system.yaml")[1])["services"]
        return found

    typed.write(FILE)
    first = services()
    assert services() == first
    typed.write(FILE + "  trading: {risk: {maxOrdersPerSession: 3}}\n")
    second = services()
    assert not [name for name, one in second.items() if one == first[name]]


@pytest.mark.parametrize("words", [("backup", "create"), ("restore", "--yes", "--data", ".bellwether/demo-compose")])
def test_what_compose_keeps_is_taken_for_no_state_of_a_run(
    typed: Typed, words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    typed("compose", typed.write(FILE))
    assert main(words) == 1
    assert "holds no system's state" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "reported"),
    [
        (("systemd", "none.yaml", "-d", "out"), "none.yaml: No such file or directory"),
        (("systemd", "system.yaml", "-d", "taken"), "taken is not empty and no rendered system"),
        (("systemd", "system.yaml", "-d", "system.yaml"), "system.yaml cannot be written: File exists"),
        (("systemd", "system.yaml", "-d", "out", "--home", "opt"), "--home 'opt': an absolute path"),
        (("compose", "none.yaml"), "none.yaml: No such file or directory"),
        (("compose", "system.yaml", "-o", "none/compose.yaml"), "none/compose.yaml: No such file or directory"),
    ],
)
def test_what_cannot_be_rendered_is_said_in_one_line(typed: Typed, words: tuple[str, ...], reported: str) -> None:
    typed.write(FILE)
    (typed.folder / "taken").mkdir()
    (typed.folder / "taken/letter.txt").write_text("mine")
    code, out, err = typed(*words)
    assert (code, out) == (1, "")
    assert err.startswith(f"error: {reported}")
    assert err.count("\n") == 1


def test_a_folder_of_another_system_is_not_written_to(typed: Typed) -> None:
    typed("systemd", typed.write(FILE), "-d", "out")
    code, _, err = typed("systemd", typed.write(FILE.replace("demo", "other")), "-d", "out")
    assert (code, err) == (
        1,
        "error: out holds the system demo, the file declares other: choose another folder\n",
    )
