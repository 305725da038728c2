// The page of a run: follows its events and shows each snapshot.

import { makeCurve } from "./curve.js";
import { byId, h, hashChip, keyed, setText, show, whenChanged } from "./dom.js";
import { OVER, bits, bytes, bytesParts, clock, count, fixed, percent, plural, unbroken, whole } from "./format.js";
import { ejections, showEvidence, showPeers, standing } from "./peers.js";
import { makePrompt } from "./prompt.js";
import { showAudits, showRounds } from "./rounds.js";

const PHASES = {
  preparing: "Preparing", lobby: "Waiting for peers", training: "Training", deciding: "Agreeing on the round",
  auditing: "Auditing", repairing: "Repairing a round", finished: "Finished", stopped: "Stopped", failed: "Failed",
};

const showCurve = makeCurve(byId("curve"));
makePrompt();
follow();

function follow() {
  const events = new EventSource("/api/events");
  let over = false;
  events.addEventListener("open", () => link("live", "live"));
  events.addEventListener("snapshot", (event) => {
    const snapshot = JSON.parse(event.data);
    over = OVER.includes(snapshot.phase);
    link(over ? "over" : "live", over ? "ended" : "live");
    showAll(snapshot);
  });
  events.addEventListener("error", () =>
    over ? link("over", "ended") : link("lost", "connection lost, trying again"));
}

function link(state, text) {
  byId("link").dataset.state = state;
  setText(byId("link-text"), text);
}

function showAll(snapshot) {
  showHeader(snapshot);
  announce(snapshot);
  showOutcome(snapshot);
  showFigures(snapshot);
  showCurve(snapshot);
  showEvidence(snapshot);
  showPeers(snapshot);
  showRounds(snapshot);
  showAudits(snapshot);
  showModel(snapshot);
  showCorpus(snapshot.corpus);
  showNext({ commands: snapshot.summary?.next ?? [], phase: snapshot.phase });
}

function showHeader(snapshot) {
  const { round, rounds, remaining_s: left, elapsed_s: gone } = snapshot;
  const phase = snapshot.phase || "preparing";
  setText(byId("run-name"), snapshot.name || "unnamed run");
  setText(byId("run-id"), snapshot.run.slice(0, 8));
  byId("run-id").title = `run ${snapshot.run}`;
  byId("phase").dataset.phase = phase;
  setText(byId("phase"), PHASES[phase] ?? phase);
  setText(byId("round-label"), round === 0 ? "before round 1" : rounds ? `round ${round} of ${rounds}` : `round ${round}`);
  const ended = OVER.includes(phase);
  setText(byId("time-label"), !ended && left !== null ? `${clock(left)} left` : `${clock(gone)} ${ended ? "in all" : "so far"}`);
  show(byId("message"), Boolean(snapshot.message));
  setText(byId("message"), snapshot.message ?? "");
  byId("message").classList.toggle("bad", phase === "failed");
  const last = snapshot.curve.at(-1);
  document.title = `${last ? `${bits(last.bits_per_byte)} bits/byte, ` : ""}${PHASES[phase] ?? phase} · understory`;
  showProgress(snapshot);
}

function showProgress({ phase, round, rounds, elapsed_s: gone, remaining_s: left, peers }) {
  const bar = byId("progress");
  const working = peers.filter((peer) => peer.status !== "ejected" && peer.steps > 0);
  const within = working.length ? working.reduce((sum, peer) => sum + Math.min(1, peer.step / peer.steps), 0) / working.length : 0;
  const byRound = rounds > 0 && rounds <= 80;
  const share = phase === "finished" ? 1 : byRound ? Math.min(1, (Math.max(0, round - 1) + within) / rounds) : left !== null && gone + left > 0 ? gone / (gone + left) : 0;
  bar.setAttribute("aria-valuenow", String(Math.round(share * 100)));
  const parts = Array.from({ length: byRound ? rounds : 1 }, (_, at) => String(at));
  keyed(bar, parts, (part) => part, () => h("span", {}, h("i")), (part, _, at) => {
    const filled = Math.min(1, Math.max(0, share * parts.length - at));
    part.firstElementChild.style.inlineSize = `${(filled * 100).toFixed(1)}%`;
  });
}

const told = new Set();
function announce(snapshot) {
  const news = ejections(snapshot).filter(([id]) => !told.has(id));
  news.forEach(([id]) => told.add(id));
  const words = news.map(([, text]) => text);
  if (snapshot.summary && !told.has("summary")) {
    told.add("summary");
    words.push("the run has finished");
  }
  if (words.length) byId("announce").textContent = `${words.join(". ")}.`;
}

const showOutcomeOf = whenChanged((summary) => {
  show(byId("outcome"), Boolean(summary));
  if (!summary) return;
  const all = summary.agree === summary.honest;
  setText(byId("outcome-title"), all
    ? `All ${whole(summary.honest)} honest peers hold the same model, bit for bit.`
    : `${whole(summary.agree)} of ${whole(summary.honest)} honest peers hold the same model.`);
  byId("outcome").classList.toggle("bad", !all);
  byId("outcome-root").replaceChildren("root ", hashChip(summary.root, 16));
  setText(byId("outcome-sample"), summary.sample);
});
const showOutcome = ({ summary }) => showOutcomeOf(summary);

function showFigures(snapshot) {
  const { curve, baselines, totals, rounds_done: rounds, audits, peers } = snapshot;
  const last = curve.at(-1);
  const [mark] = baselines;
  const gap = last && mark ? last.bits_per_byte - mark.bits_per_byte : null;
  const round = rounds.at(-1);
  const [sent, unit] = bytesParts(round?.bytes_sent ?? 0);
  const counted = peers.filter((peer) => peer.status !== "ejected" && peer.status !== "down");
  const agree = counted.filter((peer) => standing(peer, snapshot).good).length;
  const confirmed = audits.filter((audit) => audit.verdict === "confirmed").length;
  const wrong = audits.filter((audit) => audit.verdict === "mismatch").length;
  figures([
    {
      term: "Held-out loss", value: last ? bits(last.bits_per_byte) : "–", unit: last ? "bits per byte" : "",
      note: gap === null ? "not measured yet" : `${Math.abs(gap).toFixed(3)} ${gap < 0 ? "below" : "above"} ${unbroken(mark.name)}`, good: gap !== null && gap < 0,
    },
    speed(snapshot),
    {
      term: "Sent per round", value: round ? sent : "–", unit: round ? unit : "",
      note: round ? `${fixed(round.bytes_per_param, 2)} bytes per parameter; ${bytes(totals.bytes_sent)} in all` : "no round has ended yet",
    },
    {
      term: "Audits", value: whole(confirmed), unit: "confirmed", bad: wrong > 0,
      note: audits.length ? `${wrong ? plural(wrong, "mismatch", "mismatches") : "no mismatch"}; ${percent(totals.audit_share)} of the work` : "none drawn yet",
    },
    {
      term: "Same root", value: round ? `${agree} of ${counted.length}` : "–", unit: round ? "peers" : "",
      note: round ? "" : "no root yet", root: round?.root,
    },
  ]);
}

function speed({ phase, totals, elapsed_s: gone }) {
  const tokens = `${count(totals.tokens)} tokens`;
  return OVER.includes(phase) && gone > 0
    ? { term: "Speed", value: whole(totals.tokens / gone), unit: "tokens/s", note: `on average; ${tokens} in all` }
    : { term: "Speed", value: whole(totals.tokens_per_s), unit: "tokens/s", note: `${tokens} so far` };
}

const figures = (items) => keyed(byId("figures"), items, (item) => item.term, makeFigure, (element, item) => element.fill(item));

function makeFigure({ term }) {
  const value = h("strong");
  const unit = h("span", { class: "unit" });
  const note = h("dd", { class: "note" });
  const element = h("div", { class: "figure" }, h("dt", { text: term }), h("dd", {}, value, " ", unit), note);
  const root = whenChanged((hash) => note.replaceChildren(...(hash ? ["root ", hashChip(hash)] : [])));
  element.fill = (item) => {
    setText(value, item.value);
    setText(unit, item.unit);
    if (item.root) root(item.root);
    else setText(note, item.note);
    note.classList.toggle("good", Boolean(item.good));
    note.classList.toggle("bad", Boolean(item.bad));
  };
  return element;
}

const facts = (id, pairs) =>
  byId(id).replaceChildren(...pairs.map(([term, value]) => h("div", {}, h("dt", { text: term }), h("dd", { text: value }))));

const drawModel = whenChanged((model) => facts("about-model", model.params === 0 ? [["State", "not chosen yet"]] : [
  ["Parameters", `${count(model.params)} (${whole(model.params)})`],
  ["Shape", `${plural(model.layers, "layer")}, width ${whole(model.dim)}, ${plural(model.heads, "head")}`],
  ["Vocabulary", `${whole(model.vocab)} tokens, learnt from the text`],
  ["Context", plural(model.seq, "token")],
]));
const showModel = ({ model }) => drawModel(model);

const showCorpus = whenChanged((corpus) => facts("about-corpus", corpus.bytes === 0 ? [["State", "not read yet"]] : [
  ["Source", corpus.source],
  ["Size", `${plural(corpus.files, "file")}, ${bytes(corpus.bytes)}, ${count(corpus.tokens)} tokens`],
  ["Held out", bytes(corpus.held_out_bytes)],
  ["Licences", licences(corpus.licences)],
]));

function licences(all) {
  if (!all.length) return "not known";
  const shown = all.slice(0, 5).map(([name, files]) => `${name} (${plural(files, "file")})`);
  return shown.join(", ") + (all.length > 5 ? ` and ${plural(all.length - 5, "other")}` : "");
}

const showNext = whenChanged(({ commands, phase }) => {
  const note = commands.length ? "In a terminal, in the folder the run was started from:"
    : OVER.includes(phase) ? "The terminal the run was started from says more."
    : "When the run ends, the commands to use, check and export the model stand here. Ctrl-C in its terminal stops it; it can go on later.";
  setText(byId("next-note"), note);
  byId("next").replaceChildren(...commands.map((command) => {
    const copy = h("button", { type: "button", class: "copy", text: "Copy", "aria-label": `Copy: ${command}` });
    copy.addEventListener("click", async () => {
      try {
        await navigator.clipboard.writeText(command);
        setText(copy, "Copied");
      } catch {
        setText(copy, "Select it");
      }
      setTimeout(() => setText(copy, "Copy"), 1500);
    });
    return h("li", {}, h("code", { text: command }), copy);
  }));
});
