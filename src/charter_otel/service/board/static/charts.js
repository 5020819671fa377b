// Small charts as SVG. Their labels state their content, for users who do not see them.

import { el, say } from "./dom.js";
import { clock, measure, now } from "./format.js";

const WIDTH = 300;
const HEIGHT = 72;
/** Seconds without a reading after which the line has a gap. */
const GAP = 12;

/** Return the path of a line through points `{x, y}`; null starts a new line. */
function path(points) {
  let pen = "M";
  const parts = [];
  for (const point of points) {
    if (point === null) pen = "M";
    else {
      parts.push(`${pen}${point.x.toFixed(1)} ${point.y.toFixed(1)}`);
      pen = "L";
    }
  }
  return parts.join("");
}

/** A line over the last minutes, with its value now, the lowest and the highest. */
export class LineChart {
  #line = el("path", { class: "line" });
  #area = el("path", { class: "area" });
  #cursor = el("line", { class: "cursor", y1: 0, y2: HEIGHT, visibility: "hidden" });
  #value = el("strong");
  #range = el("span", { class: "hint" });
  #svg;
  #points = [];

  /** `most` is the end of the scale; without it the scale follows the readings. */
  constructor({ title, field, unit, longest = 300, most = null }) {
    Object.assign(this, { title, field, unit, longest, most, seconds: longest });
    this.#svg = el(
      "svg",
      {
        viewBox: `0 0 ${WIDTH} ${HEIGHT}`,
        preserveAspectRatio: "none",
        role: "img",
        pointermove: (event) => this.#point(event),
        pointerleave: () => this.#leave(),
      },
      [0.25, 0.5, 0.75].map((part) =>
        el("line", { class: "rule", x1: 0, x2: WIDTH, y1: HEIGHT * part, y2: HEIGHT * part }),
      ),
      this.#area,
      this.#line,
      this.#cursor,
    );
    this.element = el(
      "figure",
      { class: "chart" },
      el("figcaption", {}, el("span", {}, title), this.#value, this.#range),
      this.#svg,
    );
  }

  /** Show readings `{at, …}`, oldest first. The scale of time grows with them, from a minute on. */
  show(readings) {
    const end = now();
    const shown = readings.filter((reading) => reading.at > end - this.longest);
    this.seconds = Math.max(60, end - (shown[0]?.at ?? end));
    const values = shown.map((reading) => reading[this.field]);
    const most = this.most ?? Math.max(1, ...values) * 1.15;
    this.#points = shown.map((reading) => ({
      x: WIDTH * (1 - (end - reading.at) / this.seconds),
      y: HEIGHT - 2 - (HEIGHT - 4) * Math.min(1, reading[this.field] / most),
      reading,
    }));
    // The last reading holds until the next one comes, or should have come.
    const last = this.#points.at(-1);
    if (last && end - last.reading.at < GAP) this.#points.push({ ...last, x: WIDTH });
    this.#draw();
    this.#tell(values);
  }

  #draw() {
    const gap = (WIDTH * GAP) / this.seconds;
    const parts = this.#points.flatMap((point, index) => {
      const previous = this.#points[index - 1];
      return previous && point.x - previous.x > gap ? [null, point] : [point];
    });
    this.#line.setAttribute("d", path(parts));
    const first = this.#points[0];
    const last = this.#points.at(-1);
    this.#area.setAttribute(
      "d",
      first ? `${path(this.#points)}L${last.x} ${HEIGHT}L${first.x} ${HEIGHT}Z` : "",
    );
  }

  #tell(values) {
    if (values.length === 0) {
      say(this.#value, "–");
      say(this.#range, "no reading yet");
      this.#svg.setAttribute("aria-label", `${this.title}: no reading yet`);
      return;
    }
    const [low, high] = [Math.min(...values), Math.max(...values)];
    say(this.#value, measure(values.at(-1), this.unit));
    say(this.#range, `${measure(low, "")}– ${measure(high, this.unit)}`);
    this.#svg.setAttribute(
      "aria-label",
      `${this.title}: ${measure(values.at(-1), this.unit)}, from ${measure(low, this.unit)} to ${measure(high, this.unit)}`,
    );
  }

  #point(event) {
    const box = this.#svg.getBoundingClientRect();
    const x = ((event.clientX - box.left) / box.width) * WIDTH;
    const near = this.#points.reduce(
      (best, point) => (!best || Math.abs(point.x - x) < Math.abs(best.x - x) ? point : best),
      null,
    );
    if (!near) return;
    for (const name of ["x1", "x2"]) this.#cursor.setAttribute(name, near.x);
    this.#cursor.setAttribute("visibility", "visible");
    say(this.#range, `${measure(near.reading[this.field], this.unit)} at ${clock(near.reading.at)}`);
  }

  #leave() {
    this.#cursor.setAttribute("visibility", "hidden");
  }
}

/** A line without a scale, for a tile or a row. */
export function sparkline(values, label) {
  const high = Math.max(1e-9, ...values);
  const points = values.map((value, index) => ({
    x: values.length > 1 ? (100 * index) / (values.length - 1) : 100,
    y: 22 - (20 * value) / high,
  }));
  return el(
    "svg",
    { class: "spark", viewBox: "0 0 100 24", preserveAspectRatio: "none", role: "img", "aria-label": label },
    el("path", { class: "area", d: points.length > 1 ? `${path(points)}L100 24L0 24Z` : "" }),
    el("path", { class: "line", d: path(points) }),
  );
}

/** A bar for each run of a job: its height is the duration, its tone the outcome. Each leads to its event. */
export function runBars(runs, { most = 40 } = {}) {
  const shown = runs.slice(-most);
  const longest = Math.max(0.001, ...shown.map((run) => run.seconds ?? 0));
  const bars = shown.map((run) => {
    const bar = el("a", {
      class: `run ${run.outcome}`,
      href: `#/events/${encodeURIComponent(run.event.id)}`,
      title: `${clock(run.at)} ${run.outcome}${run.seconds ? `, ${measure(run.seconds * 1000, "ms")}` : ""}`,
      tabindex: "-1",
    });
    bar.style.setProperty("--height", Math.max(0.12, (run.seconds ?? 0) / longest));
    return bar;
  });
  return el(
    "div",
    { class: "runs", role: "group", "aria-label": `The last ${shown.length} runs, ${shown.filter((run) => run.outcome === "failed").length} failed` },
    bars,
  );
}
