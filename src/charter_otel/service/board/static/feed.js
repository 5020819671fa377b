// The last events, the latest first, with their correlation ids.

import { byId, el, link, reconcile, say } from "./dom.js";
import { clock, count, duration, stamp } from "./format.js";
import { TYPES, isExpected } from "./store.js";

const SHOWN = 80;
const QUIET = new Set(["telemetry.metrics_published"]);

/** Return the address of an event on this page. */
export function address(event) {
  return `#/events/${encodeURIComponent(event.id)}`;
}

/** Return the content of an event in a few words. */
export function told({ type, payload: p }) {
  switch (type) {
    case "metrics.aggregation_started":
      return p.job_id;
    case "metrics.aggregation_completed":
      return `${p.job_id}: ${count(p.entries_processed)} entries in ${duration(p.duration_ms / 1000)}`;
    case "metrics.aggregation_failed":
      return `${p.job_id}: ${p.error_type}: ${p.error_message}`;
    case "telemetry.connection_established":
      return p.robot_id;
    case "telemetry.connection_closed":
      return `${p.robot_id}: ${p.reason ?? "ended"} after ${duration(p.duration_seconds)}`;
    case "telemetry.metrics_published":
      return `${p.robot_id}: CPU ${Math.round(p.metrics.cpu_usage)} %, battery ${Math.round(p.metrics.battery_percentage)} %`;
    default:
      return Object.values(p).filter((value) => typeof value !== "object").join(", ");
  }
}

/** Return the tone of an event: good, bad or quiet. */
export function tone(event) {
  const { reason } = event.payload;
  if (event.type === "telemetry.connection_closed" && reason && !isExpected(reason)) return "bad";
  return TYPES[event.type]?.tone ?? "quiet";
}

/** Return an event as a line of a list. */
export function line(event) {
  const id = event.meta?.correlation_id;
  return el(
    "li",
    { class: "event", "data-tone": tone(event), "data-id": event.id },
    el("time", { datetime: stamp(event.timestamp), title: stamp(event.timestamp) }, clock(event.timestamp)),
    link(address(event), TYPES[event.type]?.short ?? event.type, { class: "type", title: event.type }),
    el("span", { class: "told" }, told(event)),
    id
      ? link(`#/traces/${encodeURIComponent(id)}`, id, { class: "trace-id", title: `Trace ${id}` })
      : el("span", { class: "trace-id faint" }, "no trace"),
  );
}

/** The list of the events, with a choice of types and a pause. */
export class Feed {
  #hidden = new Set(QUIET);
  #held = false;
  #chips = new Map();

  constructor(events) {
    this.events = events;
    byId("hold").addEventListener("click", () => this.hold());
  }

  /** Pause the list, or resume it. */
  hold(held = !this.#held) {
    this.#held = held;
    const button = byId("hold");
    button.setAttribute("aria-pressed", String(held));
    say(button, held ? "Go on" : "Pause");
    this.render();
  }

  render() {
    for (const type of this.events.types()) this.#chip(type);
    say(byId("events-hint"), this.#held ? "paused" : "");
    if (this.#held) return;
    const shown = this.events.latest(SHOWN, (event) => !this.#hidden.has(event.type));
    reconcile(byId("events"), shown, { key: (event) => event.id, create: line });
    if (shown.length === 0) say(byId("events-hint"), "none yet");
  }

  #chip(type) {
    const held = this.events.held(type);
    const known = this.#chips.get(type);
    if (known) {
      say(known, held ? count(held) : "");
      return;
    }
    const number = el("b", {}, held ? count(held) : "");
    const box = el("input", { type: "checkbox", checked: !this.#hidden.has(type) });
    box.addEventListener("change", () => {
      this.#hidden[box.checked ? "delete" : "add"](type);
      this.hold(false);
    });
    this.#chips.set(type, number);
    byId("event-filters").append(
      el("label", { title: type }, box, el("span", {}, TYPES[type]?.short ?? type, " ", number)),
    );
  }
}
