// The main program: REST gives the state, the event stream tells when to ask again.

import { Refused, get } from "./api.js";
import { Details } from "./details.js";
import { byId, say } from "./dom.js";
import { Feed } from "./feed.js";
import { age, clock, now, setClock } from "./format.js";
import * as jobs from "./jobs.js";
import * as notices from "./notices.js";
import { Robots } from "./robots.js";
import { Events, Readings, Series, marks } from "./store.js";
import { Follower } from "./stream.js";
import * as theme from "./theme.js";
import * as tiles from "./tiles.js";
import * as token from "./token.js";

const EVERY = 2_000;
const EVERY_IN_BACKGROUND = 15_000;
/** Events come in bursts: the shortest time between two drawings, and between two requests. */
const DRAWN_EVERY = 250;
const ASKED_EVERY = 700;
const RECENT = 200;

const state = {
  overview: null,
  ready: null,
  events: new Events(),
  history: { online: new Series(), offline: new Series(), connections: new Series(), events: new Series() },
};
const readings = new Readings();
const feed = new Feed(state.events);
const robots = new Robots(readings, () => refresh());
const details = new Details({
  events: state.events,
  readings,
  overview: () => state.overview,
  grafana: () => state.overview?.grafana_url ?? null,
});

/** Time since which the service has not answered; null while it does. */
let lostAt = null;
let following = false;
let drawing = null;
let asking = null;
let timer = null;

/** Draw soon, once for all that happens until then. */
function draw() {
  drawing ??= setTimeout(() => {
    drawing = null;
    tiles.render(state);
    jobs.render(state);
    feed.render();
    details.render();
    document.title = `${notices.trouble() ? "\u26a0 " : ""}${details.title}`;
    tick();
  }, DRAWN_EVERY);
}

/** Ask the service soon, once for all that happens until then. */
function askSoon() {
  asking ??= setTimeout(() => {
    asking = null;
    refresh();
  }, ASKED_EVERY);
}

/** Ask the service for its state. */
async function refresh() {
  clearTimeout(timer);
  try {
    const overview = await get("api/board");
    const [ready] = await Promise.all([get("readyz", { also: [503] }), robots.refresh()]);
    take(overview, ready);
  } catch (error) {
    failed(error);
    if (error instanceof Refused && error.wantsToken) return;
  }
  clearTimeout(timer);
  timer = setTimeout(refresh, document.hidden ? EVERY_IN_BACKGROUND : EVERY);
}

function take(overview, ready) {
  setClock(overview.now);
  answers();
  const grafana = byId("grafana");
  if (overview.grafana_url) grafana.href = `${overview.grafana_url.replace(/\/+$/, "")}/d/charter-fleet`;
  grafana.hidden = !overview.grafana_url;
  say(byId("version"), overview.version);
  Object.assign(marks, overview.marks);
  robots.count(overview);
  Object.assign(state, { overview, ready });
  const { online, offline, connections, events } = state.history;
  online.add(overview.fleet.online);
  offline.add(overview.fleet.offline);
  connections.add(overview.connections);
  events.add(state.events.perMinute());
  notices.dependencies(ready);
  draw();
}

function failed(error) {
  if (error instanceof Refused && error.wantsToken) token.ask(error);
  else if (!(error instanceof Refused)) lost(error);
}

/** Record that the service answers, and whether events come. */
function answers() {
  if (lostAt !== null) notices.found(lostAt);
  lostAt = null;
  showLink(following ? "live" : "lost", following ? "live" : "no events");
}

/** Record that the service does not answer. */
function lost(error) {
  lostAt ??= now();
  showLink("lost", "no connection");
  notices.lost(lostAt, reason(error));
}

function reason(error) {
  if (error instanceof TypeError) return "it does not answer";
  if (error.name === "TimeoutError") return "it takes too long to answer";
  return error.message || "it does not answer";
}

function showLink(kind, text) {
  byId("link").dataset.state = kind;
  say(byId("link-text"), text);
}

const follower = new Follower({
  onEvent(event) {
    if (!state.events.add(event)) return;
    if (event.type !== "telemetry.metrics_published") askSoon();
    draw();
  },
  async onOpen() {
    following = true;
    answers();
    askSoon();
    try {
      // Robots that come and go push the jobs' runs out of the latest events: these are asked for by themselves.
      const queries = [{ limit: RECENT }, { type: "metrics.*", limit: RECENT }];
      for (const recent of await Promise.all(queries.map((query) => get("api/events", { query })))) {
        for (const event of recent) state.events.add(event, { live: false });
      }
      draw();
    } catch (error) {
      failed(error);
    }
  },
  onLost(error) {
    following = false;
    if (error instanceof Refused && error.wantsToken) {
      showLink("waiting", "waits for a token");
      token.ask(error);
    } else if (error instanceof Refused) showLink("lost", "no events");
    else lost(error);
  },
});

/** Keep the times and ages on the page current. */
function tick() {
  for (const element of document.querySelectorAll("time[data-at]")) {
    const at = Number(element.dataset.at);
    const text = age(at);
    say(element, text === "now" ? (element.dataset.suffix ? "now" : "0 s") : text + element.dataset.suffix);
    element.title ||= clock(at);
  }
}

function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "Escape" && !byId("token").open) {
    if (location.hash.length > 2) location.hash = "#/";
    return;
  }
  if (event.target.closest("input, select, textarea, dialog")) return;
  if (event.key === "/") {
    event.preventDefault();
    robots.focus();
  } else if (event.key === "p") feed.hold();
  else if (event.key === "t") byId("theme").click();
}

theme.setUp(byId("theme"));
tiles.setUp();
token.setUp(() => {
  follower.retry();
  refresh();
});
document.addEventListener("keydown", onKey);
document.addEventListener("visibilitychange", () => document.hidden || refresh());
window.addEventListener("online", () => follower.retry());
window.addEventListener("pagehide", () => follower.hangUp());
window.addEventListener("pageshow", (event) => event.persisted && follower.retry());
details.open();
setInterval(() => {
  tick();
  draw();
}, 1_000);
refresh();
follower.run();
