// One question: the result, each house's count step by step, and who could flip it. Or a panel.

import { byId, h, whenChanged } from "./dom.js";
import { plural, whole } from "./format.js";
import { margin } from "./margin.js";
import { about, standing, state } from "./tallies.js";
import { clean, facts, hash, list, said, short, table, when, who } from "./words.js";

const HOUSES = { users: "The users’ house", contributors: "The contributors’ house" };
const OUT = { quorum: "out: below the quorum", majority: "out: lacks its majority", cap: "no seat: its employer has enough", excluded: "excluded" };
/** Lines longer than this are folded. */
const LONG = 420;

/** Draws a question's count, or its panel; a longer log that changes neither draws nothing. */
export function showTally({ size, ...view }, isPanel) {
  draw({ view: { ...view, margin: view.margin && { ...view.margin, size: null } }, isPanel });
}

const draw = whenChanged(({ view, isPanel }) => {
  const box = byId("tally");
  const same = box.dataset.proposal === view.proposal;
  const open = new Map([...box.querySelectorAll("details[data-key]")].map((element) => [element.dataset.key, element.open]));
  box.replaceChildren(...(isPanel ? panel(view) : tally(view)).filter(Boolean));
  box.dataset.proposal = view.proposal;
  // What somebody opened or closed stays so while the count goes on.
  for (const element of box.querySelectorAll("details[data-key]")) {
    if (same && open.has(element.dataset.key)) element.open = open.get(element.dataset.key);
  }
});

const tally = (view) => [
  top(view),
  view.problem && h("p", { class: "message bad", text: `This cannot be counted: ${clean(view.problem)}` }),
  view.counts.length > 1 && together(view),
  view.margin && margin(view),
  h("div", { class: view.counts.length > 1 ? "houses two" : "houses" }, view.counts.map((house) => oneHouse(view, house))),
];

const panel = (view) => [
  top(view),
  h("div", { class: "houses two" },
    h("section", { class: "panel" }, h("h3", { text: view.drawn.length ? "On the panel" : "Nobody is drawn yet" }), seats(view.drawn, "Seat"),
      h("h4", { text: "Quotas" }), quotas(view)),
    h("section", { class: "panel" }, h("h3", { text: "Stand-ins, in this order" }), view.stand_ins.length ? seats(view.stand_ins, "Place") : h("p", { class: "note", text: "None." }),
      h("h4", { text: "The draw" }), facts([
        ["Pool", plural(view.pool, "member")],
        ["Secrets revealed", `${whole(view.secrets)}: each goes into the seed, with the log’s root at the first mark after the end, which nobody knew before`],
        ["Panels possible", view.possible],
      ]))),
];

function top(view) {
  const [word, kind] = state(view);
  return h("div", { class: "panel question-top" },
    h("div", { class: "question-head" }, h("h2", {}, said(view.title)), h("span", { class: `chip ${kind}`, text: word })),
    h("p", { class: "verdict-line" }, standing(view, view.now), "."),
    view.text && h("p", { class: "text" }, said(view.text)),
    h("p", { class: "note" }, about(view)),
    facts([
      [view.method === "lot" ? "Drawn after" : "Voting ends", when(view.close)],
      ["Opened until", view.reveal && when(view.reveal)],
      ["Appeals against", view.appeals && h("a", { href: `#tally/${view.appeals}` }, "this question")],
      ["Statement", hash(view.proposal)],
    ]));
}

function together(view) {
  const names = view.counts.map((house) => [HOUSES[house.house].toLowerCase(), winners(view, house)]);
  const agree = new Set(view.counts.map((house) => house.winners.join())).size === 1;
  return h("p", { class: "message" }, names.flatMap(([house, won], at) => [at ? ", " : "", house, view.status.state === "open" ? " would choose " : " chooses ", ...won]),
    agree ? ". Both agree." : view.status.state === "open" ? ". They do not agree: nothing would change." : ". They do not agree: nothing changes.");
}

const winners = (view, house) => (house.winners.length ? list(house.winners.map((at) => optionName(view, at)), 6) : ["nothing"]);
const optionName = (view, at) => said(view.options[at]?.name ?? `option ${at + 1}`, { class: "option" });

function oneHouse(view, house) {
  const open = view.status.state === "open";
  const ranks = view.method === "schulze" || view.method === "committee";
  const key = house.house ?? "all";
  return h("section", { class: "panel house" },
    h("h3", { text: HOUSES[house.house] ?? "All members" }),
    h("p", {}, `${whole(house.ballots)} of ${plural(house.electors, "elector")} voted${house.spoilt ? `, ${plural(house.spoilt, "more ballot does", "more ballots do")} not count` : ""}. `,
      open ? "If it closed now: " : "Result: ", ...winners(view, house), "."),
    h("h4", { text: "How the options fared" }), fared(view, house),
    h("details", { "data-key": `matrix-${key}`, open: ranks && view.options.length <= 16 },
      h("summary", { text: "One to one: how many prefer the row to the column" }), matrix(view, house)),
    h("details", { "data-key": `steps-${key}`, open: house.explanation.length <= 30 },
      h("summary", { text: `The count, step by step (${plural(house.explanation.length, "line")})` }), steps(house.explanation)));
}

function fared(view, { standings, ballots }) {
  const share = (votes) => {
    const bar = h("i");
    bar.style.inlineSize = `${ballots ? Math.min(100, (100 * votes) / ballots) : 0}%`;
    return h("span", { class: "share" }, h("span", { class: "bar", "aria-hidden": "true" }, bar));
  };
  const rows = standings.map((standing) => {
    const option = view.options[standing.option];
    const outcome = standing.elected ? (view.seats > 1 ? `elected, place ${standing.elected}` : option?.default ? "stands" : "elected") : OUT[standing.out] ?? "not elected";
    const votes = standing.approvals ?? (standing.transferable === null ? null : standing.transferable / 100_000);
    return {
      class: standing.elected ? "elected" : "",
      cells: [[optionName(view, standing.option), option?.default ? h("small", { text: " (default: none of the others)" }) : "", option && option.ratio[0] !== option.ratio[1] ? h("small", { text: ` (needs ${option.ratio.join(":")})` }) : "", option?.effect?.words ? h("small", {}, " If it wins, ", said(option.effect.words), ".") : ""],
        [standing.elected ? "✓ " : "", outcome],
        votes === null ? `beats ${whole(standing.beats)}, beaten by ${whole(standing.beaten_by)}` : [`${votes.toLocaleString("en", { maximumFractionDigits: 2 })} `, share(votes)]],
    };
  });
  return table(["Option", "Outcome", standings.some((one) => one.approvals !== null || one.transferable !== null) ? "Votes" : "One to one"], rows, { class: "cards fared" });
}

/** The pairwise matrix: numbers, shaded by their share of the ballots; where the row wins it is bold and marked. */
function matrix(view, { pairwise, ballots }) {
  const { options: count, votes } = pairwise;
  const all = Array.from({ length: count }, (_, at) => at);
  const label = (at) => clean(view.options[at]?.name ?? "");
  const cell = (a, b) => {
    if (a === b) return h("td", { class: "same", text: "–" });
    const [mine, theirs] = [votes[a * count + b], votes[b * count + a]];
    const element = h("td", { class: mine > theirs ? "wins" : "", title: `${whole(mine)} prefer “${label(a)}” to “${label(b)}”, ${whole(theirs)} the other way` },
      whole(mine), mine > theirs && h("span", { class: "unseen", text: " wins" }));
    element.style.setProperty("--heat", ballots ? String(Math.round((mine / ballots) * 100) / 100) : "0");
    return element;
  };
  return h("div", { class: "wide matrix-box", tabindex: "0", role: "region", "aria-label": "Pairwise matrix" },
    h("table", { class: "matrix" },
      h("thead", {}, h("tr", {}, h("td", {}), all.map((b) => h("th", { scope: "col", title: label(b) }, String(b + 1), h("span", { class: "unseen", text: `: ${label(b)}` }))))),
      h("tbody", {}, all.map((a) => h("tr", {}, h("th", { scope: "row" }, `${a + 1}. `, said(short(label(a), 28), { title: label(a) })), all.map((b) => cell(a, b)))))),
    h("p", { class: "note", text: "Darker is a larger part of the ballots; bold with ▸: more prefer the row than the column." }));
}

function steps(lines) {
  return h("ol", { class: "steps-list" }, lines.map((line) => {
    const text = clean(line);
    if (text.length <= LONG) return h("li", {}, h("bdi", { text }));
    return h("li", {}, h("details", {}, h("summary", {}, h("bdi", { text: short(text, 160) })), h("bdi", { text })));
  }));
}

const seats = (people, column) => table([column, "Name", "House", "Works at"], people.map((seat, at) => ({
  cells: [whole(at + 1), who(seat.member), seat.house ?? "–", seat.employer ? said(seat.employer) : "–"],
})));

function quotas({ quotas: all, drawn }) {
  if (!all.length) return h("p", { class: "note", text: "None: every panel of this size is as likely." });
  return table(["Of", "Seats", "Drawn"], all.map(({ stratum, min, max }) => {
    const has = drawn.filter((seat) => seat.house === stratum || seat.employer === stratum).length;
    return { cells: [said(stratum), min === max ? whole(min) : `${whole(min)} to ${whole(max)}`, drawn.length ? `${whole(has)} ${has >= min && has <= max ? "✓" : "✗"}` : "–"] };
  }));
}
