from __future__ import annotations

from bellwether.render.kubernetes.services import http, nats, service_account

from .conftest import build


def test_addresses_stay_the_same_in_every_profile_and_point_to_the_pod_that_answers() -> None:
    for profile, nats_pod, gateway_pod in (("compact", "system", "system"), ("standard", "nats", "gateway")):
        system = build(profile=profile)
        bus, (gateway,) = nats(system), http(system)
        assert bus["metadata"]["name"] == "demo-nats"
        assert bus["spec"]["ports"][0]["port"] == 4222
        assert bus["spec"]["selector"]["app.kubernetes.io/component"] == nats_pod
        assert gateway["metadata"]["name"] == "demo-gateway"
        assert gateway["spec"]["ports"][0]["port"] == 8080
        assert gateway["spec"]["selector"]["app.kubernetes.io/component"] == gateway_pod


def test_the_account_of_the_pods_has_no_token() -> None:
    assert service_account(build())["automountServiceAccountToken"] is False
