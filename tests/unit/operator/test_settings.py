from __future__ import annotations

from pathlib import Path

import pytest

from bellwether_operator.__main__ import main
from bellwether_operator.settings import Settings, SettingsError


def environment(tmp_path: Path, **more: str) -> dict[str, str]:
    seed = tmp_path / "seed"
    seed.write_text("not secret: a seed for tests only\n")
    return {"SERVICES_IMAGE": "services:1", "INSTALLATION_SEED_FILE": str(seed), **more}


def test_settings_come_from_the_environment(tmp_path: Path) -> None:
    found = Settings.from_environment(environment(tmp_path, WATCH_NAMESPACES="a, b,", LOG_LEVEL="debug"))
    assert found.services_image == "services:1"
    assert found.installation_seed == b"not secret: a seed for tests only"
    assert found.watch_namespaces == ("a", "b")
    assert found.log_level == "DEBUG"


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"SERVICES_IMAGE": ""}, "SERVICES_IMAGE is not set: it is the repository:tag of the services' image"),
        ({"INSTALLATION_SEED_FILE": "/nowhere"}, "INSTALLATION_SEED_FILE='/nowhere' cannot be read"),
        ({"LOG_LEVEL": "loud"}, "LOG_LEVEL='loud': must be one of INFO, DEBUG, WARNING, ERROR"),
        ({"RESYNC_SECONDS": "soon"}, "RESYNC_SECONDS='soon': must be a number from 1 to 86400"),
        ({"HTTP_PORT": "70000"}, "HTTP_PORT='70000': must be a number from 0 to 65535"),
    ],
)
def test_a_wrong_setting_is_named(tmp_path: Path, wrong: dict[str, str], words: str) -> None:
    with pytest.raises(SettingsError) as caught:
        Settings.from_environment(environment(tmp_path, **wrong))
    assert words in str(caught.value)


def test_a_short_seed_is_refused(tmp_path: Path) -> None:
    values = environment(tmp_path)
    Path(values["INSTALLATION_SEED_FILE"]).write_text("short")
    with pytest.raises(SettingsError, match="has 5 bytes: at least 32 random ones are needed"):
        Settings.from_environment(values)


def test_the_process_says_what_is_missing_and_ends_with_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("SERVICES_IMAGE", raising=False)
    assert main() == 2
    assert "bellwether-operator: SERVICES_IMAGE is not set" in capsys.readouterr().err
