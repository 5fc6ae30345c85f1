"""The table "I want to add a …" of docs/architecture.md; each file and name that it mentions is there."""

from __future__ import annotations

from typing import NamedTuple

from generate.walks import KUBERNETES, OPERATOR, ROOT, SERVICES, WalkError, short


class Place(NamedTuple):
    """A file to touch, the name in it at which something is added, and what."""

    file: str
    name: str = ""
    what: str = ""


class Addition(NamedTuple):
    """One kind of thing to add: its places in the order of work, and the test that shows how it is tried."""

    thing: str
    places: tuple[Place, ...]
    test: str


ADDITIONS = (
    Addition(
        "symbol source: where the bars of symbols come from",
        (
            Place(f"{SERVICES}/spec/data.py", "class Data", "its provider and settings"),
            Place(f"{SERVICES}/market_data/sources.py", "class Source", "a class with these methods, in a file beside"),
            Place(
                f"{SERVICES}/market_data/rows.py",
                "class Loaded",
                "what it returns, with what its prices are adjusted for",
            ),
            Place(f"{SERVICES}/market_data/sources.py", "def open_source", "which provider makes it"),
            Place(f"{SERVICES}/market_data/service.py", "def _open_source", "what it is made with, if it connects"),
            Place(
                f"{SERVICES}/market_data/service.py",
                "def ask_due",
                "when a live feed is asked, which now is Yahoo alone: a file is looked at every 30 s by itself",
            ),
            Place(f"{SERVICES}/market_data/service.py", "def final_delay", "how long its rows are not final yet"),
            Place(f"{SERVICES}/market_data/condition.py", "isinstance(source", "what a live feed says of itself"),
            Place(f"{SERVICES}/spec/models.py", "provider yahoo is live", "a rule, if it serves one clock alone"),
            Place(
                f"{SERVICES}/spec/models.py",
                "def asks_yahoo",
                "one like it for a source that is asked over the network",
            ),
            Place(f"{SERVICES}/service_row.py", "External", "the host that it asks, if any"),
            Place(f"{SERVICES}/topology.py", '"yahoo"', "that host, in the row of market-data"),
            Place(f"{KUBERNETES}/networkpolicies.py", "wanted", "the way to that host, in a cluster"),
            Place(f"{KUBERNETES}/containers.py", "def asks_outside", "that it needs the proxy and the way out"),
            Place(f"{SERVICES}/runtime/config.py", "ig_credentials", "an API key, if any: it goes where IG's goes"),
        ),
        "tests/unit/market_data/test_sources.py",
    ),
    Addition(
        "guard: a reason to refuse an order",
        (
            Place(f"{SERVICES}/trading/codes.py", "class Code", "its code, and what it means"),
            Place(
                f"{SERVICES}/trading/guards.py",
                "GUARDS",
                "a function, and its line in the list: `system` or `symbol` where it judges no order",
            ),
            Place(f"{SERVICES}/spec/trading.py", "class Risk", "its limit, if any"),
            Place(f"{SERVICES}/trading/rules.py", "class Rules", "the limit as guards read it"),
            Place(
                f"{SERVICES}/trading/situation.py",
                "class Situation",
                "a fact that it judges by and no guard had; None where nobody knows it, and then it has no objection",
            ),
            Place(
                f"{SERVICES}/broker/values.py",
                "class MarketState",
                "that fact, if the broker knows it; `market` of `ig/adapter.py` and `simulated.py` fill it",
            ),
            Place(f"{SERVICES}/trading/placing.py", "def situation_of", "where that fact comes from, for a new order"),
            Place(f"{SERVICES}/trading/release.py", "def _situation", "and for one that is sent at the open"),
            Place(f"{OPERATOR}/report/safety.py", "_Known", "its remedy, where it is of `system` or `symbol`"),
            Place(f"{OPERATOR}/report/finding.py", "class Reason", "the reason that goes with it"),
        ),
        "tests/unit/trading/test_guards.py",
    ),
    Addition(
        "task: work that is due at a time of a session",
        (
            Place(
                f"{SERVICES}/scheduling/effects.py",
                "def run_task",
                "what is done, by the task's name, before the last line, which predicts",
            ),
            Place(f"{SERVICES}/topology.py", 'name="scheduler"', "the methods that it asks for"),
            Place(
                f"{SERVICES}/spec/tasks.py",
                "What is done",
                "its name and what it does. A system declares it in `tasks`, together with the three defaults: a list "
                "that is declared replaces them. `default_tasks` stays as it is published. A run of predictions at "
                "another time needs no code: any other name does that",
            ),
        ),
        "tests/integration/scheduling/test_execute_slot.py",
    ),
    Addition(
        "child object of a system in Kubernetes",
        (
            Place(f"{KUBERNETES}/budgets.py", "def disruption_budget", "a builder like this one, in a file of its own"),
            Place(f"{KUBERNETES}/__init__.py", "def render", "its place in the order"),
            Place(
                f"{OPERATOR}/observe/kinds.py",
                "CHILD_KINDS",
                "its kind, where it is a new one that each Kubernetes has: all of them are listed before the first "
                "pass. One whose definition may be missing is made as `backups/running.py` makes snapshots",
            ),
            Place(f"{OPERATOR}/apply/actions.py", "_BESIDE_PODS", "that kind, if pods need not wait for it"),
            Place(f"{SERVICES}/change/hold.py", "def hold", "that it is written in a pause, too, if it is to be"),
            Place(f"{SERVICES}/cli/planning.py", "poddisruptionbudgets", "that kind as `plan` reads it from a cluster"),
            Place("charts/bellwether/templates/_helpers.tpl", 'define "bellwether.rules"', "the rights to that kind"),
        ),
        "tests/unit/render/test_kinds.py",
    ),
    Addition(
        "condition of a system",
        (
            Place(f"{OPERATOR}/report/finding.py", "CONDITIONS", "its name, and the reasons in `Reason`"),
            Place(f"{OPERATOR}/report/backup.py", "def backup_healthy", "a function like this one"),
            Place(f"{OPERATOR}/report/observation.py", "class Observation", "what it is judged by, if not there yet"),
            Place(f"{OPERATOR}/report/status.py", "def _findings", "its line"),
            Place(
                f"{OPERATOR}/report/events.py",
                "RestoreVerified",
                "which of its changes are Events, if any; also named on the page",
            ),
            Place("docs/conditions.md", "", "its row"),
            Place("tests/harness/statuses.py", "ALL_WELL", "what it is where all is well, and scenes where it is not"),
        ),
        "tests/unit/operator/test_status.py",
    ),
    Addition(
        "event that services publish",
        (
            Place(f"{SERVICES}/messages/events.py", "EVENTS", "its type; its data is a struct in a file beside"),
            Place(f"{SERVICES}/topology.py", "publishes", "who publishes and who consumes it"),
            Place(f"{SERVICES}/prediction/service.py", "service.on_event", "a consumer: like this one"),
            Place(f"{SERVICES}/market_data/loading.py", "publish_event", "a publisher: like this one"),
            Place(f"{SERVICES}/trading/announcing.py", "tx.outbox", "or like this one, which a kill does not lose"),
            Place(f"{SERVICES}/gateway/static/stream.js", "KINDS", "that the dashboard looks again after it"),
        ),
        "tests/unit/spec/test_services_page.py",
    ),
    Addition(
        "service",
        (
            Place(
                f"{SERVICES}/topology.py",
                "ServiceRow(",
                "its row, at its place in the start order; who asks it names its methods in `calls`",
            ),
            Place(f"{SERVICES}/quality/service.py", "def create", "a folder of its own, with this function"),
            Place(
                f"{SERVICES}/messages/quality.py",
                "",
                "what it is asked and answers: a file like this one; for its events see the row above",
            ),
            Place(f"{SERVICES}/local/registry.py", "MODULES", "its module"),
            Place(f"{SERVICES}/spec/pods.py", "ServiceName", "its name, so that it can be given resources"),
            Place("pyproject.toml", "layers", "its place among the layers of imports"),
        ),
        "tests/integration/contracts/test_every_method.py",
    ),
    Addition(
        "exchange",
        (
            Place(
                f"{SERVICES}/spec/exchanges.py",
                "CalendarName",
                "its code; `make generate` makes the table",
            ),
            Place(f"{SERVICES}/market_data/yahoo/answers.py", "LISTED", "its currency, and how Yahoo ends its symbols"),
            Place(f"{SERVICES}/sentiment/raw.py", "EXCHANGES", "how news name it"),
            Place("tests/unit/market/test_oracle.py", "SECOND", "its name in the second library of calendars"),
            Place("tools/generate/generate/corrections.py", "", "days that the library of calendars lacks"),
        ),
        "tests/unit/market/test_oracle.py",
    ),
    Addition(
        "broker",
        (
            Place(f"{SERVICES}/broker/port.py", "class Broker", "a class with these methods, in a folder beside `ig`"),
            Place(f"{SERVICES}/trading/brokers.py", "def of", "which run's orders go to it"),
            Place(
                f"{SERVICES}/trading/brokers.py",
                "def at_ig",
                "its callers ask whether the broker is a real one: it is one, too",
            ),
            Place(f"{SERVICES}/trading/following.py", "brokers.ig", "orders that work there: followed and cancelled"),
            Place(f"{SERVICES}/trading/reconciling.py", "broker.ig", "how an order's fate is found in its records"),
            Place(f"{SERVICES}/trading/desk.py", "ig.send_until", "until when an order may be sent in a session"),
            Place(f"{SERVICES}/trading/rules.py", "ig-demo", "its mode and settings, as guards read them"),
            Place(f"{SERVICES}/spec/trading.py", "class Ig", "its settings, and the mode that declares it"),
            Place(f"{SERVICES}/spec/models.py", "ig-demo", "rules between the mode and other fields"),
            Place(f"{SERVICES}/service_row.py", "External", "the host that it asks; and in the row of paper-trading"),
            Place(f"{KUBERNETES}/networkpolicies.py", "wanted", "the way to that host, in a cluster"),
            Place(f"{SERVICES}/runtime/config.py", "ig_credentials", "where its credentials are read from"),
            Place(f"{KUBERNETES}/containers.py", "ig-demo", "its Secret, in a cluster; mounted in `pods.py`"),
            Place(f"{SERVICES}/render/parts.py", "def secret_files", "its credentials under systemd and in compose"),
        ),
        "tests/integration/broker/conformance/test_conformance.py",
    ),
    Addition(
        "alarm, which people are notified of, or alert, which Prometheus raises",
        (
            Place(f"{SERVICES}/messages/alarms.py", "ALARMS", "an alarm: its type, what it means and what to do"),
            Place(f"{SERVICES}/quality/service.py", "def alarms", "a service that raises it: like this one"),
            Place(f"{SERVICES}/monitoring/judging.py", "def observations", "or monitoring, from what it measures"),
            Place("tools/generate/generate/rules.py", "RULES", "an alert: its expression, for the chart and the page"),
        ),
        "tests/unit/monitoring/test_alarms.py",
    ),
    Addition(
        "command",
        (
            Place(f"{SERVICES}/cli/app.py", "def positions", "a command that asks a system: a function like this one"),
            Place(f"{SERVICES}/gateway/reads.py", "def positions", "the route that it asks, if there is none yet"),
            Place(f"{SERVICES}/topology.py", 'name="gateway"', "in `calls`: the method that the route asks"),
            Place(f"{SERVICES}/cli/main.py", "PROCESS_COMMANDS", "its name, if it runs for long or in a Job"),
            Place(f"{SERVICES}/local/commands.py", "def _parser", "in that case: its options, and what it runs"),
            Place(f"{SERVICES}/cli/process_help.py", "_PARTS", "in that case: its line in `bellwether --help`"),
        ),
        "tests/unit/cli/test_commands.py",
    ),
    Addition(
        "field of a TradingSystem",
        (
            Place(f"{SERVICES}/spec/models.py", "class TradingSystemSpec", "a block; fields stand in files beside"),
            Place(f"{SERVICES}/spec/models.py", "LIVE_FIELDS", "a block that services read without a new pod"),
            Place("tests/integration/gateway/test_live_fields.py", "EDITS", "an edit of it, if it is live"),
            Place(
                "crds/published.json", "", "`python -m generate --publish` records it, for good: a schema only grows"
            ),
        ),
        "tests/unit/spec/test_schema.py",
    ),
)


def page_part() -> str:
    """Return the table.

    Raises:
        WalkError: if a file or a name is not there.
    """
    lines = ["| I want to add a … | I touch, in this order | tried by |", "|---|---|---|"]
    for each in ADDITIONS:
        for place in (*each.places, Place(each.test)):
            _confirm(place)
        thing, _, means = each.thing.partition(": ")
        places = "<br>".join(f"{number}. {_words(place)}" for number, place in enumerate(each.places, 1))
        lines.append(f"| **{thing}**{f': {means}' if means else ''} | {places} | {_words(Place(each.test))} |")
    return "\n".join([*lines, ""])


def _confirm(place: Place) -> None:
    path = ROOT / place.file
    if not path.is_file() or place.name not in path.read_text("utf-8"):
        wanted = f"{place.name!r} in {place.file}" if place.name else place.file
        raise WalkError(f"{wanted} is gone: mend ADDITIONS in tools/generate/generate/additions.py")


def _words(place: Place) -> str:
    name = f" `{place.name}`" if place.name else ""
    return f"[`{short(place.file)}`](../{place.file}){name}{f': {place.what}' if place.what else ''}"
