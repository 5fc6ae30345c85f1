"""What kubectl does, over HTTP: no process per question, with the certificates of a kubeconfig."""

from __future__ import annotations

import base64
import json
import ssl
import tempfile
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import yaml

from devcluster.errors import ClusterError

Object = dict[str, Any]
DISCOVERY = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
TIMEOUT = 120.0
DELETED_SECONDS = 120.0


class RefusedError(ClusterError):
    """The API server, or kubectl, refused; the text is what kubectl says."""


@dataclass(frozen=True)
class Kind:
    """One kind of object, as the API server tells of it."""

    group: str
    version: str
    plural: str
    name: str
    namespaced: bool
    verbs: frozenset[str]

    @property
    def api_version(self) -> str:
        """What manifests of this kind have as `apiVersion`."""
        return f"{self.group}/{self.version}" if self.group else self.version

    def path(self, namespace: str, *parts: str) -> str:
        """Return the path of all objects, of one, or of its subresource."""
        root = f"/apis/{self.api_version}" if self.group else f"/api/{self.version}"
        scope = f"/namespaces/{namespace}" if self.namespaced and namespace else ""
        return "/".join([f"{root}{scope}/{self.plural}", *parts])


@dataclass
class Api:
    """An API server with the rights of a kubeconfig. It may be used by several threads."""

    client: httpx.Client
    _kinds: dict[str, Kind] = field(default_factory=dict)

    @classmethod
    def of_kubeconfig(cls, config: Mapping[str, Any] | Path) -> Api:
        """Return a client for the current context of a kubeconfig.

        Raises:
            ClusterError: if it signs in by anything but a certificate or a token.
        """
        reported: Mapping[str, Any] = yaml.safe_load(config.read_text("utf-8")) if isinstance(config, Path) else config
        context = _named(reported, "contexts", reported["current-context"])["context"]
        cluster = _named(reported, "clusters", context["cluster"])["cluster"]
        user = _named(reported, "users", context["user"])["user"]
        headers = {"authorization": f"Bearer {user['token']}"} if "token" in user else {}
        if not headers and "client-certificate-data" not in user:
            raise ClusterError(f"user {context['user']} has neither a token nor a certificate in the kubeconfig")
        client = httpx.Client(
            base_url=cluster["server"], headers=headers, verify=_trust(cluster, user), timeout=TIMEOUT, trust_env=False
        )
        return cls(client)

    def close(self) -> None:
        """Close its connections."""
        self.client.close()

    # ---- kinds -------------------------------------------------------------------------------------------

    def kind(self, word: str) -> Kind:
        """Return the kind of a name as kubectl takes it: plural, singular, short, with or without a group."""
        if word.lower() not in self._kinds:
            self._kinds = _names(self.kinds())
        try:
            return self._kinds[word.lower()]
        except KeyError:
            raise RefusedError(f'error: the server doesn\'t have a resource type "{word}"') from None

    def kinds(self) -> list[tuple[Kind, list[str]]]:
        """Return every kind that is served, the preferred version of each, with its other names."""
        found: dict[tuple[str, str], tuple[Kind, list[str]]] = {}
        for root in ("/api", "/apis"):
            reported = self._answer("GET", root, headers={"accept": DISCOVERY})
            for group in reported["items"]:
                name = group["metadata"].get("name", "")
                for version in group["versions"]:
                    for each in version.get("resources", ()):
                        kind = Kind(
                            group=name,
                            version=version["version"],
                            plural=each["resource"],
                            name=each["responseKind"]["kind"],
                            namespaced=each["scope"] == "Namespaced",
                            verbs=frozenset(each["verbs"]),
                        )
                        others = [each.get("singularResource", ""), *each.get("shortNames", ())]
                        found.setdefault((name, kind.plural), (kind, others))
        return list(found.values())

    # ---- reading -----------------------------------------------------------------------------------------

    def find(self, namespace: str, kind: str, name: str, *, managed: bool = True) -> Object | None:
        """Return one object, None where there is none."""
        answer = self.client.get(self.kind(kind).path(namespace, name))
        if answer.status_code == httpx.codes.NOT_FOUND and answer.json().get("reason") == "NotFound":
            return None
        return _shown(_accepted(answer), managed=managed)

    def get(self, namespace: str, kind: str, name: str, *, managed: bool = True) -> Object:
        """Return one object.

        Raises:
            RefusedError: where there is none.
        """
        return _shown(self._answer("GET", self.kind(kind).path(namespace, name)), managed=managed)

    def items(
        self, namespace: str, kinds: str, selector: str = "", *, fields: str = "", managed: bool = False
    ) -> list[Object]:
        """Return the objects of some kinds (with commas), each with its kind; of all namespaces where none is said."""
        found: list[Object] = []
        query = {name: value for name, value in (("labelSelector", selector), ("fieldSelector", fields)) if value}
        for word in kinds.split(","):
            kind = self.kind(word)
            reported = self._answer("GET", kind.path(namespace), params=query)
            named = {"apiVersion": kind.api_version, "kind": kind.name}
            found += [_shown({**named, **each}, managed=managed) for each in reported["items"]]
        return found

    # ---- writing -----------------------------------------------------------------------------------------

    def apply(self, namespace: str, *documents: Mapping[str, Any], dry_run: bool = False) -> list[Object]:
        """Apply objects as `kubectl apply` does, by what was applied last; return them."""
        return [self._apply(namespace, document, _checked(dry_run=dry_run)) for document in documents]

    def _apply(self, namespace: str, document: Mapping[str, Any], query: dict[str, str]) -> Object:
        kind, name = self.kind(_full_name(document)), document["metadata"]["name"]
        namespace = document["metadata"].get("namespace", namespace)
        found = self.find(namespace, _full_name(document), name)
        query = {**query, "fieldManager": "kubectl-client-side-apply"}
        annotations = document["metadata"].get("annotations", {})
        remembered = {LAST_APPLIED: json.dumps(document, sort_keys=True)}
        wanted = {**document, "metadata": {**document["metadata"], "annotations": {**annotations, **remembered}}}
        if found is None:
            return self._answer("POST", kind.path(namespace), params=query, json=wanted)
        before = json.loads(found["metadata"].get("annotations", {}).get(LAST_APPLIED, "{}"))
        change = merge_patch(before, wanted, found)
        headers = {"content-type": "application/merge-patch+json"}
        path = kind.path(namespace, name)
        return self._answer("PATCH", path, params=query, content=json.dumps(change), headers=headers)

    def apply_as(self, manager: str, namespace: str, document: Mapping[str, Any]) -> Object:
        """Apply an object on the server's side, with its fields then held by this manager alone."""
        path = self.kind(_full_name(document)).path(namespace, document["metadata"]["name"])
        query = {**_checked(), "fieldManager": manager, "force": "true"}
        headers = {"content-type": "application/apply-patch+yaml"}
        return self._answer("PATCH", path, params=query, content=json.dumps(document), headers=headers)

    def create(self, namespace: str, document: Mapping[str, Any]) -> Object:
        """Make an object that is not there yet."""
        path = self.kind(_full_name(document)).path(namespace)
        return self._answer("POST", path, params=_checked() | {"fieldManager": "kubectl-create"}, json=document)

    def token(self, namespace: str, account: str) -> str:
        """Return a token by which somebody is a service account."""
        request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
        path = self.kind("serviceaccount").path(namespace, account, "token")
        found: str = self._answer("POST", path, json=request)["status"]["token"]
        return found

    def patch(
        self, namespace: str, kind: str, name: str, change: Any, *, subresource: str = "", manager: str = ""
    ) -> Object:
        """Change an object: a JSON merge patch, or a JSON patch where the change is a list."""
        sort = "json-patch" if isinstance(change, list) else "merge-patch"
        path = self.kind(kind).path(namespace, name, *([subresource] if subresource else ()))
        return self._answer(
            "PATCH",
            path,
            params=_checked() | {"fieldManager": manager or "kubectl-patch"},
            content=json.dumps(change),
            headers={"content-type": f"application/{sort}+json"},
        )

    def delete(
        self,
        namespace: str,
        kind: str,
        *names: str,
        wait: bool = True,
        propagation: str = "Background",
        missing_ok: bool = False,
        seconds: float = DELETED_SECONDS,
    ) -> None:
        """Delete objects; return when they are gone, or at once when not to wait.

        Raises:
            RefusedError: if one is not there, or still there after so many seconds.
        """
        uids = {}
        for name in names:
            path = self.kind(kind).path(namespace, name)
            answer = self.client.request("DELETE", path, json={"propagationPolicy": propagation})
            if missing_ok and answer.status_code == httpx.codes.NOT_FOUND:
                continue
            reported = _accepted(answer)
            uids[name] = reported.get("details", {}).get("uid") or reported["metadata"]["uid"]
        deadline = time.monotonic() + seconds
        while wait and (uids := {name: uid for name, uid in uids.items() if self._has(namespace, kind, name, uid)}):
            if time.monotonic() > deadline:
                raise RefusedError(f"error: timed out waiting for {kind} {', '.join(uids)} to be gone")
            time.sleep(0.05)

    def _has(self, namespace: str, kind: str, name: str, uid: str) -> bool:
        found = self.find(namespace, kind, name)
        return found is not None and found["metadata"]["uid"] == uid

    def _answer(self, method: str, path: str, **options: Any) -> Object:
        return _accepted(self.client.request(method, path, **options))


def merge_patch(before: Mapping[str, Any], wanted: Mapping[str, Any], found: Mapping[str, Any]) -> Object:
    """Return the merge patch that makes what is found as wanted, and takes away what was applied before and is not."""
    change: Object = {name: None for name in before if name not in wanted and name in found}
    for name, value in wanted.items():
        there = found.get(name)
        if isinstance(value, Mapping) and isinstance(there, Mapping):
            earlier = before.get(name)
            inner = merge_patch(earlier if isinstance(earlier, Mapping) else {}, value, there)
            if inner:
                change[name] = inner
        elif value != there:
            change[name] = value
    return change


def _accepted(answer: httpx.Response) -> Object:
    if answer.is_success:
        found: Object = answer.json()
        return found
    try:
        reported = answer.json()
        words = f"Error from server ({reported.get('reason', answer.status_code)}): {reported['message']}"
    except (ValueError, KeyError):
        words = f"Error from server ({answer.status_code}): {answer.text}"
    raise RefusedError(words)


def _checked(*, dry_run: bool = False) -> dict[str, str]:
    return {"fieldValidation": "Strict", **({"dryRun": "All"} if dry_run else {})}


def _shown(found: Object, *, managed: bool) -> Object:
    if not managed:
        found["metadata"].pop("managedFields", None)
    return found


def _full_name(document: Mapping[str, Any]) -> str:
    """Return kind and group of a document as one word, which no other group's kind of the name shares."""
    group = document["apiVersion"].rpartition("/")[0]
    return f"{document['kind']}.{group}" if group else str(document["kind"])


def _names(kinds: Iterable[tuple[Kind, list[str]]]) -> dict[str, Kind]:
    """Return kinds by every name. Of two with one name the first counts: the core group comes before others."""
    found: dict[str, Kind] = {}
    for kind, others in kinds:
        for each in (kind.plural, kind.name.lower(), *others):
            if each:
                found.setdefault(each, kind)
                found.setdefault(f"{each}.{kind.group}", kind)
    return found


def _named(config: Mapping[str, Any], part: str, name: str) -> Mapping[str, Any]:
    found: Mapping[str, Any] = next(each for each in config[part] if each["name"] == name)
    return found


def _trust(cluster: Mapping[str, Any], user: Mapping[str, Any]) -> ssl.SSLContext:
    authority = cluster.get("certificate-authority-data")
    context = ssl.create_default_context(cadata=base64.b64decode(authority).decode() if authority else None)
    if "client-certificate-data" in user:
        # The standard library reads keys from files alone.
        with tempfile.NamedTemporaryFile("wb") as pair:
            for part in ("client-certificate-data", "client-key-data"):
                pair.write(base64.b64decode(user[part]) + b"\n")
            pair.flush()
            context.load_cert_chain(pair.name)
    return context
