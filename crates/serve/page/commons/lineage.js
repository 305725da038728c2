// Lineage: what was made from what, parents above, each line saying whether anybody got the same.

import { byId, h, s, setText, whenChanged } from "./dom.js";
import { plural, whole } from "./format.js";
import { before, choosable, head } from "./graph.js";
import { layered } from "./layers.js";
import { clean, facts, hash, list, said, short, table, who } from "./words.js";

/** The picture shows so many artifacts at most; the table shows the rest. */
const DRAWN = 250;
/** Width and height of an artifact, and how far one layer is below the other. */
const NODE = { width: 164, height: 50, gap: 30, layer: 150 };
const RADIUS = 9;
const AGAIN = { exact: "the same bits when run again", tolerance: "nearly the same when run again", no: "not the same when run again" };
const FOUND = { confirmed: ["✓", "got the same"], mismatch: ["✗", "got something else"], unavailable: ["?", "could not get what it needs"], disputed: ["✗", "disputes it"] };

/** Prepares the view; returns a function that shows the lineage. */
export function makeLineage() {
  const state = { view: null, picked: null, pick: () => {} };
  const changed = whenChanged((view) => {
    state.view = view;
    note(view);
    legend();
    const bare = view.nodes.length === 0;
    for (const part of [byId("lineage-legend"), byId("lineage-detail"), byId("lineage-table").parentElement]) part.hidden = bare;
    paint(state);
    showTable(state);
  });
  return ({ size, ...view }) => changed(view);
}

/** What an edge says of itself: the mark, the words; in the picture only those that decide. */
function verdict({ verdict, confirmed, disputed }, few = false) {
  const by = (count) => `by ${whole(count)}`;
  if (few && verdict !== "confirmed") return verdict === "disputed" ? ["✗", `disputed ${by(disputed)}`] : ["", "declared"];
  if (verdict === "confirmed") return ["✓", `confirmed ${by(confirmed)}`];
  if (verdict === "disputed") return ["✗", `disputed ${by(disputed)}${confirmed ? `, confirmed ${by(confirmed)}` : ""}`];
  return ["", confirmed ? `declared, confirmed ${by(confirmed)}` : "declared"];
}

const nameOf = (node) => (node.name ? clean(node.name) : node.digest.slice(0, 12));
const label = (node, most) => (node.name ? short(node.name, most) : node.digest.slice(0, 12));

function note({ nodes, edges, count, confirmations }) {
  setText(byId("lineage-note"), edges.length === 0 ? "Nothing was made from anything yet."
    : `${plural(nodes.length, "artifact")}, ${plural(count, "derivation")}${count > edges.length ? `, of which the newest ${whole(edges.length)} are shown` : ""}. A line is confirmed once ${plural(confirmations, "independent member")} ran the recipe again and got the same.`);
}

function legend() {
  const item = (kind, text) => h("li", {}, s("svg", { viewBox: "0 0 44 12", class: `key edge ${kind}`, "aria-hidden": "true" }, s("path", { d: "M1 6H43" })), text);
  byId("lineage-legend").replaceChildren(item("declared", "declared: its author’s word"), item("confirmed", "✓ confirmed: others got the same"), item("disputed", "✗ disputed: somebody got something else"));
}

/** The nodes and edges that fit a picture: those of the newest edges. */
function chosen({ nodes, edges }) {
  const inside = new Set();
  for (const { child, parent } of edges.toReversed()) {
    const more = [child, parent].filter((digest) => digest && !inside.has(digest));
    if (inside.size + more.length > DRAWN) break;
    more.forEach((digest) => inside.add(digest));
  }
  const lone = nodes.filter(({ digest }) => !edges.some(({ child, parent }) => child === digest || parent === digest));
  if (lone.length <= 6) lone.forEach(({ digest }) => inside.add(digest));
  const drawn = edges.filter(({ child, parent }) => parent && inside.has(child) && inside.has(parent));
  return { nodes: nodes.filter(({ digest }) => inside.has(digest)), edges: drawn };
}

function paint(state) {
  const box = byId("lineage-picture");
  const shown = chosen(state.view);
  if (shown.nodes.length === 0) return box.replaceChildren(h("p", { class: "empty", text: "No artifact is in the log yet. A run with --commons writes down what it made; understory commons publish does it for anything else." }));
  const bundles = bundled(shown.edges);
  const { places, routes, width, height } = layered(shown.nodes.map((node) => node.digest), bundles.map(([{ parent, child }]) => [parent, child]), NODE);
  const nodes = shown.nodes.toSorted((a, b) => places.get(a.digest).y - places.get(b.digest).y || places.get(a.digest).x - places.get(b.digest).x);
  const at = new Map(nodes.map(({ digest }, index) => [digest, index]));
  const labels = [];
  const lines = bundles.map((edges, index) => line(edges, routes[index], labels));
  spread(labels);
  const groups = nodes.map((node) => nodeGroup(node, places.get(node.digest)));
  const picture = s("svg", {
    class: "graph lineage", width, height, viewBox: `0 0 ${width} ${height}`, role: "group",
    "aria-label": "What was made from what, parents above. Arrow keys go from artifact to artifact; the table below says the same.",
  }, s("g", {}, lines), s("g", {}, labels.map(labelText)), s("g", {}, groups));
  const focused = box.contains(document.activeElement) && document.activeElement !== box;
  const { scrollLeft: left, scrollTop: top } = box;
  box.replaceChildren(picture);
  // What does not fit begins at what is newest.
  const newest = places.get(shown.edges.at(-1)?.child ?? shown.nodes[0].digest);
  const far = height > 2 * box.clientHeight ? newest.y - box.clientHeight / 2 : 0;
  box.scrollTo(left || newest.x - box.clientWidth / 2, top || far);
  const kept = at.get(state.picked) ?? null;
  state.pick = choosable(groups, (index) => {
    const node = index === null ? null : nodes[index];
    state.picked = node?.digest ?? null;
    mark(picture, groups, lines, state.picked);
    detail(state, node);
  }, kept);
  state.at = at;
  state.pick(kept);
  if (focused) groups[kept ?? 0].focus();
}

/** Derivations of one artifact from one other are one line: what weighs most comes first. */
function bundled(edges) {
  const weight = { disputed: 0, confirmed: 1, declared: 2 };
  const groups = Map.groupBy(edges, ({ parent, child }) => `${parent} ${child}`);
  return [...groups.values()].map((all) => all.toSorted((a, b) => weight[a.verdict] - weight[b.verdict]));
}

/** An edge: upright beside the nodes of a layer, bent between layers, where its label stands. */
function line(edges, points, labels) {
  const [edge] = edges;
  const [mark, words] = verdict(edge, true);
  const more = edges.length > 1 ? ` · one of ${whole(edges.length)}` : "";
  const half = NODE.height / 2;
  const bend = (NODE.layer - NODE.height) * 0.45;
  let path = "";
  points.slice(1).forEach((to, k) => {
    const from = points[k];
    const last = k === points.length - 2;
    const end = to.y - half - (last ? RADIUS : 0);
    path += `${k ? "L" : "M"}${from.x} ${from.y + half}C${from.x} ${from.y + half + bend} ${to.x} ${end - bend} ${to.x} ${end}`;
  });
  const [start, end] = points.slice(-2);
  const tip = { x: end.x, y: end.y - half };
  labels.push({ x: (start.x + end.x) / 2, y: tip.y - (NODE.layer - NODE.height) / 2, edge, lines: [how(edge), `${mark} ${words}${more}`.trim()] });
  return s("g", { class: `edge ${edge.verdict}`, "data-parent": edge.parent, "data-child": edge.child },
    s("path", { d: path }), s("polygon", { points: head({ x: tip.x, y: tip.y - 20 }, before(start, tip, 1), RADIUS) }));
}

const how = ({ relation, share }) => `${relation ?? "made"}${share ? ` ${(share / 10).toLocaleString("en")}${"\u202f"}%` : ""}`;

/** Moves labels that would cover each other up or down. */
function spread(labels) {
  const placed = [];
  for (const item of labels) {
    item.width = Math.max(...item.lines.map((text) => text.length)) * 6.2 + 10;
    const free = [0, -32, 32].find((move) => !placed.some((other) => Math.abs(other.y - item.y - move) < 31 && Math.abs(other.x - item.x) < (other.width + item.width) / 2));
    item.y += free ?? 0;
    placed.push({ x: item.x, y: item.y, width: item.width });
  }
}

const labelText = ({ x, y, width, lines: [first, second], edge }) => s("g", {
  class: `edge-label ${edge.verdict}`, transform: `translate(${x.toFixed(1)} ${y.toFixed(1)})`, "data-parent": edge.parent, "data-child": edge.child,
},
  s("rect", { x: -width / 2, y: -15, width, height: 31, rx: 6 }),
  s("text", { class: "how", y: -3, "text-anchor": "middle", text: first }), s("text", { class: "found", y: 11, "text-anchor": "middle", text: second }));

function nodeGroup(node, { x, y }) {
  const users = node.users ? plural(node.users, "user") : "no users";
  return s("g", {
    class: `node artifact ${node.name ? "" : "unnamed"}`, transform: `translate(${x.toFixed(1)} ${y.toFixed(1)})`, role: "button",
    "aria-label": `${nameOf(node)}, ${users}`, "data-digest": node.digest,
  },
    s("rect", { class: "body", x: -NODE.width / 2, y: -NODE.height / 2, width: NODE.width, height: NODE.height, rx: 9 }),
    s("text", { class: "name", y: -3, "text-anchor": "middle", text: label(node, 20) }),
    s("text", { class: "users", y: 14, "text-anchor": "middle", text: node.name ? users : `unpublished · ${users}` }));
}

function mark(picture, groups, lines, digest) {
  picture.classList.toggle("chosen", digest !== null);
  const near = new Set([digest]);
  for (const one of [...lines, ...picture.querySelectorAll(".edge-label")]) {
    const mine = one.dataset.parent === digest || one.dataset.child === digest;
    one.classList.toggle("near", mine);
    if (mine) near.add(one.dataset.parent).add(one.dataset.child);
  }
  for (const group of groups) {
    group.classList.toggle("near", near.has(group.dataset.digest));
    group.classList.toggle("self", group.dataset.digest === digest);
    group.setAttribute("aria-pressed", String(group.dataset.digest === digest));
  }
}

function detail({ view, pick, at }, node) {
  const box = byId("lineage-detail");
  if (!node) {
    return box.replaceChildren(h("h3", { text: "Nothing chosen" }),
      h("p", { class: "note", text: "Choose an artifact: who derived it, by which recipe, and who checked it." }));
  }
  const made = [...Map.groupBy(view.edges.filter(({ child }) => child === node.digest), ({ statement }) => statement).values()];
  const used = view.edges.filter(({ parent }) => parent === node.digest);
  const names = new Map(view.nodes.map((one) => [one.digest, one]));
  box.replaceChildren(h("h3", {}, said(nameOf(node))), facts([
    ["Published by", node.member ? who(node.member) : "nobody in this commons"],
    ["Users now", whole(node.users)],
    ["Digest", h("code", { class: "long", text: node.digest })],
  ]),
    ...made.slice(0, 12).map((edges) => derivation(edges, view.derivations[edges[0].statement], names)),
    made.length === 0 && h("p", { class: "note", text: "Nobody says what it was made from." }) || "",
    used.length ? facts([["Went into", list(used.map(({ child }) => said(names.get(child)?.name ?? child.slice(0, 12))), 8)]]) : "");
}

function derivation(edges, known, names) {
  const [edge] = edges;
  const [mark, words] = verdict(edge);
  const from = edges.filter(({ parent }) => parent).map((one) => h("span", {}, said(names.get(one.parent)?.name ?? one.parent.slice(0, 12)), ` (${how(one)})`));
  return h("div", { class: "derivation" },
    h("p", {}, h("span", { class: `edge-word ${edge.verdict}`, text: `${mark} ${words}`.trim() })),
    facts([
      ["Derived by", who(edge.member)],
      ["From", from.length ? list(from, 12) : "nothing that is named"],
      ["Recipe", hash(edge.recipe)],
      ["Program", known && said(known.tool)],
      ["Says it is", AGAIN[edge.reproducible] ?? edge.reproducible],
      ["Checks", known?.checks.length ? h("ul", { class: "checks" }, known.checks.map(check),
        known.count > known.checks.length && h("li", { text: `and ${plural(known.count - known.checks.length, "other")}` })) : "none yet"],
      ["Statement", hash(edge.statement)],
    ]));
}

const check = ([member, found]) => {
  const [mark, words] = FOUND[found] ?? ["·", found];
  return h("li", { class: `check ${found}` }, h("span", { class: "check-mark", "aria-hidden": "true", text: mark }), who(member), ` ${words}`);
};

function showTable(state) {
  const { view } = state;
  const names = new Map(view.nodes.map((node) => [node.digest, node]));
  const named = (digest) => said(names.get(digest)?.name ?? digest.slice(0, 12), { title: digest });
  const rows = view.edges.toReversed().map((edge) => {
    const [mark, words] = verdict(edge);
    const name = h("button", { type: "button", class: "plain" }, named(edge.child));
    name.addEventListener("click", () => {
      if (state.at?.has(edge.child)) state.pick(state.at.get(edge.child));
      else detail(state, names.get(edge.child));
      document.querySelector("#lineage-picture .self")?.scrollIntoView({ block: "nearest", inline: "nearest" });
      byId("lineage-detail").scrollIntoView({ block: "nearest" });
    });
    return { cells: [name, edge.parent ? named(edge.parent) : "nothing that is named", how(edge), who(edge.member), h("span", { class: `edge-word ${edge.verdict}`, text: `${mark} ${words}`.trim() })] };
  });
  const lone = view.nodes.filter(({ digest }) => !view.edges.some(({ child, parent }) => child === digest || parent === digest))
    .map((node) => ({ cells: [said(nameOf(node), { title: node.digest }), "–", "–", node.member ? who(node.member) : "–", "nothing said"] }));
  byId("lineage-table").replaceChildren(table(["Result", "Made from", "How", "By", "Verdict"], [...rows, ...lone]));
}
