"""Alerts for Prometheus: one table, from which the chart's rules and their page are written."""

from __future__ import annotations

from dataclasses import dataclass

import yaml

GROUP = "bellwether"


@dataclass(frozen=True)
class Rule:
    """One alert: what it asks, for how long it must hold, what it means and what to do."""

    name: str
    expr: str
    wait: str
    severity: str
    summary: str
    meaning: str
    todo: str


RULES = (
    Rule(
        "BellwetherAlarmCritical",
        'max by (namespace, pod, type, subject) (bellwether_alarms{severity="critical"}) > 0',
        "0m",
        "critical",
        "{{ $labels.type }} of {{ $labels.subject }} in {{ $labels.namespace }}",
        "monitoring has raised a critical alarm.",
        "`bellwether alerts` says it in words; [alarms](reference/alarms.md) says what each type means and what to do.",
    ),
    Rule(
        "BellwetherAlarmWarning",
        'max by (namespace, pod, type, subject) (bellwether_alarms{severity="warning"}) > 0',
        "15m",
        "warning",
        "{{ $labels.type }} of {{ $labels.subject }} in {{ $labels.namespace }}",
        "monitoring raised a warning a quarter of an hour ago, and it is not over.",
        "As for BellwetherAlarmCritical.",
    ),
    Rule(
        "BellwetherMonitoringSilent",
        "time() - max by (namespace, pod) (bellwether_monitoring_last_look_timestamp_seconds) > 300",
        "1m",
        "critical",
        "monitoring of {{ $labels.namespace }} has not looked for 5 minutes",
        "Whoever would tell you of everything else is stuck: no alarm is raised and nobody is notified.",
        "Look at the log of monitoring; `bellwether restart -s monitoring` or deleting its pod starts it again.",
    ),
    Rule(
        "BellwetherBusAway",
        "min by (namespace, pod, service) (bellwether_bus_connected) < 1",
        "2m",
        "critical",
        "{{ $labels.service }} in {{ $labels.namespace }} has no connection to NATS",
        "A service has had no connection to NATS for two minutes: it neither answers nor hears events.",
        "Look at the pod of NATS, its volume and its log. Services connect again by themselves and lose nothing.",
    ),
    Rule(
        "BellwetherOutboxLag",
        "max by (namespace, pod, service) (bellwether_outbox_lag_seconds) > 60",
        "1m",
        "warning",
        "events of {{ $labels.service }} in {{ $labels.namespace }} could not be published for a minute",
        "Events are committed and cannot be published: whoever waits for them waits.",
        "As for BellwetherBusAway; where NATS is up, its stream refuses them, and the service's log has its words.",
    ),
    Rule(
        "BellwetherEventsDead",
        'sum by (namespace, service, type) (increase(bellwether_events_total{outcome="dead"}[1h])) > 0',
        "0m",
        "warning",
        "{{ $labels.service }} in {{ $labels.namespace }} gave up events of type {{ $labels.type }}",
        "A service gave up events after its last attempt, or could not publish one that is too large.",
        "`bellwether dead-letters list` and `show` say why; mend the cause, then `replay` or `drop` them.",
    ),
    Rule(
        "BellwetherCallsFail",
        'sum by (namespace, service, method) (rate(bellwether_rpc_calls_total{code="INTERNAL"}[15m])) > 0',
        "15m",
        "warning",
        "{{ $labels.service }}.{{ $labels.method }} in {{ $labels.namespace }} fails",
        "Calls of a method end with INTERNAL, an error that nobody foresaw, again and again.",
        "The service's log has the reason under the request's id. Please report it.",
    ),
    Rule(
        "BellwetherCallsSlow",
        "histogram_quantile(0.99, sum by (namespace, service, le) (rate(bellwether_rpc_seconds_bucket[15m]))) > 5",
        "15m",
        "warning",
        "calls of {{ $labels.service }} in {{ $labels.namespace }} take more than 5 s",
        "One call in a hundred takes more than 5 s; callers give up after 30 s in all.",
        "`bellwether trace --last` shows where the time goes; `bellwether health` whether CPU or memory is short.",
    ),
    Rule(
        "BellwetherVolumeFilling",
        "max by (namespace, pod) (bellwether_volume_used_ratio) > 0.85",
        "5m",
        "warning",
        "a volume in {{ $labels.namespace }} ({{ $labels.pod }}) is more than 85 % full",
        "A volume with databases fills. From 92 % on no position is opened, so that the ledger can still be written.",
        "Raise `storage.size` where the class lets volumes grow, or shorten `retention`.",
    ),
    Rule(
        "BellwetherBackup",
        "min by (namespace, exported_namespace, system, type) (bellwether_operator_backups) < 1",
        "15m",
        "warning",
        "{{ $labels.type }} of {{ $labels.system }} in {{ $labels.exported_namespace }} is False",
        "The newest backup failed or is overdue (BackupHealthy), or does not restore (RestoreVerified).",
        "`kubectl get tbackup` and the condition's message say why; [backups](backups.md#when-something-is-wrong).",
    ),
    Rule(
        "BellwetherOperatorNamespaceFailing",
        "max by (namespace, exported_namespace) (bellwether_operator_namespace_failing) > 0",
        "10m",
        "critical",
        "the operator cannot follow namespace {{ $labels.exported_namespace }}",
        "The operator cannot list or watch a namespace, so nothing that is edited there happens.",
        "Its log and `/readyz` say why; mostly rights are missing (`watchNamespaces` of the chart).",
    ),
)


def chart_file() -> str:
    """Return the groups of rules as the chart includes them."""
    rules = [
        {
            "alert": one.name,
            "expr": one.expr,
            "for": one.wait,
            "labels": {"severity": one.severity},
            "annotations": {
                "summary": one.summary,
                "description": f"{one.meaning} {one.todo}",
                "runbook": f"docs/alerts.md#{one.name.lower()}",
            },
        }
        for one in RULES
    ]
    head = "# Written by `make generate` from tools/generate/generate/rules.py.\n"
    return head + yaml.safe_dump({"groups": [{"name": GROUP, "rules": rules}]}, sort_keys=False, width=1000)


def page() -> str:
    """Return the page with a section for each alert."""
    lines = [
        "# Alerts of Prometheus",
        "",
        "Made from the code by `make generate`. `prometheusRule.enabled` of the chart installs them,",
        "`podMonitor.enabled` has the figures of every system and of the operator collected; both need the operator of",
        "Prometheus. Without it, load `charts/bellwether/files/alerts.yaml` as a rule file. Every alarm of",
        "[monitoring](reference/alarms.md) comes as one of the first two; the others hold also where it cannot tell.",
        "",
    ]
    for one in RULES:
        lines += [f"## {one.name}", "", f"{one.meaning} Severity: {one.severity}; after {one.wait}.", "", one.todo, ""]
        lines += ["```promql", one.expr, "```", ""]
    return "\n".join(lines)
