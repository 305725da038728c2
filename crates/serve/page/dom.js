// Small helpers over the DOM. Whatever comes from the run goes in as text, never as HTML, and with
// what would hide or turn other text made visible.

import { plain } from "./format.js";

const SVG = "http://www.w3.org/2000/svg";

/** The element with this id. */
export const byId = (id) => document.getElementById(id);

/** Makes an element: `h("p", { class: "note", text: "…" }, child, …)`. Empty children are left out. */
export function h(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

/** Makes an SVG element. */
export function s(tag, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (name === "text") element.textContent = plain(value);
    else element.setAttribute(name, value === true ? "" : plain(value));
  }
  element.append(...children.flat().filter((child) => child !== undefined && child !== null && child !== false).map(shown));
  return element;
}

const shown = (child) => (typeof child === "string" ? plain(child) : child);

/** Sets an element's text, touching the page only where it changes. */
export function setText(element, said) {
  const text = plain(said);
  if (element.textContent !== text) element.textContent = text;
}

/** Shows or hides an element. */
export function show(element, visible) {
  if (element.hidden === visible) element.hidden = !visible;
}

/** Runs `render` again only when what it reads has changed. */
export function whenChanged(render) {
  let last;
  return (value) => {
    const now = JSON.stringify(value);
    if (now === last) return;
    last = now;
    render(value);
  };
}

/** Makes one child per item, keeping the elements of items that stay. `update` fills each. */
export function keyed(parent, items, key, make, update) {
  const known = new Map([...parent.children].map((element) => [element.dataset.key, element]));
  items.forEach((item, at) => {
    const name = key(item);
    let element = known.get(name);
    known.delete(name);
    if (!element) {
      element = make(item);
      element.dataset.key = name;
    }
    if (parent.children[at] !== element) parent.insertBefore(element, parent.children[at] ?? null);
    update(element, item, at);
  });
  for (const gone of known.values()) gone.remove();
}

/** A small symmetric picture of a hash: the same hash looks the same everywhere on the page. */
export function glyph(hash) {
  const bytes = [...hash.matchAll(/[0-9a-f]{2}/gi)].map(([pair]) => parseInt(pair, 16));
  const picture = s("svg", { class: "glyph", viewBox: "0 0 5 5", "aria-hidden": "true" });
  const hue = ((bytes[0] ?? 0) * 360) / 256;
  picture.style.setProperty("--hue", hue.toFixed(0));
  for (let row = 0; row < 5; row++) {
    for (let column = 0; column < 3; column++) {
      if (!((bytes[1 + row] ?? 0) & (1 << column))) continue;
      picture.append(s("rect", { x: column, y: row, width: 1, height: 1 }));
      if (column < 2) picture.append(s("rect", { x: 4 - column, y: row, width: 1, height: 1 }));
    }
  }
  return picture;
}

/** A hash as picture and first digits, whole in its tooltip. */
export function hashChip(hash, digits = 8) {
  return h("span", { class: "hash", title: hash }, glyph(hash), h("code", { text: hash.slice(0, digits) }));
}
