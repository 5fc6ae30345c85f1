"""Reading our Dockerfile: which stages a target needs, and which files they copy (pure)."""

from __future__ import annotations

import re
from dataclasses import dataclass

from devcluster.errors import ClusterError

_FROM = re.compile(r"^FROM\s+(?P<base>\S+)(?:\s+AS\s+(?P<name>\S+))?\s*$", re.IGNORECASE)
_COPY = re.compile(r"^COPY\s+(?P<rest>.+)$", re.IGNORECASE)


@dataclass(frozen=True)
class Stage:
    """One FROM and what follows it."""

    name: str
    base: str
    lines: tuple[str, ...]


def stages(text: str) -> tuple[list[str], list[Stage]]:
    """The lines before the first FROM, and the stages in order."""
    head: list[str] = []
    found: list[tuple[str, str, list[str]]] = []
    for line in text.splitlines():
        match = _FROM.match(line)
        if match:
            found.append((match["name"] or f"stage-{len(found)}", match["base"], [line]))
        elif found:
            found[-1][2].append(line)
        else:
            head.append(line)
    return head, [Stage(name, base, tuple(lines)) for name, base, lines in found]


def only_for(text: str, target: str) -> str:
    """The Dockerfile without the stages that the target does not need.

    Older buildah runs every stage before the target, wanted or not.
    """
    head, all_stages = stages(text)
    by_name = {stage.name: stage for stage in all_stages}
    if target not in by_name:
        raise ClusterError(f"the Dockerfile has no stage {target!r}; it has {', '.join(by_name)}")
    wanted: set[str] = set()
    waiting = [target]
    while waiting:
        stage = by_name[waiting.pop()]
        wanted.add(stage.name)
        waiting += [n for n in (stage.base, *_copied_from(stage)) if n in by_name and n not in wanted]
    kept = [line for stage in all_stages if stage.name in wanted for line in stage.lines]
    return "\n".join([*head, *kept]) + "\n"


def copied(text: str) -> list[str]:
    """What the COPY lines take from the build context, each path once."""
    paths: dict[str, None] = {}
    for line in text.splitlines():
        match = _COPY.match(line)
        if match:
            words = match["rest"].split()
            flags = [w for w in words if w.startswith("--")]
            if not any(f.startswith("--from=") for f in flags):
                paths |= dict.fromkeys(words[len(flags) : -1])
    return list(paths)


def _copied_from(stage: Stage) -> list[str]:
    return re.findall(r"--from=(\S+)", "\n".join(stage.lines))
