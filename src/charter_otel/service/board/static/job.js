// One job: its state and its last runs.

import { runBars } from "./charts.js";
import { el, link } from "./dom.js";
import { facts, toGrafana, when } from "./facts.js";
import { clock, duration, plural } from "./format.js";
import { due, known, standing, tally } from "./jobs.js";

export class JobDetails {
  #body;
  #drawn = null;

  constructor(id, body, context) {
    Object.assign(this, { id, context });
    this.#body = body;
  }

  render() {
    const { events, overview } = this.context;
    const job = known(overview(), events).find((one) => one.job_id === this.id);
    if (!job) {
      this.#body.replaceChildren(el("p", { class: "notice warn" }, "No job of this name has run here."));
      return;
    }
    const runs = events.runs(this.id);
    const drawn = JSON.stringify([job, runs.length, runs.at(-1)?.outcome, due(job)]);
    if (drawn === this.#drawn) return;
    this.#drawn = drawn;
    this.#body.replaceChildren(...this.#parts(job, runs));
  }

  #parts(job, runs) {
    const state = standing(job, this.context.events);
    const tone = { running: "busy", completed: "good", failed: "bad" }[state] ?? "";
    return [
      facts({
        Status: el("span", { class: "state", "data-tone": tone }, state),
        Next: due(job),
        "Last success": when(job.last_success_at),
        Runs: tally(job),
        Skipped: Object.entries(job.skipped_slots ?? {}).map(([why, many]) => `${many} ${why}`).join(", "),
      }),
      toGrafana(this.context.grafana(), [["Incidents in Grafana", "/d/charter-incidents"]]) ?? "",
      el("section", {}, el("h3", {}, "How long its runs took"), runBars(runs, { most: 120 })),
      el("section", {}, el("h3", {}, "Its last runs"), table(runs)),
    ];
  }
}

function table(runs) {
  return el(
    "ol",
    { class: "run-list" },
    runs
      .slice(-40)
      .reverse()
      .map((run) =>
        el(
          "li",
          { "data-tone": run.outcome === "failed" ? "bad" : "" },
          link(`#/events/${encodeURIComponent(run.event.id)}`, clock(run.at)),
          el("span", { class: "state", "data-tone": { completed: "good", failed: "bad" }[run.outcome] ?? "busy" }, run.outcome),
          el("span", {}, run.seconds ? duration(run.seconds) : ""),
          el("span", {}, run.error ?? (run.entries === undefined ? "" : plural(run.entries, "entry", "entries"))),
        ),
      ),
  );
}
