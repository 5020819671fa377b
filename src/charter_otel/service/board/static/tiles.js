// The row at the top: the figures to be read from across a room.

import { sparkline } from "./charts.js";
import { byId, el, say } from "./dom.js";
import { age, count, left, plural } from "./format.js";
import { isExpected } from "./store.js";

const KINDS = ["online", "offline", "connections", "events", "jobs", "stream"];
const TITLES = {
  online: "Robots online",
  offline: "Robots offline",
  connections: "Connections",
  events: "Events a minute",
  jobs: "Jobs",
  stream: "Event stream",
};

/** Runs that the tile of the jobs looks back at. */
const RUNS = 40;

const tiles = new Map();

/** Make the tiles. */
export function setUp() {
  for (const kind of KINDS) {
    const tile = {
      value: el("p", { class: "value" }, "–"),
      note: el("p", { class: "note" }, " "),
      plot: el("div", { class: "plot" }),
    };
    tile.element = el(
      "article",
      { class: "tile", "data-kind": kind },
      el("h2", {}, TITLES[kind]),
      tile.value,
      tile.note,
      tile.plot,
    );
    tiles.set(kind, tile);
  }
  byId("tiles").replaceChildren(...KINDS.map((kind) => tiles.get(kind).element));
}

function show(kind, value, note, tone = "") {
  const tile = tiles.get(kind);
  say(tile.value, value);
  say(tile.note, note);
  tile.element.dataset.tone = tone;
}

function plot(kind, series, label) {
  const values = series.points.map((point) => point.value);
  if (values.length > 1) tiles.get(kind).plot.replaceChildren(sparkline(values, label));
}

/** Show the overview and how it has moved since the page was opened. */
export function render({ overview, ready, events, history }) {
  if (overview) fleet(overview, history);
  show("events", count(events.perMinute()), `${plural(events.total, "event")} since you look`);
  plot("events", history.events, "Events a minute, since the page was opened");
  if (overview) jobs(overview.jobs, events);
  if (ready) stream(ready.dependencies?.event_stream);
}

function fleet({ fleet: { known, online, offline, reasons }, connections, instances }, history) {
  show("online", count(online), known ? `of ${count(known)} known` : "no robot has connected yet");
  plot("online", history.online, "Robots online, since the page was opened");
  const [reason, times] = Object.entries(reasons)[0] ?? [];
  const unexpected = Object.keys(reasons).some((name) => !isExpected(name));
  show(
    "offline",
    count(offline),
    reason ? `${count(times)} × ${reason}` : "nobody is missing",
    unexpected ? "warn" : "",
  );
  plot("offline", history.offline, "Robots offline, since the page was opened");
  show("connections", count(connections), instances > 1 ? `on this one of ${count(instances)} instances` : "open now");
  plot("connections", history.connections, "Connections, since the page was opened");
}

function jobs(known, events) {
  const failing = known.filter((job) => lastOutcome(job, events) === "failed");
  const next = Math.min(...known.map((job) => job.next_run_at ?? Infinity));
  const due = Number.isFinite(next) ? `next in ${left(next)}` : "none is due";
  if (failing.length) show("jobs", `${failing.length} failing`, failing[0].job_id, "bad");
  else if (known.length) show("jobs", "well", `${due}${lately(known, events)}`, "good");
  else show("jobs", "–", "no job has run yet");
}

/** Return how many of the last runs failed, if any did. */
function lately(known, events) {
  const runs = known.flatMap((job) => events.runs(job.job_id)).slice(-RUNS);
  const failed = runs.filter((run) => run.outcome === "failed").length;
  return failed ? `; ${failed} of ${runs.length} failed` : "";
}

/** Return how a job's last run ended, on whichever instance it was. */
export function lastOutcome(job, events) {
  const ended = events.runs(job.job_id).findLast((run) => run.outcome !== "running");
  return ended && ended.at > (job.last_ended_at ?? 0) ? ended.outcome : job.last_outcome;
}

function stream(state) {
  if (!state) return;
  const long = state.since ? age(Date.parse(state.since) / 1000) : "now";
  const since = long === "now" ? "" : ` for ${long}`;
  if (state.system === "none") show("stream", "none", "events are not published");
  else if (state.status === "ready") {
    const waiting = (state.queued ?? 0) + (state.spooled ?? 0);
    const dropped = state.dropped ? `, ${count(state.dropped)} dropped` : "";
    show("stream", "ready", `${state.system ?? ""}, ${count(waiting)} waiting${dropped}`, dropped ? "warn" : "good");
  } else {
    show("stream", state.status, `${count(state.spooled ?? 0)} spooled${since}`, "bad");
  }
}
