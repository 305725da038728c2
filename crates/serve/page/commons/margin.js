// Who could make a result another: the fewest voters, one employer's people, one voucher's.

import { h } from "./dom.js";
import { plural, whole } from "./format.js";
import { list, said, who } from "./words.js";

/** So few voters are called few: the colour of a warning. */
const FEW = 2;

/** The margin of a question: a bar of those who would have to be missing among all who voted, and in words. */
export function margin({ margin: found, options, status }) {
  const rows = [fewest(found, status.state === "open"), ...blocs(found)].filter(Boolean);
  const result = (winners) => (winners.length ? ["the result is ", ...list(winners.map((at) => said(options[at]?.name ?? `option ${at + 1}`, { class: "option" })), 6)] : ["nothing is decided"]);
  const close = found.employer || found.voucher || (found.exact && found.least !== null && found.least <= FEW);
  return h("section", { class: `panel margin ${close ? "close" : ""}` },
    h("h3", { text: "Who could make it otherwise" }),
    h("ul", {}, rows.map(({ words, missing }) => h("li", {},
      h("p", {}, words, missing && [": without ", missing.names, " ", ...result(missing.winners)].flat(), "."),
      missing && bar(missing.voters, found.voters)))),
    found.untried > 0 && h("p", { class: "note", text: `Not tried, for want of time: ${whole(found.untried)} large employers or vouchers.` }));
}

function fewest({ least, exact, example, voters }, open) {
  const result = open ? "result as it stands" : "result";
  if (least === null) return { words: [`Whoever of ${plural(voters, "voter")} is missing, the ${result} is the same`] };
  const words = [exact ? "" : "At least ", `${whole(least)} of ${plural(voters, "voter")} would have to be missing for another ${result}`];
  return { words, missing: example && { ...example, names: h("span", {}, named(example)) } };
}

const named = ({ who: members, voters }) => (voters > members.length ? [plural(voters, "voter")] : list(members.map(who), 12));

/** The employer and the voucher; that none decides it is said only if all were tried. */
function blocs({ employer, voucher, untried }) {
  const none = (what) => (untried ? null : { words: [`No single ${what} decides it`] });
  const bloc = (missing, words, names) => ({ words, missing: { ...missing, names: h("span", {}, names, ` (${plural(missing.voters, "voter")})`) } });
  return [
    employer ? bloc(employer, ["One employer decides it"], ["the people of ", said(employer.who)]) : none("employer"),
    voucher ? bloc(voucher, ["One voucher decides it"], ["those who stand or fall with ", who(voucher.who)]) : none("voucher"),
  ];
}

/** `part` of `all` voters as a bar; what it says is in words beside it. */
function bar(part, all) {
  const missing = h("i");
  missing.style.inlineSize = `${all ? Math.min(100, (100 * part) / all) : 0}%`;
  return h("div", { class: "margin-bar" }, h("span", { class: "bar", "aria-hidden": "true" }, missing), h("small", { text: `${whole(part)} of ${whole(all)}` }));
}
