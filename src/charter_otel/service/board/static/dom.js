// Elements from plain values. Strings become text nodes, whatever is in them: nothing is parsed as markup.

const SVG = "http://www.w3.org/2000/svg";
const SVG_TAGS = new Set(["svg", "path", "rect", "line", "circle", "g"]);

/** Return an element. Attributes that are null or false are left out; functions become listeners. */
export function el(tag, attributes = {}, ...children) {
  const element = SVG_TAGS.has(tag)
    ? document.createElementNS(SVG, tag)
    : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (typeof value === "function") element.addEventListener(name, value);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}

/** Return the element of the page with an id. */
export function byId(id) {
  return document.getElementById(id);
}

/** Show text, and touch the page only if it changes. */
export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
  return element;
}

/** Show a list: nodes whose keys stay are kept, so that focus and selection survive. */
export function reconcile(parent, items, { key, create, update = () => {} }) {
  const known = (parent.nodesByKey ??= new Map());
  const wanted = new Set();
  let place = parent.firstChild;
  for (const item of items) {
    const name = key(item);
    wanted.add(name);
    let node = known.get(name);
    if (!node) known.set(name, (node = create(item)));
    update(node, item);
    if (node === place) place = place.nextSibling;
    else parent.insertBefore(node, place);
  }
  for (const [name, node] of known) {
    if (wanted.has(name)) continue;
    node.remove();
    known.delete(name);
  }
}

/** Return a link that shows an id and leads to its address on this page. */
export function link(address, text, attributes = {}) {
  return el("a", { href: address, ...attributes }, text);
}

/** Return text in which parts between back-ticks are code. */
export function prose(text) {
  return text.split("`").map((part, index) => (index % 2 ? el("code", {}, part) : part));
}

/** Return a moment as an element whose age the ticker keeps right. */
export function moment(seconds, { suffix = " ago" } = {}) {
  if (seconds === null || seconds === undefined) return el("span", { class: "faint" }, "–");
  return el("time", { "data-at": seconds, "data-suffix": suffix });
}
