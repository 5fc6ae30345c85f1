"""Building the images for a registry of one's own."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable

from devcluster.command import run, succeeds
from devcluster.errors import ClusterError
from environments.clusters import Images
from environments.machine import ROOT

ENGINES = ("docker", "podman")
_BUILD_SECONDS = 1800
_PUSH_SECONDS = 900
_REGISTRY = re.compile(r"^[a-z0-9]([a-z0-9._-]*[a-z0-9])?(:[0-9]+)?(/[a-z0-9]+([._-]+[a-z0-9]+)*)*$")
_TAG = re.compile(r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$")

Report = Callable[[str], None]


def app_version() -> str:
    """Return the version of the application that the chart installs where no tag is given."""
    text = (ROOT / "charts" / "bellwether" / "Chart.yaml").read_text()
    found = re.search(r"^appVersion: *[\"']?([^\s\"']+)", text, re.MULTILINE)
    if found is None:
        raise ClusterError("charts/bellwether/Chart.yaml has no appVersion")
    return found.group(1)


def images(registry: str, tag: str, report: Report) -> Images:
    """Build both images under the registry's name, and push them where there is one; return their names.

    Raises:
        ClusterError: if there is no engine, a name is none, or the engine fails; with its words.
    """
    registry = registry.removesuffix("/")
    if registry and not _REGISTRY.match(registry):
        raise ClusterError(
            f"REGISTRY={registry}: write HOST[:PORT][/PATH] in lower case, such as registry.example/team"
        )
    if not _TAG.match(tag):
        raise ClusterError(f"TAG={tag}: a tag has letters, digits, and _ . -, at most 128")
    engine = _engine()
    place = registry or "bellwether"
    made = Images(services=f"{place}/services:{tag}", operator=f"{place}/operator:{tag}")
    for target, image in (("services", made.services), ("operator", made.operator)):
        report(f"building {image} with {engine}")
        run([engine, "build", "--target", target, "--tag", image, str(ROOT)], seconds=_BUILD_SECONDS)
        if registry:
            report(f"pushing {image}")
            run([engine, "push", image], seconds=_PUSH_SECONDS)
    return made


def _engine() -> str:
    for engine in ENGINES:
        if shutil.which(engine) is not None and succeeds([engine, "info"]):
            return engine
    raise ClusterError(f"building images needs an engine that answers: {' or '.join(ENGINES)}")


def installing(made: Images) -> str:
    """Return the command that installs the chart with these images."""
    lines = ["helm upgrade --install bellwether charts/bellwether --namespace bellwether-system --create-namespace"]
    for part, image in (("operator", made.operator), ("services", made.services)):
        repository, _, tag = image.rpartition(":")
        lines.append(f"  --set image.{part}.repository={repository} --set image.{part}.tag={tag}")
    return " \\\n".join(lines)
