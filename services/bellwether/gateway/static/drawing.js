// What is drawn: elements, tables, the equity curve, the gauge of a probability, a trace as a waterfall.

const SVG = "http://www.w3.org/2000/svg";

export function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  fill(made, attributes, children);
  return made;
}

export function drawing(tag, attributes = {}, ...children) {
  const made = document.createElementNS(SVG, tag);
  fill(made, attributes, children);
  return made;
}

function fill(made, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value !== null && value !== undefined) made.setAttribute(name, value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
}

const MONEY = new Intl.NumberFormat("en", { minimumFractionDigits: 2, maximumFractionDigits: 2 });
const WHOLE = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });

export const money = (text) => (text === null || text === undefined ? "–" : MONEY.format(Number(text)));
export const whole = (number) => WHOLE.format(number);
export const shortTime = (text) => (text ? text.slice(0, 16).replace("T", " ") : "–");

export function table(columns, rows, nothing) {
  if (!rows.length) return element("p", { class: "empty" }, nothing);
  const head = element("tr", {}, ...columns.map(([title, kind]) => element("th", { class: kind }, title)));
  const body = rows.map((cells) =>
    element("tr", {}, ...cells.map((cell, index) => element("td", { class: columns[index][1] }, cell ?? "–"))));
  return element("table", {}, element("thead", {}, head), element("tbody", {}, ...body));
}

export function curve(points, began) {
  if (points.length < 2) return element("p", { class: "empty" }, "The equity curve begins with the second session.");
  const values = points.map((point) => Number(point.equity));
  const low = Math.min(began, ...values), high = Math.max(began, ...values);
  const room = (high - low || 1) * 0.08;
  const width = 1000, height = 200, left = 0, right = 2, top = 6, bottom = 20;
  const x = (index) => left + (index / (values.length - 1)) * (width - left - right);
  const y = (value) => top + (1 - (value - low + room) / (high - low + 2 * room)) * (height - top - bottom);
  const line = values.map((value, index) => `${x(index).toFixed(1)},${y(value).toFixed(1)}`).join(" L");
  const made = drawing("svg", { viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: "none", role: "img",
    "aria-label": `Equity from ${money(values[0])} to ${money(values.at(-1))}` });
  for (const value of ticks(low, high)) {
    made.append(drawing("line", { class: "grid", x1: left, x2: width - right, y1: y(value), y2: y(value) }));
  }
  made.append(
    drawing("path", { class: "area", d: `M${line} L${x(values.length - 1)},${height - bottom} L${left},${height - bottom} Z` }),
    drawing("line", { class: "start", x1: left, x2: width - right, y1: y(began), y2: y(began) }),
    drawing("path", { class: "line", d: `M${line}` }));
  return labelled(made, points, ticks(low, high).map((value) => [y(value) / height, whole(value)]));
}

// Text is laid over the drawing, which is stretched to any width.
function labelled(made, points, marks) {
  const frame = element("div", { class: "frame" }, made);
  frame.style.position = "relative";
  frame.style.height = "100%";
  frame.style.paddingLeft = "56px";
  const put = (text, style) => {
    const label = element("span", { class: "label" }, text);
    Object.assign(label.style, { position: "absolute", fontSize: "11px", ...style });
    frame.append(label);
  };
  for (const [share, text] of marks) put(text, { left: "0", top: `calc(${share * 100}% - 8px)` });
  put(points[0].session, { left: "56px", bottom: "0" });
  put(points.at(-1).session, { right: "0", bottom: "0" });
  return frame;
}

function ticks(low, high) {
  const rough = (high - low || 1) / 4;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((one) => one >= rough);
  const found = [];
  for (let value = Math.ceil(low / step) * step; value <= high; value += step) found.push(value);
  return found;
}

export function gauge(prediction) {
  // The middle is the base rate; a bar goes from it to the probability, at 10 percentage points per half.
  const reach = 0.1, middle = 100;
  const lean = Math.max(-1, Math.min(1, (prediction.probability - prediction.base_rate) / reach));
  const to = middle + lean * 100;
  const side = prediction.action.replace("STRONG_", "");
  return drawing("svg", { class: "gauge", viewBox: "0 0 200 22", preserveAspectRatio: "none", role: "img",
    "aria-label": `probability ${prediction.probability.toFixed(3)}, base rate ${prediction.base_rate.toFixed(3)}` },
    drawing("rect", { class: "track", x: 0, y: 7, width: 200, height: 8, rx: 4 }),
    drawing("rect", { class: side, x: Math.min(middle, to), y: 7, width: Math.max(1.5, Math.abs(to - middle)), height: 8 }),
    drawing("rect", { class: "base", x: middle - 0.75, y: 3, width: 1.5, height: 16 }));
}

export function waterfall(spans) {
  const first = Math.min(...spans.map((span) => span.start_ns));
  // A fill can come a session later: bars show the part before the longest pause.
  const near = spans.filter((span) => span.start_ns - first < 5e9);
  const total = Math.max(...near.map((span) => span.start_ns - first + span.duration_ms * 1e6), 1);
  return ordered(spans).map(([span, depth]) => row(span, depth, first, total));
}

function ordered(spans) {
  const known = new Set(spans.map((span) => span.span_id));
  const below = new Map();
  for (const span of [...spans].sort((a, b) => a.start_ns - b.start_ns)) {
    const parent = known.has(span.parent_span_id) ? span.parent_span_id : null;
    below.set(parent, [...(below.get(parent) ?? []), span]);
  }
  const found = [];
  const walk = (parent, depth) => {
    for (const span of below.get(parent) ?? []) {
      found.push([span, depth]);
      walk(span.span_id, depth + 1);
    }
  };
  walk(null, 0);
  return found;
}

function row(span, depth, first, total) {
  const facts = Object.entries(span.attributes)
    .filter(([name]) => !name.startsWith("rpc.") && !name.startsWith("messaging."))
    .map(([name, value]) => `${name.replace("bellwether.", "")}=${brief(value)}`).join("  ");
  const what = element("div", { class: "what" },
    element("span", { class: "who" }, span.service), " ", element("b", {}, span.name.startsWith(`${span.service}.`) ? span.name.slice(span.service.length + 1) : span.name),
    facts || span.status_message ? element("div", { class: "facts" }, span.status_message ? `${span.status_message}  ` : "", facts) : null,
    ...span.links.map((link) => element("div", { class: "facts" }, `linked to trace ${link.trace_id}`)));
  what.style.paddingLeft = `${depth * 18}px`;
  const from = Math.min((span.start_ns - first) / total, 1) * 1000;
  const long = Math.max((span.duration_ms * 1e6 / total) * 1000, 3);
  const late = span.start_ns - first > total;
  const bar = drawing("svg", { viewBox: "0 0 1000 18", preserveAspectRatio: "none" },
    late ? null : drawing("rect", { class: "bar", x: Math.min(from, 997), y: 5, width: Math.min(long, 1000 - from), height: 8, rx: 2 }));
  const took = late ? `${took_text(span.duration_ms)}, ${took_text((span.start_ns - first) / 1e6)} later` : took_text(span.duration_ms);
  return element("div", { class: `span ${span.status}` }, what, element("div", {}, bar, element("div", { class: "took" }, took)));
}

function brief(value) {
  if (typeof value === "number") return Number.isInteger(value) ? value : value.toPrecision(4);
  const text = String(value);
  return text.length > 44 ? `${text.slice(0, 14)}…` : text;
}

function took_text(milliseconds) {
  if (milliseconds < 1) return `${Math.round(milliseconds * 1000)} µs`;
  return milliseconds < 1000 ? `${milliseconds.toFixed(1)} ms` : `${(milliseconds / 1000).toFixed(2)} s`;
}
