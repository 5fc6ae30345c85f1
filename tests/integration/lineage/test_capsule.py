"""A decision in one file comes out again from nothing but that file, and a file that was changed is refused."""

from __future__ import annotations

import asyncio
import hashlib
import json
import shutil
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from bellwether.cli.app import run_app
from bellwether.gateway.service import create as gateway
from bellwether.gateway.settings import GatewaySettings
from bellwether.lineage.capsules import opened
from bellwether.messages.canonical import canonical_bytes, content_hash
from bellwether.messages.capsule import CapsuleError, unseal
from harness.http import plain
from harness.replayed import BUILDS, declared, model_serves
from harness.system import running
from integration.prediction.test_slice import batch

pytestmark = pytest.mark.integration

TOKEN = "a-token-for-tests-only"
HOOK = "https://hooks.example.test/T000/a-secret-path"


async def capsules(folder: Path, trained: Path, **changes: Any) -> list[bytes]:
    """Return the capsules of a batch's decisions, as a gateway gives them."""
    shutil.copytree(trained, folder / "ml-model")
    settings = GatewaySettings(host="127.0.0.1", port=0, token=TOKEN, streams=1)
    builds: dict[str, Any] = {**BUILDS, "gateway": partial(gateway, settings=settings)}
    async with running(builds, data_dir=folder, declaration=declared(**changes)) as system:
        await model_serves(system)
        made = (await batch(system)).predictions
        async with plain((await system.call("gateway", "health"))["http_port"], TOKEN) as http:
            found = [await http.get(f"/v1/decisions/{one.prediction_id}/capsule") for one in made.values()]
    assert [one.status_code for one in found] == [200] * len(made), found[0].text
    return [one.content for one in found]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory, trained: Path) -> list[bytes]:
    feeds, folder = [{"url": HOOK}], tmp_path_factory.mktemp("written") / "data"
    return asyncio.run(capsules(folder, trained, sentiment={"provider": "feeds", "feeds": feeds}))


def resealed(content: bytes, change: Any) -> bytes:
    """Return a capsule that somebody changed and gave a fitting hash."""
    plain = json.loads(content)
    change(plain["capsule"])
    return canonical_bytes({"capsule": plain["capsule"], "sha256": content_hash(plain["capsule"])})


async def test_a_capsule_replays_its_decision_and_holds_no_secret(written: list[bytes]) -> None:
    assert len(written) == 4
    for content in written:
        again = await opened(unseal(content))
        assert (again.outcome, again.differences) == ("equal", [])
        for secret in (TOKEN, HOOK, "hooks.example"):
            assert secret.encode() not in content
        assert json.loads(content)["capsule"]["declaration"]["symbols"] == ["AAPL", "GOOG", "IBM", "MSFT"]
    other = await opened(unseal(written[0]), release="1.2.3")
    assert (other.outcome, other.differences) == ("equal within 1e-6", ["code_version"])


def test_the_command_opens_a_file_without_any_system(
    written: list[bytes], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "one.capsule.json"
    file.write_bytes(written[0])
    assert run_app(["capsule", "open", str(file)]) == 0
    assert "made again here: equal" in capsys.readouterr().out
    file.write_bytes(written[0].replace(b'"probability\\":0.5', b'"probability\\":0.6'))
    assert run_app(["capsule", "open", str(file)]) == 1
    assert "is refused: its hash is not that of its content" in capsys.readouterr().err


def _first_close(capsule: dict[str, Any]) -> None:
    next(iter(capsule["bars"].values()))["bars"][0]["close"] += 0.01


def _record(capsule: dict[str, Any]) -> None:
    capsule["record"] = capsule["record"].replace('"margin":', '"margin":9')


def _model(capsule: dict[str, Any]) -> None:
    capsule["model"]["model.onnx"] = capsule["model"]["model.onnx"][:-8] + "AAAAAAA="


def _manifest(capsule: dict[str, Any]) -> None:
    capsule["model"]["manifest.json"] = capsule["model"]["model.onnx"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (_first_close, "the bars of AAPL are not those of the record"),
        (_record, "the record's hash is not that of the decision"),
        (_model, "model.onnx is not what the model's manifest says"),
        (_manifest, "the model's manifest is not that of the record"),
        (lambda capsule: capsule.update(format=2), "its format is 2, this release reads 1"),
        (lambda capsule: capsule.pop("bars"), "it is no capsule"),
    ],
)
def test_a_capsule_that_was_changed_with_a_fitting_hash_is_refused(
    written: list[bytes], change: Any, words: str
) -> None:
    with pytest.raises(CapsuleError, match=words):
        unseal(resealed(written[0], change))


async def test_a_decision_that_was_invented_with_fitting_hashes_comes_out_otherwise(written: list[bytes]) -> None:
    def invent(capsule: dict[str, Any]) -> None:
        record = json.loads(capsule["record"])
        record["outcome"]["action"] = "STRONG_BUY"
        capsule["record"] = canonical_bytes(record).decode()
        capsule["record_sha256"] = hashlib.sha256(capsule["record"].encode()).hexdigest()

    again = await opened(unseal(resealed(written[0], invent)))
    assert again.outcome == "different"
    assert "outcome.action" in again.differences
