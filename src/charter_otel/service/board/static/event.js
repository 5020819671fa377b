// One event: its envelope and its links.

import { el, link } from "./dom.js";
import { EventList, bring, explore, facts, toGrafana, when } from "./facts.js";

export class EventDetails {
  #body;
  #same = new EventList("Of the same trace");
  #event = null;

  constructor(id, body, context) {
    Object.assign(this, { id, context });
    this.#body = body;
    this.#find();
  }

  async #find() {
    const { events } = this.context;
    if (!events.find(this.id)) {
      const at = Number(this.id.match(/_([0-9]{13})_/)?.[1]) / 1000;
      if (Number.isFinite(at)) await bring(events, at);
    }
    if (!events.find(this.id)) {
      this.#body.replaceChildren(
        el("p", { class: "notice warn" }, "The stream does not hold this event any more; the audit log and Loki have it."),
      );
    }
    this.render();
  }

  render() {
    const { events } = this.context;
    const event = events.find(this.id);
    if (event && !this.#event) {
      this.#event = event;
      this.#body.replaceChildren(...this.#parts(event));
    }
    const trace = this.#event?.meta.correlation_id;
    if (trace) this.#same.show(events.latest(30, (one) => one.meta.correlation_id === trace));
  }

  #parts(event) {
    const trace = event.meta.correlation_id;
    return [
      facts({
        Type: event.type,
        Time: when(event.timestamp),
        Source: event.source,
        Trace: trace
          ? link(`#/traces/${encodeURIComponent(trace)}`, trace, { class: "trace-id" })
          : "none: the event belongs to no trace",
        ...subjects(event.payload),
      }),
      trace
        ? (toGrafana(this.context.grafana(), [
            ["Trace in Grafana", explore(trace)],
            ["History in Grafana", "/d/charter-audit"],
          ]) ?? "")
        : "",
      el("section", {}, el("h3", {}, "Envelope"), el("pre", { tabindex: "0" }, JSON.stringify(event, null, 2))),
      trace ? this.#same.element : "",
    ];
  }
}

/** Return links to the subjects of an event. */
function subjects({ robot_id: robot, job_id: job }) {
  return {
    Robot: robot ? link(`#/robots/${encodeURIComponent(robot)}`, robot) : null,
    Job: job ? link(`#/jobs/${encodeURIComponent(job)}`, job) : null,
  };
}
