// The data of the page: bounded, whatever the fleet does.

import { now } from "./format.js";

export const TYPES = {
  "metrics.aggregation_started": { short: "run started", tone: "quiet" },
  "metrics.aggregation_completed": { short: "run completed", tone: "good" },
  "metrics.aggregation_failed": { short: "run failed", tone: "bad" },
  "telemetry.connection_established": { short: "connected", tone: "good" },
  "telemetry.connection_closed": { short: "closed", tone: "quiet" },
  "telemetry.metrics_published": { short: "readings", tone: "quiet" },
};

/** The service's marks: thresholds, and the close reasons that need no attention. */
export const marks = { battery_low: 0, cpu_high: 101, expected_reasons: [] };

/** Return whether a close needs no attention. */
export function isExpected(reason) {
  return marks.expected_reasons.includes(reason);
}

const EVENTS_OF_A_TYPE = 300;
const READINGS_OF_A_ROBOT = 600;
const ROBOTS_WITH_READINGS = 250;
const SAMPLES = 120;

/** The latest events, so many of each type: a busy type pushes no other out. */
export class Events {
  #byType = new Map();
  #ids = new Set();
  total = 0;
  /** Times of the events of the last minute. */
  #arrivals = [];

  /** Add an event; one that is known already changes nothing. Return whether it is new. */
  add(event, { live = true } = {}) {
    if (this.#ids.has(event.id)) return false;
    const ring = this.#byType.get(event.type) ?? [];
    this.#byType.set(event.type, ring);
    this.#ids.add(event.id);
    let place = ring.length;
    while (place > 0 && ring[place - 1].timestamp > event.timestamp) place -= 1;
    ring.splice(place, 0, event);
    if (ring.length > EVENTS_OF_A_TYPE) this.#ids.delete(ring.shift().id);
    if (live) this.total += 1;
    if (event.timestamp > now() - 60) this.#arrivals.push(event.timestamp);
    return true;
  }

  /** Return the latest events that pass, the latest first. */
  latest(limit, passes = () => true) {
    return [...this.#byType.values()]
      .flatMap((ring) => ring.filter(passes))
      .sort((a, b) => b.timestamp - a.timestamp || (a.id < b.id ? 1 : -1))
      .slice(0, limit);
  }

  find(id) {
    for (const ring of this.#byType.values()) {
      const found = ring.find((event) => event.id === id);
      if (found) return found;
    }
    return null;
  }

  /** Return the types that were seen, known ones first. */
  types() {
    return [...new Set([...Object.keys(TYPES), ...this.#byType.keys()])];
  }

  held(type) {
    return this.#byType.get(type)?.length ?? 0;
  }

  /** Return how many events there were in the last minute. */
  perMinute() {
    const begin = now() - 60;
    this.#arrivals = this.#arrivals.filter((at) => at > begin);
    return this.#arrivals.length;
  }

  /** Return the runs of a job, oldest first: each start with its end, by correlation id or by time. */
  runs(jobId) {
    const runs = new Map();
    const events = this.latest(
      3 * EVENTS_OF_A_TYPE,
      (event) => event.type.startsWith("metrics.aggregation_") && event.payload.job_id === jobId,
    ).reverse();
    for (const event of events) {
      const key = event.meta.correlation_id ?? event.id;
      const run = runs.get(key) ?? { at: event.timestamp, outcome: "running" };
      runs.set(key, run);
      run.event = event;
      if (event.type === "metrics.aggregation_started") run.startedAt = event.payload.started_at;
      else if (event.type === "metrics.aggregation_completed") {
        run.outcome = "completed";
        run.seconds = event.payload.duration_ms / 1000;
        run.entries = event.payload.entries_processed;
      } else {
        run.outcome = "failed";
        run.seconds = run.startedAt ? event.payload.failed_at - run.startedAt : null;
        run.error = `${event.payload.error_type}: ${event.payload.error_message}`;
      }
    }
    return [...runs.values()];
  }

  /** Return the ids of the jobs that appear in events. */
  jobs() {
    return new Set(
      this.latest(3 * EVENTS_OF_A_TYPE, (event) => event.type.startsWith("metrics.aggregation_")).map(
        (event) => event.payload.job_id,
      ),
    );
  }
}

/** Readings of the robots that are or were in sight, for the charts. */
export class Readings {
  #robots = new Map();

  /** Add a robot's newest reading; the same one again changes nothing. */
  add({ robot_id: id, metrics, updated_at: at }) {
    if (!metrics) return;
    const known = this.#robots.get(id) ?? [];
    this.#robots.delete(id);
    this.#robots.set(id, known);
    if (known.length && known.at(-1).at >= at) return;
    known.push({ at, ...metrics });
    if (known.length > READINGS_OF_A_ROBOT) known.shift();
    if (this.#robots.size > ROBOTS_WITH_READINGS) this.#robots.delete(this.#robots.keys().next().value);
  }

  of(id) {
    return this.#robots.get(id) ?? [];
  }
}

/** A number over time, as the tiles show it. */
export class Series {
  points = [];

  add(value) {
    this.points.push({ at: now(), value });
    if (this.points.length > SAMPLES) this.points.shift();
  }
}
