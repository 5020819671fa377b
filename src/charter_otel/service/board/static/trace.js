// One trace as a tree: the spans that the service has kept, each with its events, on one scale of time.

import { Refused, get } from "./api.js";
import { el } from "./dom.js";
import { EventList, bring, explore, facts, toGrafana } from "./facts.js";
import { duration, plural } from "./format.js";

const EVERY = 3_000;
/** Attributes that identify a span's subject. */
const ABOUT = ["charter.robot.id", "charter.job.id", "charter.connection.close_reason", "messaging.consumer.group.name", "error.type"];

export class TraceDetails {
  #tree = el("div");
  #events = new EventList("Its events");
  #timer = null;
  #drawn = null;

  constructor(id, body, context) {
    Object.assign(this, { id, context });
    body.append(
      toGrafana(context.grafana(), [["Open in Grafana", explore(id)]]) ?? "",
      this.#tree,
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
      await this.#show(await get(`api/traces/${encodeURIComponent(this.id)}`));
    } catch (error) {
      if (error instanceof Refused) this.#tree.replaceChildren(el("p", { class: "notice" }, error.message));
    }
    if (this.#timer !== "closed") this.#timer = setTimeout(() => this.#poll(), EVERY);
  }

  render() {
    this.#events.show(this.context.events.latest(50, (event) => event.meta.correlation_id === this.id));
  }

  async #show({ spans }) {
    const drawn = spans.map((span) => span.span_id).join();
    if (drawn === this.#drawn) return;
    const first = this.#drawn === null;
    this.#drawn = drawn;
    const begin = Math.min(...spans.map((span) => span.started_at));
    const end = Math.max(...spans.map((span) => span.started_at + span.duration_ms / 1000));
    const scale = { begin, length: Math.max(end - begin, 1e-6) };
    this.#tree.replaceChildren(
      facts({ Spans: plural(spans.length, "span"), Duration: duration(end - begin) }),
      el("ol", { class: "spans" }, branches(spans, scale)),
    );
    if (first) await bring(this.context.events, begin);
    this.render();
  }
}

/** Return the spans as nested lists: children below their parents, linking ones below their targets. */
function branches(spans, scale) {
  const ids = new Set(spans.map((span) => span.span_id));
  const below = new Map();
  for (const span of spans) {
    const above = [span.parent_span_id, ...span.links].find((id) => id !== span.span_id && ids.has(id)) ?? null;
    below.set(above, [...(below.get(above) ?? []), span]);
  }
  const draw = (id) =>
    (below.get(id) ?? []).map((span) => {
      const inner = draw(span.span_id);
      return el("li", {}, bar(span, scale), inner.length ? el("ol", {}, inner) : null);
    });
  return draw(null);
}

function about({ attributes }) {
  return ABOUT.filter((name) => name in attributes).map((name) => String(attributes[name])).join(" ");
}

function bar(span, { begin, length }) {
  const strip = el("i", { class: "strip" });
  strip.style.setProperty("--from", (span.started_at - begin) / length);
  strip.style.setProperty("--part", span.duration_ms / 1000 / length);
  return el(
    "details",
    { class: "span", "data-tone": span.status === "error" ? "bad" : "" },
    el(
      "summary",
      {},
      el("span", {}, el("span", { class: "span-name" }, span.name), " ", el("span", { class: "hint" }, about(span))),
      el("span", { class: "span-time" }, duration(span.duration_ms / 1000)),
      el("span", { class: "track", "aria-hidden": "true" }, strip),
      span.events.map((event) => el("span", { class: "span-event" }, `◆ ${event.name} `, el("small", {}, `+${duration(event.at - span.started_at)}`))),
    ),
    facts({
      Kind: span.kind,
      Status: span.error ? `${span.status}: ${span.error}` : span.status,
      Span: el("code", {}, span.span_id),
      ...Object.fromEntries(Object.entries(span.attributes).map(([name, value]) => [name, String(value)])),
    }),
  );
}
