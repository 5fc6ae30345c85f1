"""`python -m generate`: write what follows from the models and the calendars, or check that it is up to date."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from bellwether.spec.exchanges import CALENDARS
from bellwether.spec.schema import resource_schema
from devcluster.typed import Parser
from generate import architecture, calendars, compat, definition, headlines, quality, reference, rules, services
from generate.walks import WalkError

ROOT = Path(__file__).resolve().parents[3]
PUBLISHED = Path("crds/published.json")


def generated() -> dict[Path, str]:
    """Return the text of every generated file by its path from the top of the project."""
    schema, defined, backups = resource_schema(), definition.text(), definition.backup_text()
    replays = definition.replay_text()
    files = {
        Path("crds/tradingsystems.bellwether.dev.yaml"): defined,
        # helm reads only what is inside of the chart.
        Path("charts/bellwether/files/tradingsystems.bellwether.dev.yaml"): defined,
        Path("crds/tradingbackups.bellwether.dev.yaml"): backups,
        Path("charts/bellwether/files/tradingbackups.bellwether.dev.yaml"): backups,
        Path("crds/tradingreplays.bellwether.dev.yaml"): replays,
        Path("charts/bellwether/files/tradingreplays.bellwether.dev.yaml"): replays,
        Path("docs/reference/tradingsystem.md"): reference.page(schema),
        Path("charts/bellwether/files/alerts.yaml"): rules.chart_file(),
        Path("docs/alerts.md"): rules.page(),
        Path("docs/reference/alarms.md"): reference.alarms(),
        Path("docs/reference/refusals.md"): reference.refusals(),
        Path("docs/reference/services.md"): services.page(),
        Path("docs/architecture.md"): architecture.page(),
        Path("docs/headlines.md"): headlines.page(),
        Path("docs/quality.md"): quality.page(),
    }
    for name, text in calendars.tables(CALENDARS).items():
        files[Path(f"services/bellwether/market/tables/{name}.json")] = text
    return files


def differing(files: dict[Path, str], root: Path) -> list[str]:
    """Return one line for each file that is not as it would be written."""
    lines = []
    for path, text in sorted(files.items()):
        target = root / path
        if not target.exists():
            lines.append(f"{path}: is missing")
        elif target.read_text("utf-8") != text:
            lines.append(f"{path}: differs from what would be written")
    return lines


def breaking(root: Path) -> list[str]:
    """Return one line for each thing that a published resource could rely on and that would be gone."""
    target = root / PUBLISHED
    if not target.exists():
        return [f"{PUBLISHED}: is missing; `python -m generate --publish` writes it"]
    before = compat.read(target.read_text("utf-8"))
    return compat.problems(before, compat.summary(resource_schema()))


def main(arguments: Sequence[str] | None = None, root: Path = ROOT) -> int:
    """Write or check; return the exit code."""
    parser = Parser(
        prog="python -m generate",
        description="Writes the custom resource definition, the reference page and the session tables.",
    )
    parser.add_argument("--check", action="store_true", help="write nothing; fail when a file differs")
    parser.add_argument(
        "--publish",
        action="store_true",
        help=f"also record the schema as published in {PUBLISHED}: from then on it may only grow",
    )
    options = parser.parse_args(arguments)
    try:
        files = generated()
    except WalkError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    if options.check:
        return _report(differing(files, root), breaking(root))
    for path, text in files.items():
        _write(root / path, text)
    published = root / PUBLISHED
    if options.publish:
        refused = breaking(root) if published.exists() else []
        if refused:
            return _report([], refused)
        _write(published, compat.text(compat.summary(resource_schema())))
    return 0


def _write(target: Path, text: str) -> None:
    if target.exists() and target.read_text("utf-8") == text:
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text, "utf-8")
    print(f"wrote {target}")


def _report(stale: list[str], refused: list[str]) -> int:
    if stale:
        print("Generated files are out of date; `make generate` writes them:", file=sys.stderr)
        print(*(f"  {line}" for line in stale), sep="\n", file=sys.stderr)
    if refused:
        print(f"The schema takes back what {PUBLISHED} promised; v1alpha1 may only grow:", file=sys.stderr)
        print(*(f"  {line}" for line in refused), sep="\n", file=sys.stderr)
    return 1 if stale or refused else 0


if __name__ == "__main__":
    sys.exit(main())
