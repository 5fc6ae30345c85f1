from __future__ import annotations

from typing import Any

import pytest

from bellwether.render.kubernetes import RenderContext, render
from bellwether.render.kubernetes.networkpolicies import network_policies
from bellwether.topology import SERVICES

from .conftest import AT_IG, build

LIVE = {"data": {"provider": "yahoo"}, "clock": {"mode": "live"}}


def by_component(**spec: Any) -> dict[str, Any]:
    found = network_policies(build(**spec))
    return {each["metadata"]["labels"]["app.kubernetes.io/component"]: each["spec"] for each in found}


def ports(rules: list[dict[str, Any]]) -> set[int]:
    return {port["port"] for rule in rules for port in rule["ports"]}


def test_every_component_has_a_policy_for_both_directions() -> None:
    assert set(by_component()) == {"system"}
    standard = by_component(profile="standard")
    assert set(standard) == {"nats", *SERVICES}
    assert all(spec["policyTypes"] == ["Ingress", "Egress"] for spec in standard.values())


def test_nats_takes_the_systems_own_pods_only_and_calls_nobody() -> None:
    nats = by_component(profile="standard")["nats"]
    assert nats["ingress"] == [
        {
            "from": [{"podSelector": {"matchLabels": {"app.kubernetes.io/instance": "demo"}}}],
            "ports": [{"port": 4222, "protocol": "TCP"}],
        }
    ]
    assert "egress" not in nats


@pytest.mark.parametrize(("profile", "home"), [("compact", "system"), ("standard", "nats")])
def test_a_jobs_way_out_is_nats_where_it_runs_and_names(profile: str, home: str) -> None:
    assert "job" not in by_component(profile=profile)
    job = by_component(profile=profile, **LIVE)["job"]
    assert "ingress" not in job
    nats, names = job["egress"]
    assert nats["to"] == [
        {"podSelector": {"matchLabels": {"app.kubernetes.io/component": home, "app.kubernetes.io/instance": "demo"}}}
    ]
    assert (ports([nats]), ports([names])) == ({4222}, {53})


def test_services_take_nothing_in_but_who_collects_metrics_and_the_gateway_people() -> None:
    standard = by_component(profile="standard")
    taken = {name: ports(spec["ingress"]) for name, spec in standard.items()}
    assert taken.pop("nats") == {4222}
    assert taken.pop("gateway") == {8080, 8081}
    assert set(map(tuple, taken.values())) == {(8081,)}
    assert ports(by_component()["system"]["ingress"]) == {4222, 8080, 8081}


@pytest.mark.parametrize("profile", ["compact", "standard"])
def test_every_pod_that_has_metrics_can_be_asked_for_them(context: RenderContext, profile: str) -> None:
    system = build(profile=profile)
    policies = by_component(profile=profile)
    for each in render(system, context):
        if each["kind"] in {"StatefulSet", "Deployment"}:
            containers = each["spec"]["template"]["spec"]["containers"]
            metrics = {port["containerPort"] for one in containers for port in one["ports"] if port["name"] == "health"}
            assert metrics <= ports(policies[each["metadata"]["labels"]["app.kubernetes.io/component"]]["ingress"])


def test_the_way_out_is_nats_and_dns_and_the_provider_where_it_is_used() -> None:
    assert ports(by_component(profile="standard")["market-data"]["egress"]) == {53, 4222}
    live = by_component(profile="standard", **LIVE)
    assert ports(live["market-data"]["egress"]) == {53, 443, 4222}
    assert ports(live["paper-trading"]["egress"]) == {53, 4222}
    assert ports(by_component(**LIVE)["system"]["egress"]) == {53, 443}


def test_behind_a_proxy_the_way_out_is_the_proxys_port_alone() -> None:
    behind = by_component(**LIVE, network={"proxy": "http://proxy.example:3128"})
    assert ports(behind["system"]["egress"]) == {53, 3128}
    assert ports(by_component(**LIVE, network={"proxy": "http://proxy.example"})["system"]["egress"]) == {53, 80}


def test_sentiment_reaches_the_ports_of_its_feeds_and_only_where_there_are_some() -> None:
    feeds = [{"url": "http://news.example:8000/rss"}, {"url": "http://other.example/rss"}]
    news = {"provider": "feeds", "feeds": feeds}
    found = by_component(profile="standard", **LIVE, sentiment=news)
    assert ports(found["sentiment"]["egress"]) == {53, 80, 443, 4222, 8000}
    assert ports(by_component(profile="standard", **LIVE)["sentiment"]["egress"]) == {53, 4222}
    proxied = by_component(profile="standard", **LIVE, sentiment=news, network={"proxy": "http://proxy.example:3128"})
    assert ports(proxied["sentiment"]["egress"]) == {53, 3128, 4222}


def test_only_paper_trading_reaches_ig_and_only_where_it_trades_there() -> None:
    own = {"provider": "csv", "csv": {"directory": "/srv/bars", "volumeClaim": "bars"}}
    found = by_component(profile="standard", clock={"mode": "live"}, data=own, **AT_IG)
    assert ports(found["paper-trading"]["egress"]) == {53, 443, 4222}
    assert [name for name, one in found.items() if 443 in ports(one.get("egress", []))] == ["paper-trading"]


def test_news_of_yahoo_is_asked_for_by_market_data_alone() -> None:
    news = {"provider": "yahoo"}
    own = {"provider": "csv", "csv": {"directory": "/srv/bars", "volumeClaim": "bars"}}
    found = by_component(profile="standard", clock={"mode": "live"}, data=own, sentiment=news)
    assert ports(found["market-data"]["egress"]) == {53, 443, 4222}
    assert ports(found["sentiment"]["egress"]) == {53, 4222}
    silent = by_component(profile="standard", clock={"mode": "live"}, data=own)
    assert ports(silent["market-data"]["egress"]) == {53, 4222}


def test_only_monitoring_reaches_the_ports_of_notifications() -> None:
    email = {"host": "mail.example", "from": "a@example.com", "to": ["b@example.com"]}
    reported = [
        {"name": "mail", "kind": "email", "email": email},
        {"name": "hook", "kind": "webhook", "url": "http://hook.example:9000/in"},
        {"name": "hidden", "kind": "webhook", "secretRef": {"name": "hidden"}},
    ]
    found = by_component(profile="standard", **LIVE, notifications=reported)
    assert ports(found["monitoring"]["egress"]) == {53, 443, 587, 4222, 9000}
    assert ports(found["gateway"]["egress"]) == {53, 4222}
    assert ports(by_component(profile="standard", **LIVE)["monitoring"]["egress"]) == {53, 4222}
