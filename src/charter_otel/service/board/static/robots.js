// The robots, a page at a time: the service searches, filters and sorts, so that their number does not matter here.

import { get } from "./api.js";
import { byId, el, link, moment, reconcile, say } from "./dom.js";
import { count, measure, plural } from "./format.js";
import { isExpected, marks } from "./store.js";

const ROWS = 50;

/** The table of the robots. */
export class Robots {
  #offset = 0;
  #asked = 0;
  #matched = 0;
  #form = byId("robot-filters");
  #body = byId("robots").tBodies[0];

  /** `readings` keeps the readings of the rows, for the charts. */
  constructor(readings, onChange) {
    this.readings = readings;
    this.#form.addEventListener("submit", (event) => event.preventDefault());
    this.#form.addEventListener("input", () => {
      this.#offset = 0;
      onChange();
    });
    byId("pager").addEventListener("click", (event) => {
      const step = Number(event.target.dataset?.step ?? 0);
      if (!step) return;
      this.#offset = Math.max(0, this.#offset + step * ROWS);
      onChange();
    });
    byId("robots").addEventListener("click", (event) => {
      if (!event.target.closest("a")) event.target.closest("tr")?.querySelector("a")?.click();
    });
  }

  /** Put the cursor into the search field. */
  focus() {
    this.#form.elements.search.focus();
  }

  /** Show how many robots are in trouble; an instance knows this of its own robots only. */
  count({ trouble, in_trouble: many, instances }) {
    say(byId("trouble-where"), instances > 1 ? " here" : "");
    say(byId("trouble"), many ? count(many) : "");
    byId("trouble").title = Object.entries(trouble).map(([name, one]) => `${one} ${name.replaceAll("_", " ")}`).join(", ");
  }

  /** Request the page in sight and show it, unless a newer request was made meanwhile. */
  async refresh() {
    const asked = (this.#asked += 1);
    const fields = this.#form.elements;
    const answer = await get("api/board/robots", {
      query: {
        search: fields.search.value.trim(),
        status: fields.status.value,
        sort: fields.sort.value,
        limit: ROWS,
        offset: this.#offset,
      },
    });
    if (asked === this.#asked) this.#show(answer);
  }

  #show({ robots, known, matched }) {
    if (this.#offset >= matched && this.#offset > 0) this.#offset = Math.floor((matched - 1) / ROWS) * ROWS;
    this.#matched = matched;
    for (const robot of robots) this.readings.add(robot);
    reconcile(this.#body, robots, { key: (robot) => robot.robot_id, create: row, update: fill });
    const all = matched === known ? plural(known, "robot") : `${count(matched)} of ${plural(known, "robot")}`;
    say(byId("robots-hint"), known ? all : "none has connected yet: charter-otel simulate --url ws://… connects some");
    this.#page(robots.length);
  }

  #page(shown) {
    const pager = byId("pager");
    pager.hidden = this.#matched <= ROWS;
    say(byId("page"), `${count(this.#offset + 1)} – ${count(this.#offset + shown)} of ${count(this.#matched)}`);
    pager.querySelector("[data-step='-1']").disabled = this.#offset === 0;
    pager.querySelector("[data-step='1']").disabled = this.#offset + shown >= this.#matched;
  }
}

function row(robot) {
  const parts = {
    status: el("span", { class: "state" }),
    conditions: el("span", { class: "conditions" }),
    labels: el("span", { class: "labels hint" }),
    since: el("td", { "data-label": "Since" }),
    seen: el("td", { "data-label": "Last seen" }),
    cpu: el("td", { class: "number", "data-label": "CPU" }),
    memory: el("td", { class: "number", "data-label": "Memory" }),
    latency: el("td", { class: "number", "data-label": "Latency" }),
    battery: el("td", { class: "number", "data-label": "Battery" }),
  };
  const name = el(
    "th",
    { scope: "row" },
    link(`#/robots/${encodeURIComponent(robot.robot_id)}`, robot.robot_id),
    parts.status,
    parts.conditions,
    parts.labels,
  );
  const { since, seen, cpu, memory, latency, battery } = parts;
  const element = el("tr", {}, name, since, seen, cpu, memory, latency, battery);
  element.parts = parts;
  return element;
}

function fill(element, robot) {
  const { parts } = element;
  const online = robot.status === "online";
  element.dataset.status = robot.status;
  const reason = robot.last_reason ?? "offline";
  say(parts.status, online ? "online" : reason);
  parts.status.dataset.tone = online ? "good" : isExpected(reason) ? "" : "bad";
  say(parts.conditions, robot.conditions.filter((name) => name !== "lost").join(", ").replaceAll("_", " "));
  say(parts.labels, Object.values(robot.labels ?? {}).join(" · "));
  time(parts.since, online ? robot.connected_at : robot.disconnected_at, "");
  time(parts.seen, robot.last_seen_at);
  const metrics = robot.metrics ?? {};
  bar(parts.cpu, metrics.cpu_usage, (value) => value > marks.cpu_high);
  bar(parts.memory, metrics.memory_usage, () => false);
  say(parts.latency, measure(metrics.network_latency_ms, "ms"));
  bar(parts.battery, metrics.battery_percentage, (value) => value < marks.battery_low);
}

function time(cell, at, suffix) {
  if (cell.at === at && cell.firstChild) return;
  cell.at = at;
  cell.replaceChildren(moment(at, { suffix }));
}

/** Show percent as a bar, which stands out beyond its threshold. */
function bar(cell, value, inTrouble) {
  cell.firstChild ?? cell.append(el("span", { class: "bar" }, el("i"), el("b")));
  const [fillBar, text] = cell.firstChild.children;
  const known = Number.isFinite(value);
  say(text, known ? `${Math.round(value)} %` : "–");
  fillBar.style.setProperty("--part", known ? Math.min(100, Math.max(0, value)) / 100 : 0);
  cell.dataset.tone = known && inTrouble(value) ? "bad" : "";
}
