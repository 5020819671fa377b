// The API as a page: OpenAPI and AsyncAPI documents of this service, without requests to any other host.

import { ROOT, Refused, get } from "./api.js";
import { byId, el, link, prose, say } from "./dom.js";
import { schema, resolve } from "./schema.js";
import * as theme from "./theme.js";
import * as token from "./token.js";

const DOCUMENTS = {
  rest: { path: "api/openapi.json", draw: drawRest },
  events: { path: "api/asyncapi.json", draw: drawEvents },
};
const METHODS = ["get", "put", "post", "delete", "options", "patch"];

function chosen() {
  return location.hash.startsWith("#/events") ? "events" : "rest";
}

async function show() {
  const kind = chosen();
  const { path, draw } = DOCUMENTS[kind];
  for (const tab of document.querySelectorAll(".tabs a")) {
    if (tab.hash === `#/${kind}`) tab.setAttribute("aria-current", "page");
    else tab.removeAttribute("aria-current");
  }
  try {
    const answer = await get(path);
    say(byId("version"), `${answer.info.title} ${answer.info.version}`);
    offer(path, answer);
    draw(answer);
    scrollToPlace();
  } catch (error) {
    if (error instanceof Refused && error.wantsToken) token.ask(error);
    else byId("main").replaceChildren(el("p", { class: "notice bad" }, error.message));
  }
}

/** Offer the document itself; a link could not present the token. */
function offer(path, answer) {
  const button = byId("document");
  if (button.href) URL.revokeObjectURL(button.href);
  button.href = URL.createObjectURL(new Blob([JSON.stringify(answer, null, 2)], { type: "application/json" }));
  button.download = path.split("/").at(-1);
}

function scrollToPlace() {
  const place = location.hash.split("/")[2];
  if (place) document.getElementById(decodeURIComponent(place))?.scrollIntoView();
}

function contents(groups) {
  byId("contents").replaceChildren(
    ...groups.map(([title, entries]) =>
      el("section", {}, el("h2", {}, title), el("ul", {}, entries.map(([id, text]) => el("li", {}, link(`#/${chosen()}/${encodeURIComponent(id)}`, text))))),
    ),
  );
}

// ---- REST ----

function drawRest(api) {
  const tags = api.tags ?? [];
  const operations = Object.entries(api.paths).flatMap(([path, item]) =>
    METHODS.filter((method) => item[method]).map((method) => ({ path, method, ...item[method] })),
  );
  const names = [...new Set([...tags.map((tag) => tag.name), ...operations.flatMap((one) => one.tags ?? ["other"])])];
  const groups = names
    .map((name) => [name, operations.filter((one) => (one.tags ?? ["other"])[0] === name)])
    .filter(([, members]) => members.length);
  contents(groups.map(([name, members]) => [name, members.map((one) => [one.operationId, `${one.method.toUpperCase()} ${one.path}`])]));
  byId("main").replaceChildren(
    el("p", {}, prose(api.info.description ?? "")),
    ...groups.map(([name, members]) =>
      el("section", {}, el("h2", {}, name), el("p", { class: "hint" }, tags.find((tag) => tag.name === name)?.description ?? ""), members.map((one) => operation(one, api))),
    ),
  );
}

function operation(one, api) {
  const body = one.requestBody && resolve(one.requestBody, api);
  return el(
    "article",
    { class: "panel operation", id: one.operationId },
    el("h3", {}, el("b", { class: `verb ${one.method}` }, one.method.toUpperCase()), " ", el("code", {}, one.path)),
    el("p", {}, prose(one.description || one.summary || "")),
    one.security?.length ? el("p", { class: "hint" }, `Needs: ${scopes(one.security)}`) : null,
    one.parameters?.length ? parameters(one.parameters, api) : null,
    body ? part("Body", Object.entries(body.content ?? {}), api) : null,
    el("details", {}, el("summary", {}, "Answers"), answers(one.responses, api)),
    el("details", {}, el("summary", {}, "With curl"), el("pre", { tabindex: "0" }, curl(one))),
  );
}

function scopes(security) {
  return security.map((way) => Object.entries(way).map(([name, wanted]) => [name, ...wanted].join(" ")).join(" and ")).join(", or ");
}

function parameters(list, api) {
  return el(
    "dl",
    { class: "schema" },
    list.map((entry) => resolve(entry, api)).flatMap((entry) => [
      el("dt", {}, el("code", {}, entry.name), el("small", {}, ` ${entry.in}${entry.required ? ", required" : ""}`)),
      el("dd", {}, schema(entry.schema ?? {}, api), entry.description ? el("p", {}, prose(entry.description)) : null),
    ]),
  );
}

function part(title, content, api) {
  return el("section", {}, el("h4", {}, title), content.map(([type, { schema: shape }]) => [el("p", { class: "hint" }, type), schema(shape ?? {}, api)]).flat());
}

function answers(responses, api) {
  return Object.entries(responses ?? {}).map(([status, answer]) => {
    const resolved = resolve(answer, api);
    return part(`${status} ${resolved.description ?? ""}`, Object.entries(resolved.content ?? {}), api);
  });
}

function curl(one) {
  const address = `${ROOT.href.replace(/\/$/, "")}${one.path}`;
  const more = one.requestBody ? ` \\\n  --json '…'` : one.method === "get" ? "" : ` \\\n  -X ${one.method.toUpperCase()}`;
  const sign = one.security?.length ? ` \\\n  -H "Authorization: Bearer $TOKEN"` : "";
  return `curl '${address}'${sign}${more}`;
}

// ---- events and WebSocket ----

function drawEvents(api) {
  const channels = Object.entries(api.channels);
  const messages = Object.entries(api.components.messages);
  contents([
    ["channels", channels.map(([id, channel]) => [id, channel.title ?? id])],
    ["messages", messages.map(([id]) => [id, id])],
  ]);
  byId("main").replaceChildren(
    el("p", {}, prose(api.info.description ?? "")),
    el("section", {}, el("h2", {}, "Channels"), channels.map(([id, channel]) => showChannel(id, channel, api))),
    el("section", {}, el("h2", {}, "Messages"), messages.map(([id, message]) => showMessage(id, message, api))),
  );
}

function showChannel(id, channel, api) {
  const operations = Object.values(api.operations).filter((one) => one.channel.$ref === `#/channels/${id}`);
  const query = channel.bindings?.ws?.query ?? channel.bindings?.http?.query;
  return el(
    "article",
    { class: "panel operation", id },
    el("h3", {}, channel.title ?? id, " ", el("code", {}, channel.address)),
    el("p", {}, prose(channel.description ?? "")),
    query ? el("section", {}, el("h4", {}, "Query"), schema(query, api)) : null,
    operations.map((one) => el("p", {}, el("b", { class: "verb" }, one.action), ` ${one.summary ?? ""} `, one.messages.map(({ $ref }) => messageLink($ref)))),
    channel["x-close-reasons"] ? reasons(channel["x-close-reasons"]) : null,
  );
}

function messageLink(reference) {
  const id = reference.split("/").at(-1);
  return el("span", {}, link(`#/events/${encodeURIComponent(id)}`, id), " ");
}

function reasons(list) {
  return el(
    "details",
    {},
    el("summary", {}, "How connections end"),
    el("table", {}, el("tbody", {}, list.map((one) => el("tr", {}, el("th", { scope: "row" }, one.reason), el("td", {}, one.code ?? "no code"), el("td", {}, one.expected ? "expected" : "unexpected"))))),
  );
}

function showMessage(id, message, api) {
  return el(
    "article",
    { class: "panel operation", id },
    el("h3", {}, el("code", {}, message.title ?? id)),
    el("p", {}, prose(message.summary ?? "")),
    schema(message.payload ?? {}, api),
  );
}

theme.setUp(byId("theme"));
token.setUp(show);
byId("home").href = ROOT.href;
window.addEventListener("hashchange", show);
show();
