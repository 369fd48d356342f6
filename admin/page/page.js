"use strict";

/* What peers have chosen (identifiers, topics, payloads) goes into the page as text alone: nothing
   here parses HTML, and characters that cannot be seen are shown by their number. */

const INTERVAL_MS = 2000;
const SAMPLES = 150;
const at = (id) => document.getElementById(id);
let token = sessionStorage.getItem("token") || "";
let before = null;
let chosen = null;
let page = {};

function shown(text) {
  return text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu,
                      (one) => "\\u{" + one.codePointAt(0).toString(16) + "}");
}

function make(name, text, ...children) {
  const element = document.createElement(name);
  if (text !== undefined && text !== null)
    element.textContent = text;
  element.append(...children);
  return element;
}

function foreign(text) {
  return make("bdi", shown(text));
}

function fill(id, elements) {
  at(id).replaceChildren(...elements);
}

async function call(method, path, parameters) {
  const options = { method, headers: { Authorization: "Bearer " + token }, cache: "no-store" };
  let url = "api/v1/" + path;
  if (method === "POST")
    options.body = JSON.stringify(parameters || {});
  else if (parameters)
    url += "?" + new URLSearchParams(parameters);
  const response = await fetch(url, options);
  const text = await response.text(); // to its end, or the browser holds the connection
  if (response.status === 401) {
    leave("This token is not taken.");
    throw new Error("This token is not taken."); // several ask at once: each says the same
  }
  if (!(response.headers.get("Content-Type") || "").startsWith("application/json"))
    throw new Error(text.trim() || "status " + response.status);
  const answer = JSON.parse(text);
  if (!response.ok)
    throw new Error(answer.error);
  return answer;
}

function say(text, isBad) {
  if (at("state").textContent !== text)
    at("state").textContent = text;
  at("state").className = isBad ? "bad" : "";
}

function leave(text) {
  token = "";
  sessionStorage.removeItem("token");
  at("board").hidden = true;
  at("login").hidden = false;
  say(text, true);
}

/* ---- Numbers and plots ---- */

const sum = (numbers) => numbers.reduce((total, one) => total + one, 0);
const round = (number) => number >= 100 ? Math.round(number).toLocaleString("en")
                                        : number.toFixed(number < 10 ? 1 : 0);

/* The bound below which 99 of 100 were, in milliseconds, of what came since. */
function percentile(now, then) {
  const counts = now.counts.map((count, index) => count - then.counts[index]);
  const total = sum(counts);
  let seen = 0;
  for (let index = 0; total > 0 && index < counts.length; index++) {
    seen += counts[index];
    if (seen * 100 >= total * 99)
      return 2 ** index / 1000;
  }
  return 0;
}

const PLOTS = [
  ["PUBLISH received a second", (now, then, s) => sum(now.traffic.publish_received.map((n, i) => n - then.traffic.publish_received[i])) / s],
  ["PUBLISH sent a second", (now, then, s) => sum(now.traffic.publish_sent.map((n, i) => n - then.traffic.publish_sent[i])) / s],
  ["Commits a second", (now, then, s) => (now.store.commits - then.store.commits) / s],
  ["99 % of commits within, ms", (now, then) => percentile(now.store.commit_us, then.store.commit_us)],
  ["99 % of worker turns within, ms", (now, then) => percentile(now.turn_us, then.turn_us)],
  ["Dropped a second", (now, then, s) => (sum(Object.values(now.dropped)) - sum(Object.values(then.dropped))) / s],
];
const samples = PLOTS.map(() => []);
const SVG = "http://www.w3.org/2000/svg";
let lines = [];

function drawPlots() {
  lines = PLOTS.map(([title]) => {
    const svg = document.createElementNS(SVG, "svg");
    const line = document.createElementNS(SVG, "polyline");
    const caption = make("figcaption", title);
    svg.setAttribute("viewBox", "0 0 " + (SAMPLES - 1) + " 100");
    svg.setAttribute("preserveAspectRatio", "none");
    svg.setAttribute("aria-hidden", "true");
    svg.append(line);
    at("plots").append(make("figure", null, svg, caption));
    return { line, caption, title };
  });
}

function plot(now, then, seconds) {
  PLOTS.forEach(([title, value], index) => {
    const values = samples[index];
    values.push(value(now, then, seconds));
    if (values.length > SAMPLES)
      values.shift();
    const most = Math.max(...values, 1e-9);
    const left = SAMPLES - values.length;
    lines[index].line.setAttribute("points",
      values.map((one, x) => (left + x) + "," + (97 - 94 * one / most).toFixed(1)).join(" "));
    lines[index].caption.textContent =
      title + ": " + round(values[values.length - 1]) + " (most " + round(Math.max(...values)) + ")";
  });
}

/* Of `high` and more it has another colour. */
function bar(text, part, high) {
  const meter = document.createElement("meter");
  meter.max = 1;
  meter.high = high;
  meter.value = part;
  meter.setAttribute("aria-label", text);
  return make("li", null, make("span", text), meter);
}

/* How long a limit lasts if it goes on being filled as since the oldest sample; nothing where it does not. */
const uses = [];

function untilFull(one, index) {
  const oldest = uses[0], seconds = (performance.now() - oldest.at) / 1000;
  const growth = one.used - oldest.used[index];
  if (growth <= 0 || one.used >= one.limit)
    return "";
  return "; full in " + duration((one.limit - one.used) * seconds / growth);
}

const UNITS = [["days", 86400], ["hours", 3600], ["minutes", 60]];

function duration(seconds) {
  const [name, unit] = UNITS.find(([, one]) => seconds >= 2 * one) || ["seconds", 1];
  return Math.round(seconds / unit).toLocaleString("en") + " " + name;
}

function rememberUses(limits) {
  uses.push({ at: performance.now(), used: limits.map((one) => one.used) });
  if (uses.length > SAMPLES)
    uses.shift();
}

function showStats(now) {
  rememberUses(now.limits);
  at("version").textContent = now.version;
  say(now.store.stalled ? "The disk fails: QoS 1 and 2 are refused." : "Up for " + now.uptime_s + " s.",
      now.store.stalled);
  const numbers = { "Connected": now.connected, "Away": now.away, "Stored sessions": now.stored_sessions,
                    "Subscriptions": now.subscriptions, "Retained": now.retained,
                    "Messages in the store": now.store.messages + now.store.dirty_messages,
                    "Queues near full": now.queues_near_full, "Store, MB": (now.store.file_bytes / 1e6).toFixed(1) };
  fill("numbers", Object.entries(numbers).map(([name, value]) =>
    make("div", null, make("dt", name), make("dd", value.toLocaleString("en")))));
  fill("limits", now.limits.map((one, index) => one.limit > 0
    ? bar(one.name + ": " + one.used.toLocaleString("en") + " of " + one.limit.toLocaleString("en") + untilFull(one, index),
          one.used / one.limit, 0.8)
    : make("li", null, make("span", one.name + ": " + one.used.toLocaleString("en") + ", no limit"))));
  const drops = Object.entries(now.dropped).filter(([, count]) => count > 0);
  const most = Math.max(1, ...drops.map(([, count]) => count));
  fill("drops", drops.length > 0
    ? drops.map(([reason, count]) => bar(reason + ": " + count.toLocaleString("en"), count / most, 0))
    : [make("li", "Nothing was dropped.")]);
}

function certificate(one) {
  if (one.certificate_expires_s === undefined)
    return make("td", "none");
  const days = Math.floor((one.certificate_expires_s * 1000 - Date.now()) / 86400000);
  const cell = make("td", days + (days === 1 ? " day left" : " days left"));
  cell.className = days < 14 ? "bad" : "";
  return cell;
}

function showListeners(answer) {
  fill("listeners", answer.listeners.map((one) => make("tr", null, make("td", null, foreign(one.name)),
    make("td", one.address), make("td", one.transport), make("td", one.connections), certificate(one))));
}

/* ---- Sessions ---- */

function sessionRow(one) {
  const button = make("button", null, foreign(one.client));
  button.addEventListener("click", () => choose(one.client));
  const name = make("td", null, button);
  name.className = "name";
  return make("tr", null, name, make("td", one.state), make("td", one.version), make("td", one.subscriptions),
              make("td", one.queued), make("td", one.inflight));
}

function noneHere() {
  const cell = make("td", "none here");
  cell.colSpan = 6;
  return make("tr", null, cell);
}

async function listSessions(cursor) {
  const parameters = { limit: 50, state: at("which").value };
  if (at("pattern").value !== "")
    parameters.client = "*" + at("pattern").value + "*";
  if (cursor)
    parameters.cursor = cursor;
  page = await call("GET", "sessions", parameters);
  fill("sessions", page.sessions.length > 0 ? page.sessions.map(sessionRow) : [noneHere()]);
  at("more").hidden = page.next === undefined;
}

async function choose(client) {
  chosen = client;
  at("machines").replaceChildren();
  await showOne();
  at("one-title").focus();
}

/* A machine's diagram as docs/spec has it, asked for once. It is the broker's own file: clients have no part in it. */
const diagrams = {};

async function diagram(name) {
  if (diagrams[name] === undefined) {
    const response = await fetch("machine/" + name + ".svg");
    if (!response.ok)
      throw new Error("the diagram of " + name + ": status " + response.status);
    diagrams[name] = new DOMParser().parseFromString(await response.text(), "image/svg+xml").documentElement;
  }
  const svg = document.importNode(diagrams[name], true);
  svg.removeAttribute("height");
  svg.setAttribute("width", svg.viewBox.baseVal.width);
  svg.setAttribute("class", "diagram");
  svg.setAttribute("role", "img");
  return svg;
}

/* Lights states up: their names are the titles of the diagram's nodes. */
function light(svg, title, states) {
  svg.setAttribute("aria-label", title + ": " + states.join(", "));
  for (const node of svg.querySelectorAll("g.node"))
    node.classList.toggle("lit", states.includes(node.querySelector("title").textContent));
}

/* The session's machines, and those of its exchanges: many exchanges are lit in one diagram. */
function machinesOf(one) {
  const all = one.machines.map(({ name, title, state, text }) => ({ name, title, states: [state], text: state + ": " + text }));
  for (const name of new Set(one.exchanges.map((each) => each.machine))) {
    const counts = {};
    for (const each of one.exchanges.filter((other) => other.machine === name))
      counts[each.state] = (counts[each.state] || 0) + 1;
    all.push({ name, title: "Exchanges: " + name, states: Object.keys(counts),
               text: Object.entries(counts).map(([state, count]) => state + ": " + count).join(", ") });
  }
  return all;
}

async function machine(one) {
  const svg = await diagram(one.name);
  const frame = make("div", null, svg);
  frame.className = "wide";
  frame.tabIndex = 0;
  frame.setAttribute("role", "region");
  frame.setAttribute("aria-label", one.title);
  const text = make("p", one.text);
  const figure = make("section", null, make("h3", one.title), text, frame);
  light(svg, one.title, one.states);
  return { name: one.name, figure, svg, text };
}

/* The frame is smaller than the diagram: the present state is in its middle. */
function bringToMiddle({ svg }) {
  const frame = svg.parentNode, lit = svg.querySelector("g.lit");
  if (lit === null)
    return;
  const [there, here] = [lit.getBoundingClientRect(), frame.getBoundingClientRect()];
  frame.scrollLeft += there.x + there.width / 2 - here.x - here.width / 2;
  frame.scrollTop += there.y + there.height / 2 - here.y - here.height / 2;
}

/* Anew only where there are other machines than before: what a reader has scrolled to stays. */
let drawn = [];

async function showMachines(all, isCurrent) {
  const names = all.map((one) => one.name).join();
  if (names !== drawn.map((one) => one.name).join() || !at("machines").hasChildNodes()) {
    const made = await Promise.all(all.map(machine));
    if (!isCurrent())
      return;
    drawn = made;
    fill("machines", drawn.map((one) => one.figure));
    drawn.forEach(bringToMiddle);
  }
  all.forEach((one, index) => {
    light(drawn[index].svg, one.title, one.states);
    drawn[index].text.textContent = one.text;
  });
}

function step(one) {
  const ago = (one.ago_ms / 1000).toFixed(1) + " s ago: ";
  return make("li", ago + (one.machine ? one.machine + (one.instance > 0 ? " " + one.instance : "") + ": " + one.from +
                           " \u2013 " + one.event + " \u2192 " + one.to + " [" + one.why + "]"
                                       : "dropped: " + one.text));
}

const orNone = (elements) => elements.length > 0 ? elements : [make("li", "none")];

async function showOne() {
  const client = chosen;
  let one;
  try {
    one = await call("GET", "session", { client });
  } catch (error) {
    chosen = null;
    at("one").hidden = true;
    say(error.message, true);
    return;
  }
  if (chosen !== client)
    return;
  at("one").hidden = false;
  at("one-title").replaceChildren("Session ", foreign(one.client));
  at("kick").disabled = one.state !== "connected";
  await showMachines(machinesOf(one), () => chosen === client);
  fill("steps", orNone(one.steps.reverse().map(step)));
  fill("subscriptions", orNone(one.subscribed.map((each) => make("li", null, foreign(each.filter), " QoS " + each.qos))));
  fill("exchanges", orNone(one.exchanges.map((each) => make("li", null, each.packet_identifier + ": QoS " + each.qos + " ",
    foreign(each.topic || ""), " " + each.text))));
}

/* ---- Messages ---- */

async function look() {
  const answer = await call("GET", "retained", { filter: at("filter").value, limit: 200 });
  fill("retained", orNone(answer.messages.map((one) => make("li", null, foreign(one.topic), " QoS " + one.qos + ": ",
    one.payload !== undefined ? foreign(one.payload.slice(0, 500)) : one.size + " bytes"))));
}

async function publish() {
  const answer = await call("POST", "publish", { topic: at("topic").value, payload: at("payload").value,
                                                 qos: Number(at("qos").value), retain: at("retain").checked });
  at("published").textContent = "For " + answer.sessions + " sessions" + (answer.durable ? "." : "; not on disk yet.");
}

/* ---- Again and again ---- */

async function refresh() {
  const [now, listeners] = await Promise.all([call("GET", "stats"), call("GET", "listeners")]);
  const here = performance.now();
  at("login").hidden = true;
  at("board").hidden = false;
  showStats(now);
  showListeners(listeners);
  if (before !== null)
    plot(now, before.stats, (here - before.at) / 1000);
  const isFirst = before === null;
  before = { stats: now, at: here };
  if (isFirst)
    await listSessions();
  if (chosen !== null)
    await showOne();
  if (at("watch").checked)
    await look();
}

async function run() {
  if (token !== "" && !document.hidden) {
    try {
      await refresh();
    } catch (error) {
      say(token === "" ? at("state").textContent : "The broker does not answer: " + error.message, true);
    }
  }
  setTimeout(run, INTERVAL_MS);
}

function on(id, event, action) {
  at(id).addEventListener(event, async (happened) => {
    happened.preventDefault();
    try {
      await action();
    } catch (error) {
      say(error.message, true);
    }
  });
}

on("login-form", "submit", async () => {
  token = at("token").value.trim();
  at("token").value = "";
  await refresh();
  sessionStorage.setItem("token", token);
});
on("search", "submit", () => listSessions());
on("more", "click", () => listSessions(page.next));
on("kick", "click", async () => { await call("POST", "kick", { client: chosen }); await showOne(); });
on("close", "click", () => { chosen = null; at("one").hidden = true; at("pattern").focus(); });
on("publish", "submit", publish);
on("look", "submit", look);
drawPlots();
run();
