// The parts of all details: a list of facts, a list of events, and links to Grafana.

import { get } from "./api.js";
import { el, link, reconcile } from "./dom.js";
import { stamp } from "./format.js";
import { line } from "./feed.js";

const ASKED = 300;

/** Return names and values as a list; null values are left out. */
export function facts(entries) {
  return el(
    "dl",
    { class: "facts-list" },
    Object.entries(entries)
      .filter(([, value]) => value !== null && value !== undefined && value !== "")
      .flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, value)]),
  );
}

/** Return a moment in full. */
export function when(seconds) {
  return Number.isFinite(seconds) ? el("time", { datetime: stamp(seconds) }, stamp(seconds)) : null;
}

/** A list of events below a heading. */
export class EventList {
  #list = el("ol", { class: "events" });
  #none = el("p", { class: "hint" }, "none among the latest");

  constructor(title) {
    this.element = el("section", {}, el("h3", {}, title), this.#none, this.#list);
  }

  show(events) {
    this.#none.hidden = events.length > 0;
    reconcile(this.#list, events, { key: (event) => event.id, create: line });
  }
}

/** Add the events that the stream still holds from a moment on: an event's id has its time. */
export async function bring(events, seconds) {
  const before = String(Math.floor(seconds * 1000) - 1).padStart(13, "0");
  const query = { limit: ASKED, after: `evt_telemetry_${before}_zzzzzz` };
  for (const event of await get("api/events", { query }).catch(() => [])) events.add(event, { live: false });
}

/** Return links to Grafana; none if there is no Grafana. */
export function toGrafana(base, targets) {
  if (!base) return null;
  return el(
    "p",
    { class: "ways" },
    targets.map(([text, path]) =>
      link(`${base.replace(/\/+$/, "")}${path}`, text, { target: "_blank", rel: "noreferrer", class: "button" }),
    ),
  );
}

/** Return the path of a trace in Grafana's Explore. */
export function explore(traceId) {
  const panes = {
    trace: {
      datasource: "charter-tempo",
      queries: [{ refId: "A", datasource: { type: "tempo", uid: "charter-tempo" }, queryType: "traceql", query: traceId }],
      range: { from: "now-24h", to: "now" },
    },
  };
  return `/explore?schemaVersion=1&panes=${encodeURIComponent(JSON.stringify(panes))}`;
}
