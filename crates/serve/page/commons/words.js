// Names, times and hashes in words. Names come from strangers: they are shown as text, apart from
// what stands beside them, and never look like somebody else's.

import { h, hashChip } from "./dom.js";
import { plain, plural } from "./format.js";

const PILED = /(\p{M}{3})\p{M}+/gu;
const LAST_DATE = 8.64e12;

/** A text of somebody's without characters that turn, hide or pile up what is around them. */
export const clean = (text) => plain(text ?? "").replace(PILED, "$1");

/** The first characters of a text, with an ellipsis where more follows. */
export function short(text, most) {
  const letters = [...clean(text)];
  return letters.length > most ? `${letters.slice(0, Math.max(1, most - 1)).join("")}…` : letters.join("");
}

/** Characters of somebody's text that are shown as a part of a line, as commands do. */
const IN_LINE = 60;

/** A text of somebody's as an element, apart from the direction of what is around it. What is too long for a line is in its tooltip. */
export function said(text, attributes = {}) {
  const line = short(text, IN_LINE);
  return h("bdi", { ...(line === clean(text) ? {} : { title: clean(text) }), ...attributes, text: line });
}

let people = new Map();

/** Takes in the members, so that ids have names everywhere: those that commands show too. */
export function knowPeople(members) {
  people = new Map(members.map(({ id, shown }) => [id, clean(shown)]));
}

/** A member's name, or the beginning of its id. */
export const nameOf = (id) => people.get(id) ?? id.slice(0, 8);

/** A member's name as an element, with its whole id in the tooltip. */
export const who = (id) => h("bdi", { class: "who", title: id, text: nameOf(id) });

/** `Anna, Bert and 3 others` as elements. */
export function list(items, most = 12) {
  const shown = items.slice(0, most);
  const parts = shown.flatMap((item, at) => {
    const last = at === shown.length - 1 && items.length === shown.length;
    return at === 0 ? [item] : [last ? " and " : ", ", item];
  });
  if (items.length > shown.length) parts.push(` and ${plural(items.length - shown.length, "other")}`);
  return parts;
}

const DAY = new Intl.DateTimeFormat("en-GB", { timeZone: "UTC", day: "numeric", month: "short", year: "numeric" });
const MINUTE = new Intl.DateTimeFormat("en-GB", { timeZone: "UTC", hour: "2-digit", minute: "2-digit" });

/** `3 Mar 2027, 14:05`, UTC. */
export const when = (seconds) => (seconds > LAST_DATE ? "a time beyond dates"
  : `${DAY.format(seconds * 1000)}, ${MINUTE.format(seconds * 1000)}`);

/** `3 Mar 2027`, UTC. */
export const day = (seconds) => (seconds > LAST_DATE ? "a time beyond dates" : DAY.format(seconds * 1000));

/** `5 minutes`, `3 hours`, `12 days` */
export function span(seconds) {
  if (seconds < 90) return plural(Math.max(0, Math.round(seconds)), "second");
  if (seconds < 5400) return plural(Math.round(seconds / 60), "minute");
  if (seconds < 172800) return plural(Math.round(seconds / 3600), "hour");
  return plural(Math.round(seconds / 86400), "day");
}

/** A hash as picture and first digits. */
export const hash = (text) => hashChip(String(text));

/** `term: what` lines. Lines without anything are left out. */
export const facts = (pairs) => h("dl", { class: "facts" }, pairs
  .filter(([, what]) => what !== null && what !== undefined && what !== "" && what?.length !== 0)
  .map(([term, what]) => h("div", {}, h("dt", { text: term }), h("dd", {}, what))));

/** A table; on a narrow page each row becomes a card, its cells named by the columns. */
export function table(columns, rows, attributes = {}) {
  return h("table", { class: "cards", ...attributes },
    h("thead", {}, h("tr", {}, columns.map((text) => h("th", { scope: "col", text })))),
    h("tbody", {}, rows.map(({ cells, ...rest }) => h("tr", rest, cells.map((cell, at) =>
      h(at === 0 ? "th" : "td", at === 0 ? { scope: "row" } : { "data-column": columns[at] }, at === 0 ? cell : h("div", {}, cell)))))));
}

/** The organisations in a fixed order, most people first, with initials that tell them apart. */
export function organisations(members) {
  const counts = new Map();
  for (const { employer } of members) if (employer) counts.set(employer, (counts.get(employer) ?? 0) + 1);
  const names = [...counts.keys()].sort((a, b) => counts.get(b) - counts.get(a) || (a < b ? -1 : 1));
  const used = new Set();
  return new Map(names.map((name, at) => {
    const words = clean(name).split(/[\s-]+/).filter(Boolean).map((word) => [...word][0]);
    const tries = [words[0], words[0] + (words.at(-1) ?? ""), [...clean(name)].slice(0, 2).join(""), String(at + 1)];
    const letters = tries.find((letters) => letters && !used.has(letters)) ?? "";
    used.add(letters);
    return [name, { at, letters: letters.toUpperCase(), count: counts.get(name) }];
  }));
}
