// Contributions, round by round and peer by peer, and the audits of them.

import { byId, h, hashChip, setText, whenChanged } from "./dom.js";
import { bytes, clock, fixed, percent, plural, seconds, whole } from "./format.js";
import { colour, peerChip } from "./peers.js";

/** Columns and rows kept on the page; older ones are in the JSON. */
const COLUMNS = 60;
const ROWS = 100;

const VERDICTS = [
  ["confirmed", "re-run and confirmed"], ["not drawn", "not drawn for an audit"], ["pending", "audit pending"],
  ["unavailable", "could not be fetched"], ["mismatch", "re-run and wrong"],
];

/** The height that the reader chose to look at; the newest where none. */
let chosen = null;

const drawRounds = whenChanged((view) => {
  const held = byId("rounds").contains(document.activeElement);
  byId("rounds").replaceChildren(...table(view));
  if (held) byId("rounds").querySelector("[tabindex='0']")?.focus();
  const strip = byId("rounds").querySelector(".strip");
  if (strip && chosen === null) strip.scrollLeft = strip.scrollWidth;
});

/** Draws the contributions of every round that has ended. */
export function showRounds({ rounds_done, peers }) {
  drawRounds({
    rounds: rounds_done.slice(-COLUMNS),
    peers: peers.map(({ id, name, status }) => ({ id, name, out: status === "ejected" })),
  });
}

function table(view) {
  const { rounds, peers } = view;
  if (!rounds.length) return [h("p", { class: "empty", text: "No round has ended yet. Each adds a column here." })];
  const most = Math.max(1, ...rounds.flatMap((round) => round.contributions.map((c) => c.steps)));
  const shown = rounds.find((round) => round.height === chosen) ?? rounds.at(-1);
  const detail = h("div", { class: "round-detail", role: "status" });

  const heads = rounds.map((round) => {
    const again = round.kind === "repair";
    return h("th", { scope: "col" }, h("button", {
      type: "button", class: "round", tabindex: round === shown ? "0" : "-1", "aria-pressed": String(round === shown),
      "aria-label": `round ${round.round}${again ? ", repaired" : ""}`, "data-height": round.height, text: again ? `${round.round}↻` : round.round,
    }));
  });
  const rows = peers.map((peer, at) => h("tr", { class: `${colour(at)} ${peer.out ? "is-out" : ""}` },
    h("th", { scope: "row" }, h("span", { class: "peer-name" }, h("i", { class: "swatch", "aria-hidden": "true" }), h("span", { text: peer.name }))),
    rounds.map((round) => cell(round, peer, most, round === shown))));

  const strip = h("div", { class: "strip" },
    h("table", {}, h("thead", {}, h("tr", {}, h("th", { class: "corner", scope: "col", text: "round" }), heads)), h("tbody", {}, rows)));
  const pick = (height, focus) => {
    chosen = height === rounds.at(-1).height ? null : height;
    for (const button of strip.querySelectorAll("button")) {
      const on = Number(button.dataset.height) === height;
      button.tabIndex = on ? 0 : -1;
      button.setAttribute("aria-pressed", String(on));
      if (on && focus) button.focus();
    }
    for (const td of strip.querySelectorAll("td")) td.classList.toggle("shown", Number(td.dataset.height) === height);
    describe(detail, rounds.find((round) => round.height === height), view);
  };
  strip.addEventListener("click", (event) => {
    const target = event.target.closest("[data-height]");
    if (target) pick(Number(target.dataset.height), target.tagName === "BUTTON");
  });
  strip.addEventListener("keydown", (event) => {
    const at = rounds.findIndex((round) => String(round.height) === event.target.dataset?.height);
    const to = { ArrowLeft: at - 1, ArrowRight: at + 1, Home: 0, End: rounds.length - 1 }[event.key];
    if (at < 0 || to === undefined) return;
    event.preventDefault();
    pick(rounds[Math.min(rounds.length - 1, Math.max(0, to))].height, true);
  });
  describe(detail, shown, view);
  return [strip, legend(rounds), detail];
}

function cell(round, peer, most, shown) {
  const did = round.contributions.find((c) => c.peer === peer.id);
  const base = { "data-height": round.height, class: shown ? "shown" : "" };
  if (!did) return h("td", { ...base, title: `${peer.name}, round ${round.round}: nothing` }, h("span", { class: "unseen", text: "nothing" }));
  const text = `${peer.name}, round ${round.round}: ${contributionWords(did).join(", ")}`;
  const bar = h("i", { class: "did", "data-verdict": did.verdict, "data-in": String(did.included), "aria-hidden": "true" });
  bar.style.blockSize = `${Math.max(14, (100 * did.steps) / most)}%`;
  return h("td", { ...base, title: text }, h("span", { class: "well" }, bar), h("span", { class: "unseen", text }));
}

const contributionWords = (did) => [
  plural(did.steps, "step"), did.verdict, ...(did.included ? [] : ["left out"]), ...(did.clipped ? ["clipped"] : []),
];

function legend(rounds) {
  const seen = new Set(rounds.flatMap((round) => round.contributions.map((c) => c.verdict)));
  const left = rounds.some((round) => round.contributions.some((c) => !c.included));
  const again = rounds.some((round) => round.kind === "repair");
  return h("ul", { class: "legend" },
    VERDICTS.filter(([verdict]) => seen.has(verdict)).map(([verdict, words]) =>
      h("li", {}, h("i", { class: "did key-cell", "data-verdict": verdict, "data-in": "true", "aria-hidden": "true" }), words)),
    left && h("li", {}, h("i", { class: "did key-cell", "data-verdict": "none", "data-in": "false", "aria-hidden": "true" }), "left out of the root"),
    again && h("li", {}, h("span", { class: "again", "aria-hidden": "true", text: "↻" }), "computed again"));
}

function describe(element, round, { peers }) {
  const kind = { advance: "", repair: ", computed again without the culprit", close: ", the last" }[round.kind] ?? `, ${round.kind}`;
  element.replaceChildren(
    h("p", { class: "round-line" },
      h("strong", { text: `Round ${round.round}${kind}` }),
      h("span", { text: seconds(round.seconds) }),
      h("span", { text: `${bytes(round.bytes_sent)} sent` }),
      h("span", { text: `${fixed(round.bytes_per_param, 2)} bytes per parameter` }),
      h("span", {}, "root ", hashChip(round.root))),
    h("table", { class: "round-who" },
      h("thead", {}, h("tr", {}, ["peer", "steps", "weight", "norm", "verdict"].map((text) => h("th", { scope: "col", text })))),
      h("tbody", {}, round.contributions.map((did) => h("tr", {},
        h("td", {}, peerChip({ peers }, did.peer)),
        h("td", { text: whole(did.steps) }),
        h("td", { text: fixed(did.weight, 2) }),
        h("td", {}, norm(did.norm), did.clipped && h("small", { text: " clipped" })),
        h("td", {}, h("span", { class: "verdict", "data-verdict": did.verdict, text: did.verdict }), !did.included && h("small", { text: " left out" })))))));
}

const norm = (value) => (Number.isFinite(value) ? Number(value.toPrecision(3)).toString() : "∞");

const drawAudits = whenChanged((view) => {
  const { audits } = view;
  if (!audits.length) {
    return byId("audits").replaceChildren(h("p", { class: "empty", text: "No audit yet. The first are drawn when round 1 has ended." }));
  }
  const rows = audits.map((audit) => h("tr", {},
    h("td", { class: "at", text: clock(audit.t_s) }),
    h("td", {}, peerChip(view, audit.contributor),
      h("small", { text: `round ${audit.round}${audit.part === null ? "" : `, part ${audit.part + 1}`}` })),
    h("td", {}, peerChip(view, audit.auditor)),
    h("td", {}, h("span", { class: "verdict", "data-verdict": audit.verdict, text: audit.verdict }))));
  const scroll = byId("audits").querySelector(".audit-list")?.scrollTop ?? 0;
  byId("audits").replaceChildren(h("div", { class: "audit-list", tabindex: "0", role: "region", "aria-label": "Audits, newest first" },
    h("table", {},
      h("thead", {}, h("tr", {}, ["time", "work of", "re-run by", "verdict"].map((text) => h("th", { scope: "col", text })))),
      h("tbody", {}, rows))));
  byId("audits").firstElementChild.scrollTop = scroll;
});

/** Lists the audits, newest first. */
export function showAudits({ audits, peers, totals }) {
  drawAudits({ audits: audits.slice(-ROWS).reverse(), peers: peers.map(({ id, name }) => ({ id, name })) });
  const wrong = audits.filter((audit) => audit.verdict === "mismatch").length;
  const fine = audits.filter((audit) => audit.verdict === "confirmed").length;
  setText(byId("audits-note"), audits.length
    ? `${whole(fine)} confirmed, ${wrong ? plural(wrong, "mismatch", "mismatches") : "no mismatch"}; ${percent(totals.audit_share)} of the work.`
    : "Peers re-run each other’s work and compare hashes.");
}
