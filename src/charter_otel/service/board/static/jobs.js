// The jobs: their states, their next runs, and the durations of their runs.

import { runBars } from "./charts.js";
import { byId, el, link, moment, reconcile, say } from "./dom.js";
import { count, duration, left, now, plural } from "./format.js";
import { lastOutcome } from "./tiles.js";

/** Return the jobs of this instance, and those known only from events. */
export function known(overview, events) {
  const jobs = new Map((overview?.jobs ?? []).map((job) => [job.job_id, job]));
  for (const id of events.jobs()) {
    if (!jobs.has(id)) jobs.set(id, { job_id: id, next_run_at: null, active_runs: 0, last_outcome: null });
  }
  return [...jobs.values()].sort((a, b) => (a.job_id < b.job_id ? -1 : 1));
}

/** Return the state of a job: running, completed, failed or waiting. */
export function standing(job, events) {
  if (job.active_runs > 0) return "running";
  return lastOutcome(job, events) ?? "waiting";
}

/** Show the jobs. */
export function render({ overview, events }) {
  const jobs = known(overview, events);
  say(byId("jobs-hint"), jobs.length ? "" : "no job has run yet");
  reconcile(byId("jobs"), jobs, {
    key: (job) => job.job_id,
    create: row,
    update: (element, job) => fill(element.parts, job, events),
  });
}

function row(job) {
  const parts = {
    state: el("span", { class: "state" }),
    facts: el("p", { class: "facts" }),
    due: el("p", { class: "due" }),
    runs: el("div", { class: "runs-box" }),
    error: el("p", { class: "error", hidden: true }),
  };
  const element = el(
    "article",
    { class: "job" },
    el("div", {}, el("h3", {}, link(`#/jobs/${encodeURIComponent(job.job_id)}`, job.job_id)), parts.facts, parts.error),
    parts.runs,
    el("div", { class: "job-end" }, parts.state, parts.due),
  );
  element.parts = parts;
  return element;
}

function fill(parts, job, events) {
  const state = standing(job, events);
  const runs = events.runs(job.job_id);
  const last = runs.findLast((run) => run.outcome !== "running");
  parts.state.dataset.tone = { running: "busy", completed: "good", failed: "bad" }[state] ?? "";
  say(parts.state, state);
  facts(parts.facts, last ?? ofInstance(job));
  say(parts.due, due(job));
  const error = last?.error ?? job.last_error;
  parts.error.hidden = !(state === "failed" && error);
  say(parts.error, error ?? "");
  const drawn = `${runs.length} ${last?.event.id} ${state}`;
  if (parts.drawn !== drawn) {
    parts.drawn = drawn;
    parts.runs.replaceChildren(runBars(runs));
  }
}

/** Return a job's last run as its instance knows it: during an outage of the stream no event shows it. */
function ofInstance(job) {
  if (!job.last_ended_at) return null;
  return { at: job.last_ended_at, seconds: job.last_duration_ms / 1000, error: job.last_error };
}

function facts(element, last) {
  const key = String(last?.at);
  if (element.dataset.key === key) return;
  element.dataset.key = key;
  if (!last) {
    element.replaceChildren("no run has ended yet");
    return;
  }
  const entries = last.entries === undefined ? "" : `, ${plural(last.entries, "entry", "entries")}`;
  element.replaceChildren("last run ", moment(last.at), ` took ${duration(last.seconds)}${entries}`);
}

/** Return when the next run is due, in words. */
export function due(job) {
  if (job.next_run_at === null || job.next_run_at === undefined) return "not scheduled here";
  return job.next_run_at > now() ? `next in ${left(job.next_run_at)}` : "due now";
}

/** Return the number of runs on this instance, in words. */
export function tally(job) {
  return `${count(job.completed_runs ?? 0)} completed, ${count(job.failed_runs ?? 0)} failed on this instance`;
}
