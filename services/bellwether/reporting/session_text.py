"""A session report as people read it on a terminal or in a mail. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from bellwether.messages import reporting as messages


def session_lines(report: messages.SessionReport) -> list[str]:
    """Return a session report line by line."""
    lines = [
        f"Session {report.session} of {report.system} ({report.calendar})",
        report.summary,
        *_section(
            "Due", [f"{one.name}: {one.status}" + (f", {one.error}" if one.error else "") for one in report.slots]
        ),
        *_section("Predicted", map(_prediction, report.predictions)),
        *_section("Orders", map(_order, report.orders), "no order for this session, and none made in it"),
        *_section(
            "Refused",
            [
                f"{one.symbol}: {one.code}, {one.meaning} (value {one.value}, limit {one.limit})"
                for one in report.refusals
            ],
            "nothing",
        ),
        *_section("Account at the close", _account(report.account)),
        *_section(
            "Held",
            [
                f"{one.symbol}: {one.quantity:f} at {one.market_price:,.2f}, worth {one.market_value:,.2f}, "
                f"unrealised {one.unrealised:+,.2f}"
                for one in report.positions
            ],
            "nothing",
        ),
        *_section("How predictions fared", _judgement(report.judgement)),
        *_section(
            "Came to their horizon",
            [
                f"{one.symbol}: {one.action} (p {one.probability:.3f}, base rate {one.base_rate:.3f}), "
                f"the close {'rose' if one.rose else 'did not rise'}"
                for one in report.settled
            ],
            "no decision",
        ),
        *_section(
            "Data quality" + ("" if report.quality_score is None else f", {report.quality_score:g} of 100"),
            [
                f"{one.symbol}: {'unknown' if one.score is None else f'{one.score:g}'}, {one.says}"
                for one in report.quality
            ],
        ),
        *_section(
            "News used",
            [
                f"{one.symbol}: {one.score:+.2f}, confidence {one.confidence:.2f}: "
                + "; ".join(
                    f'"{head.title}" ({head.source or "no source"}, {head.score:+.2f})' for head in one.headlines
                )
                for one in report.news
            ],
            "none",
        ),
    ]
    if report.idle_sessions:
        what = "1 session" if report.idle_sessions == 1 else f"{report.idle_sessions} sessions"
        reasons = [
            f"{'once' if one.count == 1 else f'{one.count} times'} {one.code}: {one.meaning}"
            for one in report.idle_reasons
        ]
        lines += _section(f"No orders for {what}, and why", reasons)
    return lines


def _section(title: str, lines: Iterable[str], nothing: str = "") -> list[str]:
    found = [f"  {line}" for line in lines]
    return ["", title, *(found or ([f"  {nothing}"] if nothing else ["  nothing is known"]))]


def _prediction(one: messages.ReportedPrediction) -> str:
    if one.action is None or one.probability is None or one.base_rate is None:
        return f"{one.symbol}: {one.became}"
    missing = f"; missing: {', '.join(one.missing)}" if one.missing else ""
    return f"{one.symbol}: {one.action}, p {one.probability:.3f}, base rate {one.base_rate:.3f}: {one.became}{missing}"


def _order(one: messages.ReportedOrder) -> str:
    price = "" if one.price is None else f" at {one.price:,.4f}"
    commission = "" if one.commission is None else f", commission {one.commission:,.2f}"
    why = one.refusal or one.reduction
    said = f" ({why})" if why else ""
    return (
        f"{one.session} {one.side} {one.quantity:f} {one.symbol}, {one.reason}: {one.status}{price}{commission}{said}"
    )


def _account(one: messages.ReportedAccount) -> list[str]:
    state = "" if one.closed else " (the ledger has not closed the session yet)"
    lines = [
        f"equity {one.equity:,.2f} {one.currency}{state}: cash {one.cash:,.2f}, shares {one.positions_value:,.2f}",
        f"since the start {one.since_start:+,.2f}{_rate(one.since_start_rate)}, realised {one.realised:+,.2f}, "
        f"commission {one.commission:,.2f}",
    ]
    if one.change is not None:
        lines.insert(1, f"since the close before {one.change:+,.2f}{_rate(one.change_rate)}")
    return lines


def _rate(rate: float | None) -> str:
    return "" if rate is None else f" ({rate:+.2%})"


def _judgement(one: messages.Judgement) -> Sequence[str]:
    if not one.decisions:
        return [f"not defined: {one.hit_rate.undefined}"]
    lines = [
        f"{one.decisions} decisions of the batch that may trade, over {one.sessions} sessions with outcomes",
        f"hit rate of {one.signals} signals {interval_text(one.hit_rate)}",
        f"beside {percent(one.base_hit_rate)} at the share of rises, {interval_text(one.rise_rate)}",
        f"difference {interval_text(one.difference)}",
    ]
    if one.brier is not None and one.base_brier is not None:
        lines.append(f"Brier score {one.brier:.4f} beside {one.base_brier:.4f} of the base rates (lower is better)")
    lines += [
        f"p near {one_bin.probability:.3f}: {one_bin.rose} of {one_bin.decisions} rose "
        f"({one_bin.rose / one_bin.decisions:.0%})"
        for one_bin in one.bins
    ]
    return lines


def percent(value: float | None) -> str:
    """Return a share in percent."""
    return "not defined" if value is None else f"{value:.1%}"


def interval_text(one: messages.IntervalValue) -> str:
    """Return a share with its interval, or why there is none."""
    if one.value is None:
        return f"not defined: {one.undefined}"
    if one.low is None or one.high is None:
        return f"{one.value:.1%} ({one.undefined})" if one.undefined else f"{one.value:.1%}"
    return f"{one.value:.1%} (95 %: {one.low:.1%} to {one.high:.1%}; {one.method})"
