// Whether the log is well: alarms on every view, and all of it on one.

import { byId, h, s, setText, whenChanged } from "./dom.js";
import { plural, whole } from "./format.js";
import { clean, facts, hash, list, said, span, table, when, who } from "./words.js";

/** What cannot wait, above every view. */
export const alarms = (() => {
  const draw = whenChanged(({ overdue, left_out, splits, runs, counts }) => {
    byId("alarms").replaceChildren(...[counts.splits && split(splits, counts), counts.overdue && late(overdue, counts), counts.left_out && broken(left_out, counts), counts.contradicted && otherwise(runs, counts)].filter(Boolean));
  });
  return ({ overdue, left_out, splits, runs, counts }) => draw({ overdue, left_out, splits, runs, counts });
})();

const alarm = (...parts) => h("p", { class: "alarm-line" }, h("strong", { class: "alarm-word", text: "Alarm" }), h("span", {}, parts));

function late(overdue, counts) {
  const authors = [...new Set(overdue.map(({ author }) => author))];
  const most = Math.max(...overdue.map(({ checkpoints }) => checkpoints));
  return alarm(`${plural(counts.overdue, "statement")} of `, ...list(authors.map(who), 4),
    ` ${counts.overdue === 1 ? "is" : "are"} overdue: ${plural(most, "checkpoint")} left ${counts.overdue === 1 ? "it" : "them"} out. Somebody may be kept out of the log. `,
    h("a", { href: "#health", text: "Details" }));
}

function broken(left, counts) {
  const operators = [...new Set(left.map(({ operator }) => operator))];
  return alarm("The log’s operator ", ...list(operators.map(who), 4), ` signed to have ${plural(counts.left_out, "statement")} and left ${counts.left_out === 1 ? "it" : "them"} out: receipts in the log show it. `,
    h("a", { href: "#health", text: "Details" }));
}

function split(splits, counts) {
  const operators = [...new Set(splits.map(({ operator }) => operator))];
  return alarm("The log’s operator ", ...list(operators.map(who), 4), ` signed a second history (${plural(counts.splits, "proof")}): not everybody may see what you see. `,
    h("a", { href: "#health", text: "Details" }));
}

function otherwise(runs, counts) {
  const several = runs.filter(({ contradicted }) => contradicted.length > 0);
  return alarm(`Members say two things of ${plural(counts.contradicted, "record")} of run `, ...list(several.map(({ run }) => hash(run)), 4), ": one of the histories is false. ",
    h("a", { href: "#health", text: "Details" }));
}

/** Draws the view. */
export const showHealth = whenChanged((health) => {
  const { counts, last_mark: mark } = health;
  const fine = !(counts.overdue || counts.left_out || counts.splits || counts.equivocations || counts.contradicted);
  setText(byId("health-note"), fine ? "Nobody contradicts themselves, and nothing waits for too long." : "Something needs a look.");
  byId("health").replaceChildren(
    h("div", { class: "houses two" },
      section("Witnesses and time", facts([
        ["Quorum", `${whole(health.threshold)} of ${plural(health.witnesses, "witness", "witnesses")} must cosign a checkpoint`],
        ["Last mark", mark === null ? "none yet: no time is vouched for" : `${when(mark)}${ago(mark)}`],
        ["Marks", whole(health.marks)],
        ["Time", !health.one_decides ? null : `one witness alone decides it, up to ${span(health.step)} beyond what two members have seen`],
        ["Held mark", health.held === null ? null : `${when(health.held)}: counts once members’ statements have seen it and another follows`],
        ["Witnesses to come", health.coming && [`${whole(health.coming.threshold)} of `, h("span", {}, list(health.coming.names.map((name) => said(name)))), ` have to cosign a head of more than ${plural(health.coming.since, "statement")}`]],
        ["Not yet witnessed", plural(health.unwitnessed, "statement")],
      ])),
      section("The commons", facts([
        ["Name", said(health.name)],
        ["Id", hash(health.id)],
        ["Charter", hash(health.charter)],
        ["Forked from", health.parent && [hash(health.parent.id), ` after ${plural(health.parent.size, "statement")}`]],
        ["Statements", whole(health.size)],
      ]))),
    section(`Overdue statements: ${whole(counts.overdue)}`, h("p", { class: "note", text: `What an operator signed to have and ${plural(health.overdue_after, "checkpoint")} or more left out, though it is ready for its place.` }),
      health.overdue.length > 0 && table(["Author", "Statement", "Left out by"], health.overdue.map((one) => ({ cells: [who(one.author), hash(one.statement), plural(one.checkpoints, "checkpoint")] }))), "bad", counts.overdue > 0),
    ...(counts.left_out === 0 ? [] : [section(`Overdue by a receipt in the log: ${whole(health.left_out.length)}`, table(["Author", "Statement", "Operator", "Shown at"], health.left_out.map((one) => ({ cells: [who(one.author), hash(one.statement), who(one.operator), `statement ${whole(one.index)}`] }))), "bad", true)]),
    ...(counts.unanswered === 0 ? [] : [section(`Without a receipt: ${whole(counts.unanswered)}`, h("p", { class: "note", text: "Members’ statements that this member holds and for which the operator gave no receipt: they may not have reached it." }),
      table(["Author", "Statement", "Checkpoints since"], health.unanswered.map((one) => ({ cells: [who(one.author), hash(one.statement), whole(one.checkpoints)] }))))]),
    section(`Second histories: ${whole(counts.splits)}`, h("p", { class: "note", text: "Proofs that an operator signed another log under this one’s name." }),
      health.splits.length > 0 && table(["Operator", "Came out at", "Differs by size", "Other root", "Proof"], health.splits.map((one) => ({ cells: [who(one.operator), `statement ${whole(one.index)}`, whole(one.size), hash(one.other), hash(one.statement)] }))), "bad", counts.splits > 0),
    section(`Authors that said two things in one place: ${whole(counts.equivocations)}`, h("p", { class: "note", text: "Nothing that such a key signed from that place on counts." }),
      health.equivocations.length > 0 && table(["Author", "From its statement", "One", "The other", "Came out at"], health.equivocations.map((one) => ({ cells: [who(one.author), `number ${whole(one.seq + 1)}`, hash(one.first), hash(one.second), `statement ${whole(one.index)}`] }))), "warn", counts.equivocations > 0),
    section(`Runs with marked records: ${whole(counts.runs)}`, h("p", { class: "note", text: "What members say a training run’s records are. Who joins the run compares the history that it is shown with them." }),
      health.runs.length > 0 && table(["Run", "Marked heights", "Newest", "Record", "By", "Two records at"], health.runs.map(({ run, heights, newest, contradicted }) => ({
        cells: [hash(run), whole(heights), whole(newest.height), list(newest.records.map(({ record }) => hash(record)), 4), list(newest.records.flatMap(({ by }) => by).map(who), 4), contradicted.length === 0 ? "none" : contradicted.slice(-4).map(whole).join(", ")],
      }))), "bad", counts.contradicted > 0),
    section("Operators", h("p", { class: "note", text: "Who gave statements their place and signed checkpoints, over the log’s length." }), operators(health)),
    section(`Void statements: ${whole(health.void)}`, h("p", { class: "note", text: health.void > health.last_void.length ? `They have their place and count for nothing. The last ${whole(health.last_void.length)}:` : "They have their place and count for nothing." }),
      health.last_void.length > 0 && table(["Statement", "Hash", "Why"], health.last_void.map((one) => ({ cells: [whole(one.index), hash(one.statement), h("bdi", { text: clean(one.reason.words) })] })))));
});

function section(title, ...parts) {
  const kind = parts.at(-1) === true ? parts.at(-2) : "";
  const shown = parts.filter((part) => typeof part === "object");
  return h("section", { class: `panel ${kind ? `is-${kind}` : ""}` }, h("h3", { text: title }), shown);
}

/** How long ago by this machine's clock, where that makes sense. */
function ago(time) {
  const gone = Date.now() / 1000 - time;
  return gone >= 0 ? `, ${span(gone)} ago` : "";
}

function operators({ operators: all, size }) {
  const parts = all.map((one, at) => ({ ...one, until: all[at + 1]?.since ?? size + 1 }));
  const bar = s("svg", { class: "timeline", viewBox: "0 0 100 6", preserveAspectRatio: "none", "aria-hidden": "true" },
    parts.map(({ since, until }, at) => s("rect", { class: `peer-${at % 8}`, x: ((since - 1) / size) * 100, width: Math.max(0.4, ((until - since) / size) * 100), y: 0, height: 6 })));
  return h("div", {}, bar, table(["Operator", "From size", "To size"], parts.map(({ key, since, until }, at) => ({
    cells: [[h("i", { class: `swatch peer-${at % 8}`, "aria-hidden": "true" }), " ", who(key)], whole(since), at === parts.length - 1 ? "now" : whole(until - 1)],
  }))));
}
