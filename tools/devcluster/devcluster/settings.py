"""What a project says of its clusters: the table [tool.devcluster] of its pyproject.toml."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from devcluster.errors import ClusterError

_PREFIX = re.compile(r"[a-z][a-z0-9]{0,19}")


@dataclass(frozen=True)
class Settings:
    """Names and places for the clusters of one project; every one has a default."""

    project: Path | None = None
    """The folder of the pyproject.toml; None where no project says anything."""
    prefix: str = "devcluster"
    """What names on the machine begin with: network namespaces, cgroups, images, the cluster without a name."""
    cache: str = "devcluster"
    """The folder of what can be made again, below $XDG_CACHE_HOME or ~/.cache: programs, images, wheels."""
    state: str = "devcluster"
    """The folder below which clusters keep their state, below $XDG_STATE_HOME or ~/.local/state."""
    targets: tuple[str, ...] = ()
    """The stages of the project's Dockerfile that `image` builds."""
    packages: Mapping[str, str] = field(default_factory=dict)
    """Program -> Debian package, for what `needs` installs besides: what the project's own tests start."""

    @property
    def cache_home(self) -> Path:
        """The folder of what can be made again."""
        return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / self.cache

    @property
    def state_home(self) -> Path:
        """The folder below which clusters keep their state."""
        return Path(os.environ.get("XDG_STATE_HOME") or "~/.local/state").expanduser() / self.state


def read(project: Path) -> Settings:
    """The settings of one project, by its top folder; the defaults where its pyproject.toml has no table."""
    return _settings(project, _table(project / "pyproject.toml") or {})


def find(folder: Path | None = None) -> Settings:
    """The settings of the nearest project that has some, from a folder (the working directory) upwards."""
    start = (folder or Path.cwd()).absolute()
    for each in (start, *start.parents):
        table = _table(each / "pyproject.toml")
        if table is not None:
            return _settings(each, table)
    return Settings()


def _table(file: Path) -> dict[str, Any] | None:
    try:
        content = tomllib.loads(file.read_text())
    except FileNotFoundError:
        return None
    except tomllib.TOMLDecodeError as error:
        raise ClusterError(f"{file} cannot be read: {error}") from error
    table: dict[str, Any] | None = content.get("tool", {}).get("devcluster")
    return table


def _settings(project: Path, table: Mapping[str, Any]) -> Settings:
    known = [each.name for each in fields(Settings) if each.name != "project"]
    where = f"[tool.devcluster] of {project / 'pyproject.toml'}"
    for name, value in table.items():
        if name not in known:
            raise ClusterError(f"{where} has {name!r}; it may have: {', '.join(known)}")
        kind = {"targets": list, "packages": dict}.get(name, str)
        if not isinstance(value, kind):
            raise ClusterError(f"{where} has {name} = {value!r}; it must be a {kind.__name__}")
    found = Settings(project, **{**table, "targets": tuple(table.get("targets", ()))})
    if not _PREFIX.fullmatch(found.prefix):
        raise ClusterError(
            f"{where} has prefix = {found.prefix!r}; it must be 1 to 20 lower-case letters and digits, a letter first"
        )
    return found


def go_module() -> Path:
    """The folder of the Go programs' sources: inside an installed package, beside it in a source tree."""
    here = Path(__file__).resolve().parent
    inside = here / "go"
    return inside if inside.is_dir() else here.parent / "go"
