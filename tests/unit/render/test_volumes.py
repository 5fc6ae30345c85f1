from __future__ import annotations

import pytest

from bellwether.render.kubernetes import quantities
from bellwether.render.kubernetes.volumes import volume_claim

from .conftest import UID, build


def test_a_retained_volume_has_no_owner_and_a_deletable_one_has() -> None:
    assert "ownerReferences" not in volume_claim(build(deletionPolicy="Retain"), "system")["metadata"]
    owners = volume_claim(build(deletionPolicy="Delete"), "system")["metadata"]["ownerReferences"]
    assert [owner["uid"] for owner in owners] == [UID]


def test_a_claim_is_named_as_its_stateful_set_would_name_it() -> None:
    assert volume_claim(build(), "system")["metadata"]["name"] == "data-demo-0"
    assert volume_claim(build(), "paper-trading")["metadata"]["name"] == "data-demo-paper-trading-0"


def test_the_storage_class_is_named_only_when_it_is_declared() -> None:
    assert "storageClassName" not in volume_claim(build(), "system")["spec"]
    declared = volume_claim(build(storage={"className": "fast", "size": "1024Mi"}), "system")["spec"]
    assert declared["storageClassName"] == "fast"
    assert declared["resources"]["requests"]["storage"] == "1Gi"


@pytest.mark.parametrize(
    ("declared", "canonical"),
    [("1024Mi", "1Gi"), ("1536Mi", "1536Mi"), ("2048Gi", "2Ti"), ("3Ti", "3Ti"), ("1048576Mi", "1Ti")],
)
def test_sizes_are_in_the_form_the_api_server_gives_back(declared: str, canonical: str) -> None:
    assert quantities.size(declared) == canonical


def test_a_wrong_size_is_named() -> None:
    with pytest.raises(ValueError, match=r"'1G' is not a size: write a whole number with Mi, Gi or Ti"):
        quantities.size("1G")


@pytest.mark.parametrize(("millis", "canonical"), [(250, "250m"), (1000, "1"), (2500, "2500m")])
def test_cpu_is_in_the_form_the_api_server_gives_back(millis: int, canonical: str) -> None:
    assert quantities.cpu(millis) == canonical
