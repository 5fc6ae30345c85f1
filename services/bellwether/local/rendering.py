"""`bellwether render`: a declared system written as files for systemd or compose, with keys that are made here."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from bellwether.local.files import RunError, load_system
from bellwether.local.state import IDENTITIES, Identity, write_private
from bellwether.render import compose, systemd
from bellwether.render.keys import derive_seed, public_key
from bellwether.render.parts import TOKEN_FILE, declaration_text, parts
from bellwether.runtime.declaration import generation_of, parse_declaration
from bellwether.spec.models import TradingSystem

VERSION = "dev"
IMAGE_USER = 65532
_IDENTITY = "identity.json"


@dataclass(frozen=True)
class Keys:
    """The keys of one system: secret files by name, and the public keys by identity."""

    files: dict[str, str]
    public: dict[str, str]


def render_systemd(file: Path, directory: Path, home: str, layout: systemd.Layout = systemd.MACHINE) -> list[str]:
    """Write units, configuration and keys below `directory`, as they lie on the machine; return the units' names.

    Raises:
        RunError: saying why the file, the folder or the declaration cannot be used.
    """
    if not home.startswith("/") or any(one.isspace() for one in home):
        raise RunError(f"--home {home!r}: an absolute path without white space is needed")
    system, keys = _prepare(load_system(file), directory, directory / layout.configuration.removeprefix("/"))
    try:
        texts = systemd.render(system, systemd.Installation(keys.public, VERSION, home.rstrip("/"), layout))
    except ValueError as error:
        raise RunError(f"{file}: {error}") from error
    for top in {Path(path).parts[0] for path in texts}:
        shutil.rmtree(directory / top, ignore_errors=True)
    for path, text in texts.items():
        _write(directory, Path(path), text)
    _write_keys(directory, Path(layout.keys.removeprefix("/")), keys)
    return [Path(path).name for path in texts if f"/{path}".startswith(layout.units)]


def render_compose(file: Path, directory: Path | None, image: str, output: Path | None) -> str:
    """Write configuration and keys to a folder; return the compose file, and write it where `output` says.

    Raises:
        RunError: saying why the file or the folder cannot be used.
    """
    declared = load_system(file)
    chosen = directory or Path(".bellwether") / f"{declared.metadata.name}-compose"
    system, keys = _prepare(declared, chosen, chosen)
    root = chosen.resolve()
    # No container is root: whoever renders as root gives the files to the image's own user.
    owner = (os.getuid(), os.getgid()) if os.getuid() else (IMAGE_USER, IMAGE_USER)
    on = compose.Installation(image, str(root), VERSION, f"{owner[0]}:{owner[1]}")
    try:
        text = yaml.safe_dump(compose.compose(system, on), sort_keys=False, width=120)
        _write(root, Path("system.json"), declaration_text(system))
        _write(root, Path("nats.conf"), compose.nats_text(system, keys.public))
        _write_keys(root, Path("keys"), keys)
        folders = [root / "data" / part for part in ("nats", *(one.name for one in parts(system)))]
        for folder in folders:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if os.getuid() == 0:
            for path in (*folders, *(root / "keys" / name for name in keys.files)):
                os.chown(path, *owner)
        if output is not None:
            output.write_text(text, encoding="utf-8")
    except ValueError as error:
        raise RunError(f"{file}: {error}") from error
    except OSError as error:
        raise RunError(f"{error.filename}: {error.strerror}") from error
    return text


def _prepare(system: TradingSystem, directory: Path, configuration: Path) -> tuple[TradingSystem, Keys]:
    """Return the system with its uid and generation, and its keys; the folder remembers all of them."""
    try:
        who = _identity(directory, system.metadata.name)
    except OSError as error:
        raise RunError(f"{directory} cannot be written: {error.strerror}") from error
    last = configuration / "system.json"
    return system.with_metadata(uid=who.uid, generation=_generation(system, last)), _keys(who)


def _identity(directory: Path, name: str) -> Identity:
    """Return what the folder's system is known by; make it when the folder is new."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = directory / _IDENTITY
    if not path.exists():
        if any(directory.iterdir()):
            raise RunError(f"{directory} is not empty and no rendered system: choose another folder")
        made = {"system": name, "uid": str(uuid.uuid4()), "seed": secrets.token_hex(32)}
        write_private(path, json.dumps(made))
    try:
        stored: dict[str, Any] = json.loads(path.read_text())
        owner, who = stored["system"], Identity(str(stored["uid"]), bytes.fromhex(stored["seed"]))
    except (ValueError, KeyError, TypeError) as error:
        raise RunError(f"{path} is not the identity of a rendered system: choose another folder") from error
    if owner != name:
        raise RunError(f"{directory} holds the system {owner}, the file declares {name}: choose another folder")
    return who


def _keys(who: Identity) -> Keys:
    seeds = {name: derive_seed(who.seed, who.uid, name) for name in IDENTITIES}
    files = {f"{name}.nk": seed for name, seed in seeds.items()} | {TOKEN_FILE: who.token}
    return Keys(files, {name: public_key(seed) for name, seed in seeds.items()})


def _generation(system: TradingSystem, last: Path) -> int:
    """Return the next generation where the spec is another than the last that was rendered."""
    if not last.exists():
        return 1
    before = parse_declaration(last.read_bytes())
    return generation_of(before) + (before.spec != system.spec)


def _write(root: Path, path: Path, text: str) -> None:
    """Write a file that everybody may read. The modes are copied to the machine, whatever the umask here is."""
    _make(root, path.parent, 0o755)
    target = root / path
    target.write_text(text, encoding="utf-8")
    target.chmod(0o644)


def _write_keys(root: Path, path: Path, keys: Keys) -> None:
    _make(root, path.parent, 0o755)
    (root / path).mkdir(mode=0o700, exist_ok=True)
    for name, text in keys.files.items():
        write_private(root / path / name, text)


def _make(root: Path, path: Path, mode: int) -> None:
    for one in [*reversed(path.parents), path]:
        if one != Path():
            (root / one).mkdir(exist_ok=True)
            (root / one).chmod(mode)
