"""How commands talk to a gateway: over HTTP, or through kubectl to one in a cluster."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import quote, urlencode

from bellwether.cli.kubectl_words import failure

if TYPE_CHECKING:
    import ssl

DEFAULT_URL = "http://127.0.0.1:8080"
TIMEOUT_SECONDS = 35.0
CONNECT_SECONDS = 5.0


class CommandError(Exception):
    """A command failed; the message is for a person."""

    def __init__(self, message: str, code: int = 1) -> None:
        super().__init__(message)
        self.code = code
        """With which the process ends."""


@contextlib.contextmanager
def in_words(*errors: type[Exception]) -> Iterator[None]:
    """Fail with the message of such an error: it explains itself."""
    try:
        yield
    except errors as error:
        raise CommandError(str(error)) from error


@contextlib.contextmanager
def of_file(path: Path) -> Iterator[None]:
    """Fail with the file's name where it cannot be read or written."""
    try:
        yield
    except OSError as error:
        raise CommandError(f"{path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise CommandError(f"{path}: not UTF-8 text ({error.reason})") from error


class Client(Protocol):
    """A way to a gateway."""

    def get(self, path: str, **query: Any) -> Any:
        """Return the JSON answer of a path; parameters that are None are left out."""

    def send(self, method: str, path: str, body: Any = None, **query: Any) -> Any:
        """Change something, with the token; return the JSON answer."""


class ReachableClient(Client, Protocol):
    """A way to a gateway that can stay open."""

    def reached(self) -> contextlib.AbstractContextManager[tuple[str, str | None]]:
        """Give the address at which the gateway answers meanwhile, and the token, for what stays connected."""


@dataclass(frozen=True)
class Target:
    """Which gateway is meant, as a person said it."""

    url: str | None = None
    token: str | None = None
    system: str | None = None
    namespace: str | None = None
    context: str | None = None


@dataclass(frozen=True)
class RunState:
    """What a local run wrote down for whoever wants to talk to it."""

    url: str
    token: str
    name: str


def full_path(path: str, query: Mapping[str, Any]) -> str:
    """Return a path with its query; parameters that are None are left out, truth is spelled true and false."""
    given = {
        name: str(value).lower() if isinstance(value, bool) else value
        for name, value in query.items()
        if value is not None
    }
    return f"{quote(path)}?{urlencode(given)}" if given else quote(path)


def trusted(url: str) -> ssl.SSLContext | bool:
    """Return whom to trust: over HTTPS the usual authorities (True); over plain HTTP nobody, which takes no time."""
    import ssl

    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT) if url.lower().startswith("http:") else True


def answer_or_error(status: int, body: bytes) -> Any:
    """Return the JSON of a good answer.

    Raises:
        CommandError: with the gateway's own words, if it refused.
    """
    try:
        found = json.loads(body) if body else None
    except ValueError as error:
        raise CommandError(f"the answer (status {status}) is not JSON: is this a Bellwether gateway?") from error
    if status < 400:
        return found
    error_body = found.get("error") if isinstance(found, dict) else None
    if not isinstance(error_body, dict):
        raise CommandError(f"the gateway answered with status {status}")
    raise CommandError(f"{error_body.get('message')} ({error_body.get('code')})")


class HttpClient:
    """Talks to a gateway at an address."""

    def __init__(
        self, url: str, token: str | None, local: Path | None = None, seconds: float = TIMEOUT_SECONDS
    ) -> None:
        """`local` is where local runs are kept, for who named no gateway: a run that is down is named."""
        self._url, self._token, self._local, self._seconds = url.rstrip("/"), token, local, seconds

    @contextlib.contextmanager
    def reached(self) -> Iterator[tuple[str, str | None]]:
        """Give the address and the token."""
        yield self._url, self._token

    def get(self, path: str, **query: Any) -> Any:
        """Return the JSON answer of a path."""
        return self.send("GET", path, None, **query)

    def send(self, method: str, path: str, body: Any = None, **query: Any) -> Any:
        """Ask, with the token; return the JSON answer."""
        import httpx

        headers = {"Authorization": f"Bearer {self._token}"} if self._token else {}
        try:
            # No proxy: a gateway is beside us or inside a cluster.
            timeout = httpx.Timeout(self._seconds, connect=CONNECT_SECONDS)
            with httpx.Client(trust_env=False, verify=trusted(self._url), timeout=timeout) as client:
                reply = client.request(method, self._url + full_path(path, query), headers=headers, json=body)
        except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
            raise CommandError(f"--url {self._url}: {error}; write http://HOST:PORT") from error
        except httpx.ReadTimeout as error:
            later = "a busy gateway answers later: ask again, or name another with --url"
            raise CommandError(f"no answer from {self._url} within {self._seconds:g} s; {later}") from error
        except httpx.TransportError as error:
            raise CommandError(f"no gateway answers at {self._url} ({error}). {what_next(self._local)}") from error
        return answer_or_error(reply.status_code, reply.content)


def what_next(root: Path | None) -> str:
    """Return what to do where no gateway answers; `root` is where local runs keep their state, None: none is meant."""
    from bellwether.cli.manage.local_place import state_folders
    from bellwether.local.detached import holder

    folders = [] if root is None else state_folders(root)
    if folders and holder(folders[0]) is not None:
        return f"The local run in {folders[0]} is starting: ask again shortly, or look at `bellwether logs`"
    if folders:
        return f"The local run in {folders[0]} is stopped: `bellwether start` starts it again"
    return "Start one with `bellwether run FILE`, or name one with --url, BELLWETHER_URL or --system"


def kubectl_command(context: str | None, namespace: str | None = None) -> list[str]:
    """Return the beginning of a kubectl command.

    Raises:
        CommandError: if there is none on PATH.
    """
    if shutil.which("kubectl") is None:
        raise CommandError(
            "kubectl is not on PATH: it leads to the cluster; without it use --url, for `plan` --offline"
        )
    of_namespace = [] if namespace is None else [f"--namespace={namespace}"]
    return ["kubectl", *([] if context is None else [f"--context={context}"]), *of_namespace]


class KubectlClient:
    """Talks to the gateway of a system in a cluster, by a port that the kubectl on PATH forwards.

    Not through the API server's proxy: that takes the token for its own and hands on none.
    """

    def __init__(
        self,
        system: str,
        namespace: str | None = None,
        context: str | None = None,
        token: str | None = None,
        seconds: float = TIMEOUT_SECONDS,
    ) -> None:
        self._system, self._token, self._seconds = system, token, seconds
        self._kubectl = kubectl_command(context)
        self._namespace = namespace or self._namespace_of_context()

    def _namespace_of_context(self) -> str:
        return self._run("config", "view", "--minify", "-o", "jsonpath={..namespace}").decode().strip() or "default"

    def get(self, path: str, **query: Any) -> Any:
        """Return the JSON answer of a path."""
        return self.send("GET", path, None, **query)

    def send(self, method: str, path: str, body: Any = None, **query: Any) -> Any:
        """Ask, with the token; return the JSON answer."""
        with self.reached(method) as (url, token):
            return HttpClient(url, token, seconds=self._seconds).send(method, path, body, **query)

    @contextlib.contextmanager
    def reached(self, method: str = "GET") -> Iterator[tuple[str, str | None]]:
        """Give the address at which the gateway answers meanwhile, and the token."""
        token = self._token or self._token_for(method)
        with tempfile.TemporaryFile() as log:
            forward = subprocess.Popen(
                [*self._kubectl, "-n", self._namespace, "port-forward", f"service/{self._system}-gateway", ":8080"],
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
            try:
                line = forward.stdout.readline() if forward.stdout else ""
                if "->" not in line:
                    log.seek(0)
                    why = failure(log.read().decode(errors="replace"), forward.wait(10))
                    raise CommandError(". ".join([why, *self._not_ready()]))
                port = line.split("->")[0].strip().rpartition(":")[2]
                yield f"http://127.0.0.1:{port}", token
            finally:
                forward.terminate()
                forward.wait(10)

    def _not_ready(self) -> list[str]:
        """Return why the system is not ready, in the operator's words, where they can be read: its pods may be gone."""
        try:
            raw = self._run("-n", self._namespace, "get", "tradingsystems.bellwether.dev", self._system, "-o", "json")
        except CommandError:
            return []
        conditions = json.loads(raw).get("status", {}).get("conditions", [])
        return [
            f"{self._system} is not ready: {one['reason']}: {one['message']}"
            for one in conditions
            if one["type"] == "Ready" and one["status"] != "True"
        ]

    def _token_for(self, method: str) -> str | None:
        """Return the token of the system's Secret; None for a look where it may not be read: perhaps it needs none."""
        name = f"{self._system}-gateway-token"
        try:
            raw = self._run("-n", self._namespace, "get", "secret", name, "-o", r"jsonpath={.data.token}")
        except CommandError as error:
            if method == "GET" and "forbidden" in str(error).lower():
                return None
            if "(notfound)" in str(error).lower():
                raise CommandError(
                    f"--system {self._system}: namespace {self._namespace} has no Secret {name}: there is no such "
                    "system, or the operator has not made it yet; `kubectl get tsys -A` lists systems"
                ) from error
            raise
        return base64.b64decode(raw).decode().strip()

    def _run(self, *arguments: str) -> bytes:
        done = subprocess.run([*self._kubectl, *arguments], capture_output=True, timeout=TIMEOUT_SECONDS, check=False)
        if done.returncode == 0:
            return done.stdout
        raise CommandError(failure(done.stderr.decode(errors="replace"), done.returncode))


def make_client(
    target: Target,
    state_root: Path | None = None,
    environ: Mapping[str, str] = os.environ,
    seconds: float = TIMEOUT_SECONDS,
) -> ReachableClient:
    """Return a way to the gateway that is meant: --system, else --url, else BELLWETHER_URL, else the local run.

    Raises:
        CommandError: if --system is given and there is no kubectl, BELLWETHER_STATE names a folder without a run, or
            several local runs answer and none is named.
    """
    token = target.token or environ.get("BELLWETHER_TOKEN")
    if target.system is not None:
        # A forwarded port takes its time.
        return KubectlClient(target.system, target.namespace, target.context, token, max(seconds, TIMEOUT_SECONDS))
    url = target.url or environ.get("BELLWETHER_URL")
    root = state_root or Path(environ.get("BELLWETHER_STATE", ".bellwether"))
    if url is None:
        _refuse_several_runs(root)
    state = find_run(root)
    local = root if url is None else None
    if state is not None and (url is None or url.rstrip("/") == state.url):
        url, token = state.url, token or state.token
    elif url is None and (named := environ.get("BELLWETHER_STATE")):
        raise CommandError(f"no run goes on in {named} (BELLWETHER_STATE). {what_next(root)}")
    return HttpClient(url or DEFAULT_URL, token, local, seconds)


def _refuse_several_runs(root: Path) -> None:
    """Refuse to guess among local runs: a halt or an order of the wrong one would look right."""
    from bellwether.cli.manage.local_place import state_folders
    from bellwether.local.detached import running

    found = [f"{one} ({state.url})" for one in state_folders(root) if (state := running(one)) is not None]
    if len(found) > 1:
        runs = ", ".join(sorted(found))
        raise CommandError(f"{len(found)} local runs go on: {runs}. Say which with BELLWETHER_STATE=FOLDER")


def find_run(root: Path) -> RunState | None:
    """Return the local run of a folder, else the newest below it; none if there is none."""
    try:
        own = [root / "run.json"] if (root / "run.json").exists() else []
        found = own or sorted(root.glob("*/run.json"), key=lambda path: path.stat().st_mtime, reverse=True)
    except OSError:
        return None
    for path in found:
        try:
            stored = json.loads(path.read_text())
            return RunState(url=stored["url"], token=stored["token"], name=stored["name"])
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return None
