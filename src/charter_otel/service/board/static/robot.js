// One robot: presence, live charts of its readings, its events.

import { Refused, get } from "./api.js";
import { LineChart } from "./charts.js";
import { el, link, moment } from "./dom.js";
import { EventList, facts, toGrafana, when } from "./facts.js";

const EVERY = 1_000;
const EVENTS = 30;

const CHARTS = [
  { title: "CPU", field: "cpu_usage", unit: "%", most: 100 },
  { title: "Memory", field: "memory_usage", unit: "%", most: 100 },
  { title: "Latency", field: "network_latency_ms", unit: "ms" },
  { title: "Battery", field: "battery_percentage", unit: "%", most: 100 },
];

export class RobotDetails {
  #charts = CHARTS.map((chart) => new LineChart(chart));
  #events = new EventList("Its events");
  #head = el("div");
  #robot = null;
  #drawn = null;
  #timer = null;

  constructor(id, body, context) {
    Object.assign(this, { id, context });
    body.append(
      this.#head,
      el("div", { class: "charts" }, this.#charts.map((chart) => chart.element)),
      el("p", { class: "hint" }, "The charts hold what the board saw: five minutes at most."),
      this.#events.element,
    );
    this.#poll();
  }

  close() {
    clearTimeout(this.#timer);
    this.#timer = "closed";
  }

  async #poll() {
    try {
      this.#robot = await get(`api/board/robots/${encodeURIComponent(this.id)}`);
      this.context.readings.add(this.#robot);
    } catch (error) {
      if (error instanceof Refused) this.#robot = { missing: error.message };
    }
    if (this.#timer === "closed") return;
    this.render();
    this.#timer = setTimeout(() => this.#poll(), EVERY);
  }

  render() {
    const readings = this.context.readings.of(this.id);
    for (const chart of this.#charts) chart.show(readings);
    const own = this.context.events.latest(EVENTS, (event) => event.payload.robot_id === this.id);
    this.#events.show(own);
    if (this.#robot) this.#present(this.#robot, own);
  }

  #present(robot, own) {
    const drawn = JSON.stringify([robot.status, robot.connection_id, robot.missing, robot.last_reason, robot.conditions, own.length]);
    if (drawn === this.#drawn) return;
    this.#drawn = drawn;
    const opened = own.find((event) => event.type === "telemetry.connection_established");
    const trace = opened?.meta.correlation_id;
    this.#head.replaceChildren(
      robot.missing ? el("p", { class: "notice warn" }, robot.missing) : present(robot, trace),
      toGrafana(this.context.grafana(), [
        ["Readings in Grafana", `/d/charter-analytics?var-robot=${encodeURIComponent(this.id)}`],
        ["History in Grafana", `/d/charter-audit?var-robot=${encodeURIComponent(this.id)}`],
      ]) ?? "",
    );
  }
}

function present(robot, trace) {
  const online = robot.status === "online";
  return facts({
    Status: el("span", { class: "state", "data-tone": online ? "good" : "bad" }, robot.status),
    Trouble: robot.conditions.join(", ").replaceAll("_", " "),
    ...robot.labels,
    "Last close reason": robot.last_reason,
    Connected: when(robot.connected_at),
    Disconnected: when(robot.disconnected_at),
    "Last seen": online ? null : moment(robot.last_seen_at),
    Connection: el("code", {}, robot.connection_id ?? "–"),
    Trace: trace ? link(`#/traces/${encodeURIComponent(trace)}`, trace, { class: "trace-id" }) : null,
  });
}
