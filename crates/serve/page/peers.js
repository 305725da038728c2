// Peers: one card each, and the proofs against those that are out.

import { byId, glyph, h, hashChip, keyed, s, setText, show, whenChanged } from "./dom.js";
import { OVER, bytes, plural, whole } from "./format.js";

const WORKS = {
  fetching: "fetching the run", gathering: "reading the text", learning: "learning the tokens of the text", tokenizing: "cutting the text into tokens",
  hashing: "hashing", loading: "loading the weights", catching_up: "catching up",
};

const STATES = {
  joined: "joined", training: "training", auditing: "auditing", waiting: "waiting", down: "not reachable", ejected: "out",
};
const KEPT = 90;
const COLOURS = 8;

/** What the page remembers of each peer's speed, since a snapshot has only the latest. */
const speeds = new Map();

/** The colour class of a peer, by its place in the run. */
export const colour = (at) => `peer-${at % COLOURS}`;

/** A peer's name with its colour, for use in sentences. */
export function peerChip(snapshot, id) {
  const at = snapshot.peers.findIndex((peer) => peer.id === id);
  const name = at < 0 ? id.slice(0, 8) : snapshot.peers[at].name;
  return h("span", { class: `peer-name ${at < 0 ? "" : colour(at)}`, title: id }, h("i", { class: "swatch", "aria-hidden": "true" }), name);
}

/** Draws every peer of a snapshot. */
export function showPeers(snapshot) {
  const { peers } = snapshot;
  remember(snapshot);
  const out = peers.filter((peer) => peer.status === "ejected").length;
  const working = peers.length - out;
  setText(byId("peers-note"), peers.length === 0
    ? "Nobody has joined yet."
    : `${plural(working, "peer")} ${OVER.includes(snapshot.phase) ? "to the end" : "at work"}${out ? `, ${whole(out)} out` : ""}`);
  keyed(byId("peers"), peers, (peer) => peer.id || peer.name, makeCard, (card, peer, at) => fillCard(card, peer, at, snapshot));
}

function remember({ elapsed_s: now, peers }) {
  for (const peer of peers) {
    const kept = speeds.get(peer.id) ?? [];
    if (kept.length && now < kept.at(-1).now) kept.length = 0; // the run was started again
    if (!kept.length || now - kept.at(-1).now >= 0.5) kept.push({ now, speed: peer.tokens_per_s });
    if (kept.length > KEPT) kept.shift();
    speeds.set(peer.id, kept);
  }
}

function makeCard() {
  const part = (name, tag = "span", attributes = {}) => h(tag, { "data-part": name, ...attributes });
  const fact = (term, name) => h("div", {}, h("dt", { text: term }), part(name, "dd"));
  const card = h("li", { class: "card" },
    h("div", { class: "card-head" },
      h("i", { class: "swatch", "aria-hidden": "true" }),
      part("name", "h3"), part("state", "span", { class: "state" })),
    h("p", { class: "card-line" }, part("key", "code", { class: "key" }), part("tags", "span", { class: "tags" })),
    part("reason", "p", { class: "reason", hidden: true }),
    part("work", "label", { class: "work", hidden: true }),
    h("div", { class: "speed" },
      h("span", { class: "speed-now" }, part("speed", "strong"), " tokens/s"),
      s("svg", { class: "spark", viewBox: "0 0 90 24", preserveAspectRatio: "none", "aria-hidden": "true" },
        s("path", { class: "spark-under" }), s("path", { class: "spark-line", "vector-effect": "non-scaling-stroke" }))),
    h("div", { class: "steps" },
      h("div", { class: "bar", "aria-hidden": "true" }, part("bar", "i")),
      part("steps")),
    h("dl", { class: "card-facts" }, fact("sent", "sent"), fact("received", "received"), fact("audits passed", "audits"), fact("standing", "standing"), fact("root", "root")));
  const workText = h("span");
  const workBar = h("progress", { max: "1", value: "0" });
  card.work = (work) => {
    setText(workText, workWords(work));
    workBar.value = work.total ? Math.min(1, work.done / work.total) : 0;
  };
  card.parts = Object.fromEntries([...card.querySelectorAll("[data-part]")].map((element) => [element.dataset.part, element]));
  card.parts.work.append(workText, workBar);
  card.tags = whenChanged(([you, cheat]) => card.parts.tags.replaceChildren(
    ...(you ? [h("span", { class: "tag", text: "this machine" })] : []),
    ...(cheat ? [h("span", { class: "tag cheat", title: "the demo told this peer to cheat", text: `cheats: ${cheat}` })] : [])));
  card.root = whenChanged((standing) => showRoot(card.parts.root, standing));
  return card;
}

function fillCard(card, peer, at, snapshot) {
  const { parts } = card;
  card.className = `card ${colour(at)}`;
  card.dataset.status = peer.status;
  setText(parts.name, peer.name);
  setText(parts.key, `key ${peer.id.slice(0, 12)}`);
  parts.key.title = peer.id;
  const over = OVER.includes(snapshot.phase);
  setText(parts.state, over && peer.status === "waiting" ? "done" : STATES[peer.status] ?? peer.status);
  card.tags([peer.you, peer.cheat]);
  setText(parts.speed, whole(peer.tokens_per_s));
  setText(parts.steps, peer.steps ? `step ${whole(peer.step)} of ${whole(peer.steps)}` : over ? "no more steps" : "no steps yet");
  parts.bar.style.inlineSize = `${peer.steps ? Math.min(100, (100 * peer.step) / peer.steps) : 0}%`;
  setText(parts.sent, bytes(peer.sent_bytes));
  setText(parts.received, bytes(peer.received_bytes));
  setText(parts.audits, whole(peer.audits_passed));
  setText(parts.standing, peer.vote ? `${whole(peer.standing)} steps, ${Math.round(100 * peer.vote)} % of votes` : peer.standing ? `${whole(peer.standing)} steps, no vote yet` : "none yet");
  parts.standing.title = "steps of its work that audits stand behind; votes weigh by them";
  card.root(standing(peer, snapshot));
  show(parts.reason, Boolean(peer.reason));
  setText(parts.reason, peer.reason ?? "");
  show(parts.work, Boolean(peer.work));
  if (peer.work) card.work(peer.work);
  const line = spark(speeds.get(peer.id));
  card.querySelector(".spark-line").setAttribute("d", line);
  card.querySelector(".spark-under").setAttribute("d", `${line}V24H${line.slice(1).split(" ")[0]}Z`);
}

/** What a peer prepares with and how far that is: "fetching the run: 40 % of 12.3 MB". */
function workWords({ work, done, total }) {
  const share = total ? Math.floor(Math.min(100, (100 * done) / total)) : 0;
  const all = { learning: `${whole(total)} tokens`, catching_up: plural(total, "record") }[work] ?? bytes(total);
  return `${WORKS[work] ?? work}: ${share} % of ${all}`;
}

/** Whether a peer holds the newest root, an older one of this run, or another altogether. */
export function standing(peer, { rounds_done: rounds }) {
  if (!peer.root) return { root: null, word: "none yet" };
  if (peer.status === "ejected") return { root: peer.root, mark: "✗", word: "does not count", bad: true };
  if (!rounds.length || peer.root === rounds.at(-1).root) return { root: peer.root, mark: "✓", word: "agrees", good: true };
  if (rounds.some((round) => round.root === peer.root)) return { root: peer.root, mark: "…", word: "a round behind" };
  return { root: peer.root, mark: "✗", word: "differs", bad: true };
}

function showRoot(element, { root, mark, word, good, bad }) {
  if (!root) return element.replaceChildren(word);
  element.replaceChildren(
    h("span", { class: "hash", title: root }, glyph(root), h("code", { text: root.slice(0, 6) })),
    h("span", { class: `mark ${good ? "good" : bad ? "bad" : ""}`, title: word },
      h("span", { "aria-hidden": "true", text: mark }), h("span", { class: "unseen", text: word })));
}

function spark(kept) {
  if (kept.length < 2) return "M0 23";
  const top = Math.max(1, ...kept.map(({ speed }) => speed)) * 1.05;
  const step = 90 / (KEPT - 1);
  const from = 90 - (kept.length - 1) * step;
  return kept.map(({ speed }, at) => `${at ? "L" : "M"}${(from + at * step).toFixed(2)} ${(23 - (22 * speed) / top).toFixed(2)}`).join("");
}

const drawEvidence = whenChanged((snapshot) => {
  show(byId("evidence"), snapshot.evidence.length > 0);
  byId("evidence-list").replaceChildren(...snapshot.evidence.map((item) => proof(item, snapshot)));
});

/** Shows the proofs against peers that are out. */
export function showEvidence({ evidence, peers }) {
  drawEvidence({ evidence, peers: peers.map(({ id, name }) => ({ id, name })) });
}

function proof(item, snapshot) {
  const where = `Round ${item.round}${item.part === null ? "" : `, part ${item.part + 1}`}`;
  return h("article", { class: "proof" },
    h("div", { class: "proof-text" },
      h("p", { class: "proof-where", text: where }),
      h("h3", {}, peerChip(snapshot, item.peer), " is out"),
      h("p", { text: item.what })),
    h("div", { class: "proof-hashes" },
      item.claimed && hashRow("It claimed", item.claimed, "bad"),
      item.expected && hashRow("Re-running gives", item.expected, "good")),
    h("div", { class: "proof-by" },
      h("p", { class: "note", text: item.confirmed_by.length ? `Re-run and confirmed by ${plural(item.confirmed_by.length, "peer")}` : "Not confirmed by others yet" }),
      h("p", { class: "chips" }, item.confirmed_by.map((id) => peerChip(snapshot, id)))));
}

const hashRow = (label, hash, kind) =>
  h("p", { class: `hash-row ${kind}` }, h("span", { class: "note", text: label }), hashChip(hash, 16));

/** One sentence for each peer that is out, to be read aloud. */
export const ejections = ({ peers }) =>
  peers.filter((peer) => peer.status === "ejected").map((peer) => [peer.id, `${peer.name} is out${peer.reason ? `: ${peer.reason}` : ""}`]);
