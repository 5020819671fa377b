// Notices: present problems with their time and reason, and problems that are over.

import { byId, el, moment, reconcile } from "./dom.js";
import { clock, duration, now } from "./format.js";

const OVER_FOR = 15_000;

const notices = new Map();

function show() {
  reconcile(byId("notices"), [...notices.values()], {
    key: (notice) => notice.key,
    create: (notice) => el("p", { class: `notice ${notice.tone}` }, notice.children),
  });
}

/** Return whether anything is wrong now. */
export function trouble() {
  return [...notices.values()].some((notice) => notice.tone !== "good");
}

function put(name, tone, version, ...children) {
  const key = `${name} ${version}`;
  if (notices.get(name)?.key === key) return;
  notices.set(name, { key, tone, children });
  show();
}

function drop(name) {
  if (notices.delete(name)) show();
}

/** Show the dependencies that are not ready by `/readyz`, and those that have recovered. */
export function dependencies(ready) {
  const seen = new Set();
  for (const [name, state] of Object.entries(ready?.dependencies ?? {})) {
    if (state.status === "ready") continue;
    seen.add(name);
    const since = Date.parse(state.since) / 1000;
    const begun = Number.isFinite(since) ? since : (notices.get(name)?.begun ?? now());
    put(
      name,
      state.status === "unready" ? "bad" : "warn",
      `${state.status} ${state.since} ${state.error}`,
      el("strong", {}, `${name.replaceAll("_", " ")} is ${state.status}`),
      `${Number.isFinite(since) ? " since" : ", seen since"} ${clock(begun)} (`,
      moment(begun, { suffix: "" }),
      ")",
      state.error ? `: ${state.error}` : "",
    );
    notices.get(name).begun ??= begun;
    notices.get(name).dependency = true;
  }
  for (const [name, notice] of notices) {
    if (notice.dependency && !seen.has(name)) {
      drop(name);
      over(`${name}-over`, `${name.replaceAll("_", " ")} is well again after ${duration(now() - notice.begun)}.`);
    }
  }
}

/** Say that the service does not answer, and since when. */
export function lost(since, why) {
  put(
    "connection",
    "bad",
    since,
    el("strong", {}, "No connection to the service"),
    ` since ${clock(since)} (`,
    moment(since, { suffix: "" }),
    `): ${why}. What you see is from then; the board tries again by itself.`,
  );
}

/** Say that the service is back. */
export function found(since) {
  drop("connection");
  over("connection-over", `Connected again at ${clock(now())}, after ${duration(now() - since)}.`);
}

function over(name, text) {
  put(name, "good", now(), text);
  const { key } = notices.get(name);
  setTimeout(() => notices.get(name)?.key === key && drop(name), OVER_FOR);
}
