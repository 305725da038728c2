// The questions: how each stands, newest first.

import { byId, h, setText, whenChanged } from "./dom.js";
import { plural, whole } from "./format.js";
import { list, said, span, when, who } from "./words.js";

export const TOPICS = {
  question: "question", charter: "charter", rules: "rules", licence: "licence", rights: "rights", stewards: "election of stewards",
  removal: "removal of a member", panel: "panel", appeal: "appeal", witnesses: "witnesses",
};
export const METHODS = {
  approval: "approval", schulze: "ranking, Schulze", committee: "ranking, committee", stv: "single transferable vote", lot: "drawn by lot",
};

/** The short word for how a question stands, and the class of its colour. */
export function state({ status }) {
  if (status.state === "passed") return status.in_force ? ["in force", "good"] : ["passed", "good"];
  return { open: ["open", "open"], withheld: ["withheld", "warn"], failed: ["failed", "idle"], overturned: ["overturned", "bad"] }[status.state] ?? [status.state, "idle"];
}

/** How a question stands, in a sentence's worth of elements. */
export function standing(question, now) {
  const { status, options, method, close, reveal } = question;
  const chosen = () => (method === "lot" ? [plural(status.winners.length, "member")] : list(status.winners.map((at) => said(options[at]?.name ?? `option ${at + 1}`, { class: "option" })), 6));
  const left = (time) => (time > now ? `, ${span(time - now)} after the last mark` : "");
  switch (status.state) {
    case "open":
      return close >= now ? [`Open until ${when(close)}${left(close)}`]
        : [reveal ? `Ballots are opened until ${when(reveal)}` : `Closed at ${when(close)}, counted at the next mark`];
    case "passed":
      return [method === "lot" ? "Drawn: " : "Passed: ", ...chosen(), status.in_force ? `, in force since ${when(status.due)}` : `, in force from ${when(status.due)}`];
    case "withheld":
      return ["Withheld: ", ...chosen(), ` won, but so few as ${plural(status.margin, "voter")} could have made it otherwise; a panel has to uphold it`];
    case "failed":
      return [`Failed on ${when(status.closed)}: nothing changes`];
    case "overturned":
      return [`Overturned by a panel on ${when(status.at)}`];
    default:
      return [status.state];
  }
}

/** Draws the list. */
export const showTallies = (() => {
  const draw = whenChanged(({ questions, count, now }) => {
    const open = questions.filter((question) => question.status.state === "open").length;
    setText(byId("tallies-note"), count === 0 ? "Nobody has asked anything yet."
      : `${plural(count, "question")}, ${whole(open)} open.${count > questions.length ? ` The newest ${whole(questions.length)} are shown.` : ""}`);
    byId("tallies-list").replaceChildren(...questions.map((question) => row(question, now)));
  });
  return ({ size, ...view }) => draw(view);
})();

function row(question, now) {
  const [word, kind] = state(question);
  const path = `${question.method === "lot" ? "panel" : "tally"}/${question.proposal}`;
  return h("li", { class: "question panel" },
    h("div", { class: "question-head" },
      h("h3", {}, h("a", { href: `#${path}` }, said(question.title))),
      h("span", { class: `chip ${kind}`, text: word })),
    h("p", {}, standing(question, now)),
    h("p", { class: "note" }, about(question)));
}

/** What kind of question it is, who asked and who votes. */
export function about(question) {
  const { topic, method, houses, cast, electors, seats, member } = question;
  return [`${TOPICS[topic] ?? topic} · ${METHODS[method] ?? method} · `,
    method === "lot" ? `${plural(electors, "member")} in the pool` : houses.length ? `${houses.join(" and ")} vote apart` : topic === "appeal" ? "the panel votes" : "all members vote together",
    seats > 1 ? ` · ${plural(seats, "seat")}` : "",
    method === "lot" ? "" : ` · ${whole(cast)} of ${whole(electors)} have voted`,
    " · asked by ", who(member)];
}
