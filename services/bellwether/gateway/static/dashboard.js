// The page: asks the gateway for state, again whenever the event stream says that something happened.

import { watch } from "./news.js";
import { curve, element, gauge, shortTime, money, table, waterfall, whole } from "./drawing.js";

const by = (id) => document.getElementById(id);
const LEAST_PAUSE = 1000, POLL = 5000, REST = 30000;
let halted = false, newestHalt = 0, began = 0;

async function ask(path, options) {
  const reply = await fetch(path, { cache: "no-store", ...options });
  const body = await reply.json().catch(() => null);
  if (!reply.ok) {
    const error = new Error(body?.error?.message ?? `status ${reply.status}`);
    error.status = reply.status;
    throw error;
  }
  return body;
}

const parts = {
  "v1/status": status,
  "v1/equity?limit=400": (found) => by("curve").replaceChildren(curve(found.points, began)),
  "v1/predictions": predictions,
  "v1/positions": positions,
  "v1/orders?limit=40": orders,
  "v1/refusals?limit=40": refusals,
  "v1/decisions?limit=40": decisions,
};

// Each look at the alarms asks every service: seldom is enough.
let alarmsAsked = 0;

async function refresh() {
  let answered = 0, refused = false;
  const asked = Object.entries(parts);
  if (Date.now() - alarmsAsked >= REST) {
    alarmsAsked = Date.now();
    asked.push(["v1/alerts", alarms]);
  }
  await Promise.all(asked.map(async ([path, draw]) => {
    try {
      draw(await ask(path, { priority: "low" }));
      answered += 1;
    } catch (error) {
      if (!(error instanceof TypeError)) answered += 1;
      if (error.status === 401) refused = true;
      console.debug(path, error);
    }
  }));
  by("lost").hidden = answered > 0;
  if (refused && !by("enter").open) by("enter").showModal();
}

by("enter-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  try {
    await ask("v1/session", { method: "POST", headers: { Authorization: `Bearer ${by("enter-token").value.trim()}` } });
    location.reload();
  } catch (error) {
    by("enter-error").textContent = error.message;
    by("enter-error").hidden = false;
  }
});

function pill(id, text, kind) {
  by(id).textContent = text;
  by(id).className = `pill ${kind}`;
}

function status(found) {
  document.title = `${found.system} – Bellwether`;
  by("system").textContent = found.system;
  pill("ready", found.ready ? "ready" : "not ready", found.ready ? "good" : "bad");
  pill("mode", `${found.mode}, trading ${found.trading}`, "");
  by("now").textContent = `${shortTime(found.now)} UTC`;
  halted = found.halted === true;
  newestHalt = found.account?.newest_halt ?? 0;
  by("halts").hidden = !found.halts.length;
  by("halts").textContent = `Orders are stopped: ${found.halts.join("; ")}`;
  by("halt").textContent = halted ? "Resume" : "Halt";
  safety(found.safety);
  replay(found.replay);
  account(found.account);
  by("services").replaceChildren(table(
    [["service"], ["state"], ["generation", "num"], ["memory", "num"], ["last error", "wrap"]],
    found.services.map((one) => [
      one.name,
      element("span", { class: one.status === "healthy" ? "good" : one.ready ? "warn" : "bad" }, one.status),
      one.generation < 0 ? "–" : String(one.generation),
      memory(one, found.services),
      one.last_error ?? "",
    ]), "no services"));
  by("model").textContent = (found.models ?? []).map((one) =>
    `${one.model_name} ${one.version.slice(0, 12)} (${one.symbol ?? "all symbols"}): trained through ${one.trained_through}` +
    (one.metrics.brier === undefined ? "" : `, Brier ${one.metrics.brier.toFixed(4)} beside ${(one.metrics.base_rate_brier ?? NaN).toFixed(4)} of the base rate`)
  ).join(" · ");
}

// A process counts once, with the first of the services that it runs.
function memory(service, all) {
  if (service.memory_mib === null || service.memory_mib === undefined) return "–";
  const process = service.health?.process;
  const first = all.find((one) => one.health?.process === process);
  return process && first !== service ? `with ${first.name}` : `${whole(service.memory_mib)} MiB`;
}

function safety(found) {
  // Halts have a line of their own. Symbols for which the same holds are named together.
  const alike = new Map();
  for (const one of found.refusals.filter((each) => each.code !== "HALTED")) {
    const prefix = one.symbol ? `${one.symbol}: ` : "";
    const words = one.message.startsWith(prefix) ? one.message.slice(prefix.length) : one.message;
    alike.set(words, [...(alike.get(words) || []), ...(one.symbol ? [one.symbol] : [])]);
  }
  const said = [...alike].map(([words, names]) => (names.length ? `${names.join(", ")}: ${words}` : words)).join("; ");
  by("safety").hidden = !said;
  by("safety").textContent = found.safe ? `Safe to trade, except in ${said}` : `Not safe to trade: ${said}`;
}

function alarms(found) {
  by("alarms").hidden = !found.alerts.length;
  by("alarms").className = found.alerts.some((one) => one.severity === "critical") ? "banner" : "banner quiet";
  by("alarms").replaceChildren(...found.alerts.map((one) => element("div", {}, `${one.severity}: ${one.message}`)));
}

function replay(state) {
  by("replay-box").hidden = !state || state.state === "off";
  if (!state) return;
  by("replay-label").textContent = `Replay ${state.state}, ${whole(state.sessions_done)} of ${whole(state.sessions_total)} sessions`;
  by("replay-session").textContent = state.session ?? "–";
  by("replay").max = state.sessions_total || 1;
  by("replay").value = state.sessions_done;
}

function account(found) {
  if (!found) return;
  began = Number(found.initial_cash);
  const gain = Number(found.equity) / began - 1;
  by("equity").textContent = `${money(found.equity)} ${found.currency}`;
  by("return").textContent = `${gain >= 0 ? "+" : ""}${(gain * 100).toFixed(2)} %`;
  by("return").className = gain >= 0 ? "good" : "bad";
  by("cash").textContent = money(found.cash);
  by("fills").textContent = whole(found.orders_filled);
  by("commission").textContent = money(found.commission);
}

const action = (one) => element("span", { class: `action ${one.action}` }, one.action.replace("_", " "));
const traced = (id, text) => (id ? element("button", { class: "link", type: "button", onclick: () => show(id) }, text) : text);

function newsOf(one) {
  if (!one.sentiment_data_available) return [];
  const worst = one.bad_news.reduce((least, each) => (least && least.score <= each.score ? least : each), null);
  return [element("div", { class: "foot" },
    element("span", {}, `news ${one.sentiment_score.toFixed(2)}${worst ? `: ${worst.title}` : ""}`))];
}

function predictions(found) {
  const cards = Object.values(found.predictions).map((one) => element("div", { class: "card" },
    element("div", { class: "top" }, element("span", {}, element("b", {}, one.symbol), " ", element("span", { class: "dim" }, one.current_price.toFixed(2))), action(one)),
    gauge(one),
    element("div", { class: "foot" },
      element("span", {}, `p ${one.probability.toFixed(3)}, base rate ${one.base_rate.toFixed(3)}`),
      traced(one.trace_id, "trace")),
    ...newsOf(one)));
  by("predictions").replaceChildren(...(cards.length ? cards : [element("p", { class: "empty" }, "Nothing was predicted yet.")]));
}

function positions(found) {
  by("positions").replaceChildren(table(
    [["symbol"], ["quantity", "num"], ["cost", "num"], ["price", "num"], ["value", "num"], ["unrealised", "num"], ["since"]],
    found.positions.map((one) => [one.symbol, one.quantity, money(one.average_cost), money(one.market_price), money(one.market_value),
      element("span", { class: Number(one.unrealised) >= 0 ? "good" : "bad" }, money(one.unrealised)), one.opened]),
    "Nothing is held."));
}

function orders(found) {
  const kinds = { filled: "good", queued: "warn", awaiting_approval: "warn", refused: "bad", rejected: "bad", unknown: "bad" };
  by("orders").replaceChildren(table(
    [["session"], ["symbol"], ["side"], ["quantity", "num"], ["status"], ["price", "num"], ["why"], [""]],
    found.orders.map((one) => [one.session, one.symbol, one.side, one.quantity,
      element("span", { class: kinds[one.status] ?? "dim" }, one.status.replace("_", " ")), money(one.fill_price),
      one.status === "awaiting_approval" ? approval(one) : one.refusal ?? one.reason.replace("_", " "),
      traced(one.trace_id, one.trace_id ? "trace" : "")]),
    "There are no orders yet."));
}

function approval(order) {
  const button = element("button", { type: "button" }, "Approve");
  button.addEventListener("click", () => begin(`Approve: ${order.side} ${order.quantity} ${order.symbol}`, {
    path: `v1/orders/${encodeURIComponent(order.order_id)}/approve`, token: true, reason: false, body: () => ({ by: "dashboard" }) }));
  return button;
}

function refusals(found) {
  by("refusals").replaceChildren(table(
    [["when"], ["symbol"], ["guard"], ["value"], ["limit", "wrap"]],
    found.refusals.map((one) => [shortTime(one.at), one.symbol, one.code, one.value, one.limit]),
    "No guard refused anything."));
}

function decisions(found) {
  by("decisions").replaceChildren(table(
    [["when (UTC)"], ["symbol"], ["action"], ["probability", "num"], ["base rate", "num"], ["price", "num"], ["for session"], ["trades"], [""]],
    found.decisions.map((one) => [shortTime(one.timestamp), one.symbol, action(one), one.probability.toFixed(3), one.base_rate.toFixed(3),
      one.current_price.toFixed(2), one.target_session, one.may_trade ? "may" : "no", traced(one.trace_id, "trace")]),
    "Nothing was decided yet."));
}

async function show(id) {
  by("trace-title").textContent = `Trace ${id}`;
  by("trace-body").replaceChildren(element("p", { class: "empty" }, "Loading"));
  by("trace").showModal();
  try {
    by("trace-body").replaceChildren(...waterfall((await ask(`v1/traces/${id}`)).spans));
  } catch (error) {
    by("trace-body").replaceChildren(element("p", { class: "bad" }, error.message));
  }
}

// To stop takes no token where the page was let in by one that may; to resume always does.
function askToken(wanted) {
  by("change-token-label").hidden = !wanted;
  by("change-token").required = wanted;
}

// What the dialog confirms: the route, whether it needs a token and a reason, and the body.
let change = null;
function begin(title, wanted) {
  change = wanted;
  by("change-title").textContent = title;
  by("change-error").hidden = true;
  by("change-reason-label").hidden = !wanted.reason;
  by("change-reason").required = wanted.reason;
  askToken(wanted.token);
  by("change").showModal();
}

// What is resumed is what was shown when the button was pressed: a later halt is refused, not cleared unseen.
by("halt").addEventListener("click", () => {
  const resuming = halted, seen = newestHalt;
  begin(resuming ? "Allow orders again" : "Stop every order", {
    path: resuming ? "v1/resume" : "v1/halt", token: resuming, reason: true,
    body: () => ({ reason: by("change-reason").value, source: "dashboard", ...(resuming && { seen }) }) });
});
by("change-cancel").addEventListener("click", () => by("change").close());
by("change-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const token = by("change-token").value.trim();
  try {
    await ask(change.path, {
      method: "POST",
      priority: "high", // before whatever this and other pages ask meanwhile
      headers: { "Content-Type": "application/json", ...(token ? { Authorization: `Bearer ${token}` } : {}) },
      body: JSON.stringify(change.body()),
    });
    by("change-token").value = "";
    by("change").close();
    soon();
  } catch (error) {
    if (error.status === 401 || error.status === 403) askToken(true);
    by("change-error").textContent = error.message;
    by("change-error").hidden = false;
  }
});

let waiting = false, last = 0, busy = false;
function soon() {
  if (waiting || document.hidden) return;
  waiting = true;
  setTimeout(async () => {
    waiting = false;
    if (busy) return soon();
    busy = true;
    last = Date.now();
    try { await refresh(); } finally { busy = false; }
  }, Math.max(0, LEAST_PAUSE - (Date.now() - last)));
}

// The stream is news, not truth: without it, and now and then beside it, the page looks by itself.
const streaming = watch(soon);
setInterval(() => {
  const quiet = Date.now() - last;
  if (quiet > REST || (!streaming() && quiet > POLL)) soon();
}, 1000);
document.addEventListener("visibilitychange", soon);
soon();
