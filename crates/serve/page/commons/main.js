// The page of a commons: follows the log's version and shows one view at a time.

import { byId, h, setText, show } from "./dom.js";
import { plural, whole } from "./format.js";
import { alarms, showHealth } from "./health.js";
import { makeLineage } from "./lineage.js";
import { makeMembers } from "./members.js";
import { showTallies } from "./tallies.js";
import { showTally } from "./tally.js";
import { knowPeople, short } from "./words.js";

const VIEWS = ["members", "lineage", "tallies", "tally", "health"];
const TITLES = { members: "Members", lineage: "Lineage", tallies: "Questions", tally: "Question", health: "Health" };

const showMembers = makeMembers();
const showLineage = makeLineage();
let members = { members: [], vouches: [] };
/** Grows with each load, so that an answer that comes late is dropped. */
let loads = 0;
/** Milliseconds until an answer that failed is asked for again: a long log is read in the meantime. */
const AGAIN = 3000;

window.addEventListener("hashchange", () => {
  turn();
  window.scrollTo(0, 0);
  // What was left is hidden now; reading goes on where the new view begins.
  if (!document.activeElement?.checkVisibility() || document.activeElement === document.body) byId("main").focus({ preventScroll: true });
  load();
});
document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault();
  byId("main").focus();
});
turn();
follow();

/** The view and the question that the address names. */
function route() {
  const [name, hash = ""] = location.hash.slice(1).split("/");
  if ((name === "tally" || name === "panel") && /^[0-9a-f]{64}$/.test(hash)) return { view: "tally", path: `${name}/${hash}` };
  return { view: VIEWS.includes(name) && name !== "tally" ? name : "members", path: "" };
}

function turn() {
  const { view } = route();
  for (const name of VIEWS) show(byId(`view-${name}`), name === view);
  const tab = view === "tally" ? "tallies" : view;
  for (const link of document.querySelectorAll(".tabs a")) {
    if (link.dataset.view !== tab) link.removeAttribute("aria-current");
    else {
      link.setAttribute("aria-current", "page");
      // Not scrollIntoView, which would let the Tab key go on from here.
      link.parentElement.scrollLeft = link.offsetLeft + link.offsetWidth - link.parentElement.clientWidth;
    }
  }
}

function follow() {
  const events = new EventSource("/api/commons/events");
  events.addEventListener("version", () => {
    link("live", "live");
    load();
  });
  events.addEventListener("problem", (event) => trouble(JSON.parse(event.data)));
  events.addEventListener("error", () => link("lost", "connection lost, trying again"));
}

function link(state, text) {
  byId("link").dataset.state = state;
  setText(byId("link-text"), text);
}

async function load() {
  const mine = ++loads;
  const { view, path } = route();
  try {
    const wanted = path || (view === "members" || view === "health" ? null : view);
    const [people, health, shown] = await Promise.all([ask("members"), ask("health"), wanted && ask(wanted)]);
    if (mine !== loads) return;
    trouble("");
    members = people;
    knowPeople(members.members);
    showHead(health);
    alarms(health);
    if (view === "members") showMembers(members);
    if (view === "lineage") showLineage(shown);
    if (view === "tallies") showTallies(shown);
    if (view === "tally") showTally(shown, path.startsWith("panel"));
    if (view === "health") showHealth(health);
  } catch (error) {
    if (mine !== loads) return;
    trouble(error.message);
    setTimeout(() => mine === loads && load(), AGAIN);
  }
}

async function ask(view) {
  const response = await fetch(`/api/commons/${view}`);
  const answer = await response.json();
  if (!response.ok) throw new Error(answer.error ?? `status ${response.status}`);
  return answer;
}

function trouble(text) {
  setText(byId("problem"), text && `Not up to date: ${text}`);
  show(byId("problem"), Boolean(text));
}

function showHead(health) {
  setText(byId("name"), short(health.name, 60));
  setText(byId("id"), health.id.slice(0, 8));
  byId("id").title = `commons ${health.id}`;
  setText(byId("size"), plural(health.size, "statement"));
  setText(byId("count-members"), whole(members.members.filter((member) => member.is_member).length));
  const wrong = health.counts.overdue + health.counts.splits + health.counts.equivocations;
  byId("count-health").replaceChildren(...(wrong ? [h("span", { class: "unseen", text: "problems: " }), whole(wrong)] : []));
  byId("count-health").classList.toggle("alarm", wrong > 0);
  document.title = `${short(health.name, 60)}: ${TITLES[route().view]} · understory`;
}
