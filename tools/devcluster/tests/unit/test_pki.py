from ipaddress import IPv4Address

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID

from devcluster import pki
from devcluster.testing import config


@pytest.fixture(scope="module")
def pems() -> dict[str, bytes]:
    return pki.issue(config())


def _certificate(pems: dict[str, bytes], user: str) -> x509.Certificate:
    return x509.load_pem_x509_certificate(pems[f"{user}.crt"])


def test_every_certificate_is_signed_by_the_clusters_own_root(pems: dict[str, bytes]) -> None:
    root = _certificate(pems, "ca")
    for name, pem in pems.items():
        if name.endswith(".crt"):
            x509.load_pem_x509_certificate(pem).verify_directly_issued_by(root)


def test_the_api_server_is_valid_at_all_its_addresses(pems: dict[str, bytes]) -> None:
    names = _certificate(pems, "apiserver").extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    at = config().addresses
    assert {at.node, at.kubernetes, IPv4Address("127.0.0.1")} == set(names.get_values_for_type(x509.IPAddress))
    assert "kubernetes.default.svc" in names.get_values_for_type(x509.DNSName)


def test_groups_give_the_administrator_and_the_node_their_rights(pems: dict[str, bytes]) -> None:
    def groups(user: str) -> list[str | bytes]:
        found = _certificate(pems, user).subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
        return [attribute.value for attribute in found]

    assert groups("admin") == ["system:masters"]
    assert groups("kubelet") == ["system:nodes"]
    assert groups("kube-proxy") == []
