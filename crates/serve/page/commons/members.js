// Members: who vouches for whom, drawn in rings around the founders, and the same as a table.

import { byId, h, s, setText, whenChanged } from "./dom.js";
import { plural, whole } from "./format.js";
import { before, choosable, head } from "./graph.js";
import { clean, day, facts, list, nameOf, organisations, said, short, table, who } from "./words.js";

const HOUSES = { users: "users’ house", contributors: "contributors’ house" };
/** Up to so many people have their names beside them. */
const NAMED = 48;

/** Prepares the view; returns a function that shows the members. */
export function makeMembers() {
  const state = { view: null, orgs: new Map(), places: [], picked: null, pick: () => {}, width: 0 };
  const draw = () => state.view && paint(state);
  new ResizeObserver(() => {
    const width = byId("members-picture").clientWidth;
    if (width && width !== state.width) draw();
  }).observe(byId("members-picture"));
  byId("members-find").addEventListener("input", filter);
  const changed = whenChanged((view) => {
    state.view = view;
    state.orgs = organisations(view.members);
    note(view);
    legend(state);
    draw();
    showTable(state);
    filter();
  });
  return ({ size, now, ...view }) => changed(view);
}

function note({ members, count, vouches_needed: needed }) {
  const inside = members.filter((member) => member.is_member).length;
  const asking = members.filter((member) => !member.is_member && !member.removed).length;
  const more = count > members.length ? ` The first ${whole(members.length)} of ${whole(count)} are shown.` : "";
  setText(byId("members-note"), `${plural(inside, "member")}${asking ? `, ${whole(asking)} asking to join` : ""}. Somebody is a member whom a founder’s chain of vouches reaches: ${plural(needed, "vouch", "vouches")} of members make one.${more}`);
}

function legend({ orgs, view }) {
  const swatch = (kind) => s("svg", { viewBox: "-9 -9 18 18", class: "key", "aria-hidden": "true" }, figure(kind, 6));
  const item = (kind, text) => h("li", {}, swatch(kind), text);
  const employers = [...orgs].slice(0, 7).map(([name, { at, letters }]) =>
    h("li", {}, h("span", { class: `initials peer-${at % 8}`, "aria-hidden": "true", text: letters }), said(short(name, 40))));
  byId("members-legend").replaceChildren(
    item({ house: "users" }, "users’ house"), item({ house: "contributors" }, "contributors’ house"),
    item({}, "in no house"), item({ steward: true, house: "contributors" }, "steward"),
    ...(view.members.some((member) => !member.is_member) ? [item({ pending: true }, "asks to join")] : []),
    h("li", {}, s("svg", { viewBox: "0 0 26 12", class: "key arrow", "aria-hidden": "true" },
      s("path", { class: "vouch", d: "M1 6H18" }), s("polygon", { class: "vouch-head", points: "25,6 17,2 17,10" })), "vouches for"),
    ...employers, ...(orgs.size > 7 ? [h("li", { text: `and ${plural(orgs.size - 7, "other employer")}` })] : []));
}

/** A member's shape around the origin: what house, whether steward or not in yet. */
function figure({ house, steward, pending }, r) {
  const shape = (grow, name) => (house === "contributors"
    ? s("rect", { class: name, x: -r - grow, y: -r - grow, width: 2 * (r + grow), height: 2 * (r + grow), rx: r / 3 })
    : house === "users" ? s("circle", { class: name, r: r + grow * 1.2 })
    : s("polygon", { class: name, points: `0,${-r - grow} ${r + grow},0 0,${r + grow} ${-r - grow},0` }));
  return s("g", { class: pending ? "pending" : null }, steward && shape(r / 2.6, "seat"), shape(0, "body"));
}

function paint(state) {
  const { view, orgs } = state;
  const box = byId("members-picture");
  state.width = box.clientWidth;
  const drawn = view.members.filter((member) => !member.removed);
  if (!state.width || drawn.length === 0) return box.replaceChildren(h("p", { class: "empty", text: "Nobody is a member yet." }));
  const named = drawn.length <= NAMED;
  const radius = named ? (state.width < 500 ? 10 : 13) : drawn.length > 150 ? 5 : 7;
  const { places, height } = rings(drawn, view.vouches, state.width, named);
  const at = new Map(places.map((place, index) => [place.member.id, index]));
  const lines = view.vouches.filter(({ by, subject }) => at.has(by) && at.has(subject)).map(({ by, subject }) =>
    vouchLine(places[at.get(by)], places[at.get(subject)], radius, { x: state.width / 2, y: height / 2 }));
  const nodes = places.map((place) => memberNode(place, orgs, radius, named, places, state.width));
  const picture = s("svg", {
    class: "graph", width: state.width, height, viewBox: `0 0 ${state.width} ${height}`, role: "group",
    "aria-label": "Who vouches for whom. Arrow keys go from member to member; the table below says the same.",
  }, s("g", {}, lines), s("g", {}, nodes));
  const kept = state.picked === null ? null : at.get(state.picked) ?? null;
  const focused = box.contains(document.activeElement);
  box.replaceChildren(picture);
  state.pick = choosable(nodes, (index) => {
    state.picked = index === null ? null : places[index].member.id;
    mark(picture, nodes, lines, index === null ? null : places[index].member.id);
    detail(state, index === null ? null : places[index].member);
  }, kept);
  state.at = at;
  state.pick(kept);
  if (focused) nodes[kept ?? 0].focus();
}

/** Rings around the founders, as many as it takes. */
function rings(members, vouches, width, named) {
  const parts = levels(members);
  const pad = named ? (width < 500 ? 34 : 60) : 16;
  const [gap, room] = named ? [width < 500 ? 66 : 74, width < 500 ? 62 : 92] : [30, 17];
  for (let count = parts.length; ; count++) {
    const high = count > 2 || !named ? gap : gap * 1.35;
    const sizes = Array.from({ length: count }, (_, k) => ({
      rx: ((k + 0.62) / (count - 0.38)) * (width / 2 - pad), ry: (k + 0.62) * high,
    }));
    const filled = fill(parts, sizes, room);
    const height = Math.round((count - 0.38) * high * 2 + 84);
    if (filled) return { places: place(filled, sizes, vouches, width, height), height };
  }
}

/** Deals the levels out to rings that have room for them; nothing if they do not suffice. */
function fill(parts, sizes, room) {
  const filled = [];
  for (const level of parts) {
    for (let from = 0; from < level.length;) {
      const size = sizes[filled.length];
      if (!size) return null;
      const holds = Math.max(level.length === 1 ? 1 : 2, Math.floor((2 * Math.PI * Math.sqrt((size.rx ** 2 + size.ry ** 2) / 2)) / room));
      filled.push(level.slice(from, from + holds));
      from += holds;
    }
  }
  return filled;
}

/** Founders, and all others; each in the log's order. */
function levels(members) {
  const first = ({ founder, is_member: inside }) => inside && founder;
  return [members.filter(first), members.filter((member) => !first(member))].filter((all) => all.length);
}

const mean = (all) => Math.atan2(all.reduce((sum, a) => sum + Math.sin(a), 0), all.reduce((sum, a) => sum + Math.cos(a), 0));

/** Each ring in the order of where its people's vouchers stand, turned so that they are near them. */
function place(filled, sizes, vouches, width, height) {
  const angles = new Map();
  const vouchers = Map.groupBy(vouches, ({ subject }) => subject);
  filled.forEach((ring, k) => {
    // Twice: at first vouchers in the same ring have no place yet.
    for (let pass = 0; pass < (k ? 2 : 1); pass++) arrange(ring, vouchers, angles, pass > 0 || k > 0);
  });
  return filled.flatMap((ring, k) => ring
    .map((member) => ({ member, angle: angles.get(member.id) }))
    .sort((a, b) => a.angle - b.angle)
    .map(({ member, angle }) => ({
      member, x: width / 2 + sizes[k].rx * Math.cos(angle), y: height / 2 - 6 + sizes[k].ry * Math.sin(angle),
    })));
}

function arrange(ring, vouchers, angles, turned) {
  const wished = ring.map((member, order) => {
    const from = (vouchers.get(member.id) ?? []).map(({ by }) => angles.get(by)).filter((a) => a !== undefined);
    return { member, order, angle: turned && from.length ? mean(from) : null };
  });
  wished.sort((a, b) => (a.angle ?? 9) - (b.angle ?? 9) || a.order - b.order);
  const step = (2 * Math.PI) / ring.length;
  const turns = wished.flatMap(({ angle }, at) => (angle === null ? [] : [angle - at * step]));
  const turn = turns.length ? mean(turns) : -Math.PI * 0.75;
  wished.forEach(({ member }, at) => angles.set(member.id, turn + at * step));
}

/** An arrow from voucher to vouched for, bent towards the middle so that two ways do not cover each other. */
function vouchLine(from, to, radius, middle) {
  const bend = {
    x: (from.x + to.x) / 2 + (middle.x - (from.x + to.x) / 2) * 0.16 + (to.y - from.y) * 0.06,
    y: (from.y + to.y) / 2 + (middle.y - (from.y + to.y) / 2) * 0.16 - (to.x - from.x) * 0.06,
  };
  const end = before(bend, to, radius + 4);
  const size = radius > 8 ? 8 : 5;
  const stop = before(bend, end, size * 0.8);
  return s("g", { class: "vouch-line", "data-by": from.member.id, "data-subject": to.member.id },
    s("path", { class: "vouch", d: `M${from.x.toFixed(1)} ${from.y.toFixed(1)}Q${bend.x.toFixed(1)} ${bend.y.toFixed(1)} ${stop.x.toFixed(1)} ${stop.y.toFixed(1)}` }),
    s("polygon", { class: "vouch-head", points: head(bend, end, size) }));
}

/** How wide a name may be: up to its neighbours and the picture's edge. */
function room({ x, y }, places, width) {
  const beside = places.filter((other) => other.x !== x && Math.abs(other.y - y) < 20).map((other) => Math.abs(other.x - x));
  return Math.min(2 * x, 2 * (width - x), ...beside);
}

function memberNode(node, orgs, radius, named, places, width) {
  const { member, x, y } = node;
  const org = orgs.get(member.employer);
  const letters = named ? Math.min(width < 500 ? 11 : 16, Math.max(4, Math.floor(room(node, places, width) / 6.8))) : 0;
  return s("g", {
    class: `node ${org ? `peer-${org.at % 8}` : ""}`, transform: `translate(${x.toFixed(1)} ${y.toFixed(1)})`,
    role: "button", "aria-label": `${nameOf(member.id)}: ${standing(member)}`, "data-id": member.id,
  },
    s("circle", { class: "halo", r: radius + 7 }),
    figure({ house: member.house, steward: member.steward, pending: !member.is_member }, radius),
    named && org && s("text", { class: "letters", y: radius * 0.36, "text-anchor": "middle", text: org.letters }),
    named && s("text", { class: "name", y: radius + (member.steward ? 20 : 16), "text-anchor": "middle", text: short(nameOf(member.id), letters) }));
}

function standing(member) {
  if (member.removed) return "removed by decision";
  if (!member.is_member) return `asks to join, has ${plural(member.vouchers, "vouch", "vouches")}`;
  return [member.founder ? "founder" : "member", member.steward && "steward", HOUSES[member.house] ?? "in no house",
    member.employer && `works at ${clean(member.employer)}`].filter(Boolean).join(", ");
}

function mark(picture, nodes, lines, id) {
  picture.classList.toggle("chosen", id !== null);
  const near = new Set([id]);
  for (const line of lines) {
    const { by, subject } = line.dataset;
    line.classList.toggle("out", by === id);
    line.classList.toggle("in", subject === id);
    if (by === id) near.add(subject);
    if (subject === id) near.add(by);
  }
  for (const node of nodes) {
    node.classList.toggle("near", near.has(node.dataset.id));
    node.classList.toggle("self", node.dataset.id === id);
    node.setAttribute("aria-pressed", String(node.dataset.id === id));
  }
  for (const row of document.querySelectorAll("#members-table tr[data-id]")) row.classList.toggle("picked", row.dataset.id === id);
}

function detail({ view }, member) {
  const box = byId("members-detail");
  if (!member) {
    return box.replaceChildren(h("h3", { text: "Nobody chosen" }),
      h("p", { class: "note", text: "Point at somebody, or go into the picture with the Tab key and from one to the next with the arrow keys." }));
  }
  const by = view.vouches.filter(({ subject }) => subject === member.id).map((vouch) => who(vouch.by));
  const given = view.vouches.filter((vouch) => vouch.by === member.id).map(({ subject }) => who(subject));
  const [needed, all] = member.guardians;
  box.replaceChildren(h("h3", {}, who(member.id)), h("p", { class: "standing", text: standing(member) }), facts([
    ["Vouched for by", by.length ? list(by, 20) : member.founder ? "the genesis names it" : "nobody"],
    ["Vouches for", given.length ? list(given, 20) : "nobody"],
    ["Vouches left", member.is_member ? whole(member.vouches_left) : null],
    ["Still needed", !member.is_member && !member.removed ? plural(Math.max(0, view.vouches_needed - member.vouchers), "vouch", "vouches") : null],
    ["Works at", member.affiliations.length ? member.affiliations.slice(0, 8).flatMap(affiliation) : "says nothing"],
    ["Conflicts declared", list(member.conflicts.slice(0, 8).map((text) => said(text)))],
    ["Keys in force", list(member.keys.map((key) => h("code", { title: key, text: key.slice(0, 8) })))],
    ["Guardians", all ? `${needed} of ${all} can recover its keys` : "none: a lost key is lost"],
    ["Recoveries", member.recoveries ? `${whole(member.recoveries)} on the way` : null],
    ["Id", h("code", { class: "long", text: member.id })],
  ]));
}

const affiliation = ({ org, role, from, to }) =>
  h("span", { class: "line" }, said(org), " as ", said(role), `, since ${day(from)}${to === null ? "" : ` until ${day(to)}`}`);

function showTable(state) {
  const { view } = state;
  const byTo = Map.groupBy(view.vouches, ({ subject }) => subject);
  const byFrom = Map.groupBy(view.vouches, ({ by }) => by);
  const rows = view.members.map((member) => {
    const name = h("button", { type: "button", class: "plain" }, who(member.id));
    name.addEventListener("click", () => {
      if (state.at?.has(member.id)) state.pick(state.at.get(member.id));
      else detail(state, member);
      byId("members-detail").scrollIntoView({ block: "nearest" });
    });
    return {
      "data-id": member.id,
      cells: [name, member.removed ? "removed" : !member.is_member ? `asks to join, ${member.vouchers} of ${view.vouches_needed}` : [member.founder ? "founder" : "member", member.steward && "steward"].filter(Boolean).join(", "),
        member.house ?? "–", member.employer ? said(member.employer) : "–",
        list((byTo.get(member.id) ?? []).map(({ by }) => who(by)), 5), list((byFrom.get(member.id) ?? []).map(({ subject }) => who(subject)), 5),
        member.is_member ? whole(member.vouches_left) : "–"],
    };
  });
  const box = byId("members-table");
  const focused = box.contains(document.activeElement) ? document.activeElement.closest("tr")?.dataset.id : null;
  box.replaceChildren(table(["Name", "Standing", "House", "Works at", "Vouched for by", "Vouches for", "Vouches left"], rows));
  if (focused) box.querySelector(`tr[data-id="${CSS.escape(focused)}"] button`)?.focus();
}

function filter() {
  const wanted = byId("members-find").value.trim().toLowerCase();
  for (const row of document.querySelectorAll("#members-table tbody tr")) row.hidden = !row.textContent.toLowerCase().includes(wanted);
}
