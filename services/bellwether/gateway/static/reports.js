// The page of session reports: the list, and one of them (#2009-01-05, or the newest).

import { element, shortTime, money, table, whole } from "./drawing.js";

const by = (id) => document.getElementById(id);
const share = (value) => (value === null || value === undefined ? "not defined" : `${(value * 100).toFixed(1)} %`);
const fixed = (value, digits) => (value === null || value === undefined ? "–" : Number(value).toFixed(digits));

async function ask(path) {
  const reply = await fetch(path, { cache: "no-store" });
  const body = await reply.json().catch(() => null);
  if (!reply.ok) throw new Error(reply.status === 401 ? "Open the dashboard and enter a token first." : body?.error?.message ?? `status ${reply.status}`);
  return body;
}

const wanted = () => (/^#\d{4}-\d\d-\d\d$/.test(location.hash) ? location.hash.slice(1) : "latest");

function interval(one) {
  if (one.value === null) return `not defined: ${one.undefined}`;
  if (one.low === null || one.high === null) return share(one.value) + (one.undefined ? ` (${one.undefined})` : "");
  return `${share(one.value)} (95 %: ${share(one.low)} to ${share(one.high)}; ${one.method})`;
}

function part(title, ...content) {
  return element("div", { class: "part" }, element("h2", {}, title), ...content);
}

const scrolled = (drawn) => element("div", { class: "scroll" }, drawn);
const lines = (texts) => texts.map((text) => element("p", {}, text));

function account(one) {
  const change = one.change === null ? "the ledger has not closed the session yet" :
    `${Number(one.change) >= 0 ? "+" : ""}${money(one.change)} since the close before` +
    (one.change_rate === null ? "" : ` (${(one.change_rate * 100).toFixed(2)} %)`);
  return lines([`Equity ${money(one.equity)} ${one.currency}: cash ${money(one.cash)}, shares ${money(one.positions_value)}; ${change}`,
    `Since the start ${money(one.since_start)}, realised ${money(one.realised)}, commission ${money(one.commission)}`]);
}

function judgement(one) {
  if (!one.decisions) return lines([`not defined: ${one.hit_rate.undefined}`]);
  const said = [
    `${whole(one.decisions)} decisions of the batch that may trade, over ${whole(one.sessions)} sessions with outcomes`,
    `Hit rate of ${whole(one.signals)} signals: ${interval(one.hit_rate)}`,
    `Beside ${share(one.base_hit_rate)} at the share of rises: ${interval(one.rise_rate)}`,
    `Difference: ${interval(one.difference)}`,
  ];
  if (one.brier !== null) said.push(`Brier score ${fixed(one.brier, 4)} beside ${fixed(one.base_brier, 4)} of the base rates (lower is better)`);
  const bins = table([["probability near", "num"], ["decisions", "num"], ["rose", "num"], ["share", "num"]],
    one.bins.map((bin) => [fixed(bin.probability, 3), whole(bin.decisions), whole(bin.rose), share(bin.rose / bin.decisions)]), "");
  return [...lines(said), scrolled(bins)];
}

function draw(found) {
  const one = found.report;
  document.title = `${one.session} – ${one.system} – Bellwether`;
  by("title").textContent = `Session ${one.session} of ${one.system}`;
  by("verified").textContent = found.equal === null ? "" : found.equal ? "composed again: equal" : "composed again: different";
  by("verified").className = `pill ${found.equal === false ? "bad" : "good"}`;
  by("verify").hidden = false;
  by("report").replaceChildren(
    element("p", {}, one.summary),
    element("p", { class: "dim" }, `${one.calendar}, run ${found.run}, as of ${shortTime(one.as_of)} UTC`),
    ...(one.idle_sessions ? [part(`No orders for ${whole(one.idle_sessions)} session${one.idle_sessions === 1 ? "" : "s"}, and why`,
      ...lines(one.idle_reasons.map((each) => `${each.count === 1 ? "once" : `${whole(each.count)} times`} ${each.code}: ${each.meaning}`)))] : []),
    part("Due", scrolled(table([["slot"], ["due (UTC)"], ["ended"], ["error", "wrap"]],
      one.slots.map((each) => [each.name, shortTime(each.due), element("span", { class: each.status === "completed" ? "good" : "warn" }, each.status), each.error ?? ""]), "Nothing was due."))),
    part("Predicted", scrolled(table([["symbol"], ["action"], ["probability", "num"], ["base rate", "num"], ["price", "num"], ["what became of it", "wrap"], ["missing", "wrap"]],
      one.predictions.map((each) => [each.symbol, each.action ?? "–", fixed(each.probability, 3), fixed(each.base_rate, 3), fixed(each.price, 2), each.became, each.missing.join(", ")]), "Nothing was predicted."))),
    part("Orders", scrolled(table([["for"], ["symbol"], ["side"], ["quantity", "num"], ["status"], ["price", "num"], ["commission", "num"], ["why", "wrap"]],
      one.orders.map((each) => [each.session, each.symbol, each.side, each.quantity, each.status, money(each.price), money(each.commission), each.refusal ?? each.reduction ?? each.reason]), "There was no order."))),
    part("Refused", scrolled(table([["symbol"], ["guard"], ["meaning", "wrap"], ["value"], ["limit", "wrap"]],
      one.refusals.map((each) => [each.symbol, each.code, each.meaning, each.value, each.limit]), "No guard refused anything."))),
    part("Account at the close", ...account(one.account)),
    part("Held", scrolled(table([["symbol"], ["quantity", "num"], ["price", "num"], ["value", "num"], ["unrealised", "num"], ["since"]],
      one.positions.map((each) => [each.symbol, each.quantity, money(each.market_price), money(each.market_value), money(each.unrealised), each.opened]), "Nothing was held."))),
    part("How predictions fared", ...judgement(one.judgement)),
    part("Came to their horizon", scrolled(table([["symbol"], ["action"], ["probability", "num"], ["base rate", "num"], ["close"]],
      one.settled.map((each) => [each.symbol, each.action, fixed(each.probability, 3), fixed(each.base_rate, 3), each.rose ? "rose" : "did not rise"]), "No decision came to its horizon."))),
    part(`Data quality${one.quality_score === null ? "" : `, ${fixed(one.quality_score, 1)} of 100`}`, scrolled(table([["symbol"], ["score", "num"], ["finding", "wrap"]],
      one.quality.map((each) => [each.symbol, each.score === null ? "unknown" : fixed(each.score, 1), each.says]), "Nothing was measured."))),
    part("News used", ...(one.news.length ? lines(one.news.map((each) => `${each.symbol} ${fixed(each.score, 2)}, confidence ${fixed(each.confidence, 2)}: ` +
      each.headlines.map((head) => `“${head.title}” (${head.source || "no source"}, ${fixed(head.score, 2)})`).join("; "))) : [element("p", { class: "empty" }, "None.")])),
    element("p", { class: "dim" }, `sha256 ${found.sha256}`));
}

async function show(verify = false) {
  by("trouble").hidden = true;
  try {
    draw(await ask(`v1/reports/${wanted()}${verify ? "?verify=true" : ""}`));
  } catch (error) {
    by("report").replaceChildren(element("p", { class: "empty" }, error.message));
  }
}

async function list() {
  try {
    const found = await ask("v1/reports?limit=250");
    by("all").replaceChildren(table([["session"], ["summary", "wrap"]],
      found.reports.map((each) => [element("a", { href: `#${each.session}` }, each.session), each.summary]), "There is no report yet."));
  } catch (error) {
    by("trouble").textContent = error.message;
    by("trouble").hidden = false;
  }
}

by("verify").addEventListener("click", () => show(true));
addEventListener("hashchange", () => { show(); scrollTo(0, 0); });
show();
list();
