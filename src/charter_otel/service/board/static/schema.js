// A JSON Schema in words and nested lists.

import { el, prose } from "./dom.js";

const DEEPEST = 6;
const LIMITS = {
  pattern: "pattern",
  format: "format",
  minimum: "at least",
  exclusiveMinimum: "more than",
  maximum: "at most",
  exclusiveMaximum: "less than",
  minLength: "at least so many characters:",
  maxLength: "at most so many characters:",
  minItems: "at least so many:",
  maxItems: "at most so many:",
  default: "by default",
};

/** Follow a reference inside the document. */
export function resolve(value, document) {
  let found = value;
  for (let hops = 0; found?.$ref && hops < 10; hops += 1) {
    found = found.$ref
      .slice(2)
      .split("/")
      .map((part) => decodeURIComponent(part).replaceAll("~1", "/").replaceAll("~0", "~"))
      .reduce((inner, part) => inner?.[part], document);
  }
  return found ?? {};
}

/** Return a schema as an element. */
export function schema(value, document, depth = 0) {
  const shape = resolve(value, document);
  const choices = shape.oneOf ?? shape.anyOf ?? shape.allOf;
  const parts = [el("p", { class: "type" }, kind(shape), limits(shape))];
  if (shape.description && depth > 0) parts.push(el("p", {}, prose(shape.description)));
  if (depth >= DEEPEST) return el("div", {}, parts);
  if (choices && !onlyNull(choices)) parts.push(el("ul", {}, choices.map((one) => el("li", {}, schema(one, document, depth + 1)))));
  else if (choices) return schema(choices.find((one) => one.type !== "null"), document, depth);
  if (shape.properties) parts.push(properties(shape, document, depth));
  if (shape.items) parts.push(el("div", { class: "inner" }, schema(shape.items, document, depth + 1)));
  if (shape.additionalProperties?.type || shape.additionalProperties?.$ref) {
    parts.push(el("div", { class: "inner" }, schema(shape.additionalProperties, document, depth + 1)));
  }
  return el("div", {}, parts);
}

function onlyNull(choices) {
  return choices.length === 2 && choices.some((one) => one.type === "null");
}

function kind(shape) {
  if (shape.const !== undefined) return JSON.stringify(shape.const);
  if (shape.enum) return shape.enum.map((one) => JSON.stringify(one)).join(" | ");
  if (shape.type) return [shape.type].flat().join(" | ");
  if (shape.oneOf ?? shape.anyOf) return "one of";
  return shape.allOf ? "all of" : "anything";
}

function limits(shape) {
  const known = Object.entries(LIMITS).filter(([name]) => shape[name] !== undefined);
  return el("small", {}, known.map(([name, words]) => ` ${words} ${typeof shape[name] === "string" ? shape[name] : JSON.stringify(shape[name])}`).join(","));
}

function properties(shape, document, depth) {
  const required = new Set(shape.required ?? []);
  return el(
    "dl",
    { class: "schema" },
    Object.entries(shape.properties).flatMap(([name, value]) => [
      el("dt", {}, el("code", {}, name), el("small", {}, required.has(name) ? " required" : "")),
      el("dd", {}, schema(value, document, depth + 1)),
    ]),
  );
}
