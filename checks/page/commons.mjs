// Checks the page of a commons in Chromium: `node commons.mjs URL [SCREENSHOT_FOLDER]`.
//
// Made for the example `commons_page`, whose log grows while it is looked at. Needs what check.mjs
// needs; prints the same.

import { mkdirSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";

const [url, folder] = process.argv.slice(2);
if (!url) {
  console.error("usage: node commons.mjs URL [SCREENSHOT_FOLDER]");
  process.exit(2);
}
const require = createRequire(join(process.env.CHECK_MODULES ?? import.meta.dirname, "check.mjs"));
const { chromium } = require("playwright-core");
if (folder) mkdirSync(folder, { recursive: true });

const FLAGS = [
  "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync",
];
const SCRIPT = "<script>window.caught = true</script><img src=x onerror='window.caught = true'>";
const HOSTILE = [SCRIPT, "\u202egro.elpmaxe\u202c", "W".repeat(256), "ש".repeat(120), `Z${"\u0301".repeat(200)}`, "&lt;b&gt; \u0000\u0007", ""];

const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: FLAGS });
const tally = { passed: 0, failed: 0 };
const complaints = [];
const strangers = [];
const api = async (view) => (await fetch(new URL(`/api/commons/${view}`, url))).json();

const desk = await open({ width: 1440, height: 900 }, "light");
const { questions } = await api("tallies");
const named = (start) => questions.find(({ title }) => title.startsWith(start));
const TALLY = `tally/${named("Which language").proposal}`;
const HOUSES = `tally/${named("A licence").proposal}`;
const APPROVAL = `tally/${named("Which corpora").proposal}`;
const PANEL = `panel/${questions.find(({ method }) => method === "lot").proposal}`;
const VIEWS = { members: "members", lineage: "lineage", questions: "tallies", health: "health", tally: TALLY, houses: HOUSES, approval: APPROVAL, panel: PANEL };

await check("draws everybody and every vouch", async () => {
  const { members, vouches } = await api("members");
  await go(desk, "members");
  const drawn = await desk.evaluate(() => [document.querySelectorAll("#members-picture .node").length, document.querySelectorAll("#members-picture .vouch-line").length]);
  const left = members.filter((member) => !member.removed).length;
  expect(drawn[0] === left && drawn[1] === vouches.length, `${drawn} of ${left}, ${vouches.length}`);
  const rows = await desk.locator("#members-table tbody tr").count();
  expect(rows === members.length, `${rows} rows for ${members.length}`);
});

await check("no two members stand on each other, and the picture is the same each time", async () => {
  const places = () => desk.$$eval("#members-picture .node", (nodes) => nodes.map((node) => node.getAttribute("transform")));
  const once = await places();
  expect(new Set(once).size === once.length, "two in one place");
  await desk.reload();
  await go(desk, "members");
  expect((await places()).join() === once.join(), "the layout changed");
});

await check("reads the picture out by keyboard", async () => {
  await desk.locator("#members-picture .node[tabindex='0']").focus();
  const names = [];
  for (const key of ["End", "Home", "ArrowRight"]) {
    await desk.keyboard.press(key);
    names.push(await desk.locator("#members-detail h3").textContent());
  }
  expect(new Set(names).size === 3 && !names.includes("Nobody chosen"), names.join(" / "));
  if (folder) await desk.screenshot({ path: join(folder, "commons-members-chosen.png") });
  expect(await desk.locator("#members-picture .vouch-line:is(.in, .out)").count() > 0, "no vouch is marked");
});

await check("reaches every tab and a question with the keyboard alone", async () => {
  await desk.reload();
  await go(desk, "members");
  const seen = await press(desk, 14, (text) => text === "tab health");
  for (const view of ["members", "lineage", "tallies", "health"]) expect(seen.includes(`tab ${view}`), `${view}: ${seen.join(" > ")}`);
  await desk.keyboard.press("Shift+Tab");
  await desk.keyboard.press("Enter");
  await desk.waitForSelector("#tallies-list li");
  await press(desk, 20, (text) => text.startsWith("#tally/") || text.startsWith("#panel/"));
  const outlined = await desk.evaluate(() => getComputedStyle(document.activeElement).outlineStyle !== "none");
  expect(outlined, "the focus is not visible");
  await desk.keyboard.press("Enter");
  await desk.waitForSelector("#tally .question-top");
});

await check("tells the three kinds of edges apart by words and by line", async () => {
  await go(desk, "lineage");
  const dashes = await desk.$$eval("#lineage-picture .edge", (edges) => edges.map((edge) => [edge.classList[1], getComputedStyle(edge.querySelector("path")).strokeDasharray]));
  const kinds = new Map(dashes);
  expect(kinds.size === 3 && new Set(kinds.values()).size === 3, JSON.stringify(dashes));
  const words = await desk.locator("#lineage-picture").textContent();
  for (const word of ["declared", "confirmed by 3", "disputed by 1"]) expect(words.includes(word), word);
});

await check("shows recipe and checks of an artifact", async () => {
  await desk.locator("#lineage-picture .node", { hasText: "spore-1b" }).first().click();
  const text = await desk.locator("#lineage-detail").textContent();
  for (const word of ["Derived by", "Recipe", "got the same"]) expect(text.includes(word), text);
  if (folder) await desk.screenshot({ path: join(folder, "commons-lineage-chosen.png") });
});

await check("explains a count: matrix, steps, margin", async () => {
  await go(desk, TALLY);
  const numbers = await desk.$$eval("#tally .matrix tbody td:not(.same)", (cells) => cells.map((cell) => parseInt(cell.textContent, 10)));
  const { counts: [{ pairwise }] } = await api(TALLY);
  const wanted = pairwise.votes.filter((_, at) => at % (pairwise.options + 1) !== 0);
  expect(numbers.join() === wanted.join(), `${numbers} for ${wanted}`);
  const text = await desk.locator("#tally").textContent();
  for (const word of ["Schulze", "3 of 14 voters would have to be missing", "without the people of Acme Research", "stand or fall with", "Result: "]) expect(text.includes(word), word);
  const bars = await desk.$$eval("#tally .margin .bar", (bars) => bars.map((bar) => bar.firstElementChild.offsetWidth / bar.offsetWidth));
  expect(bars.length === 3 && Math.abs(bars[0] - 3 / 14) < 0.02, `bars of ${bars}`);
});

await check("shows the houses apart", async () => {
  await go(desk, HOUSES);
  expect(await desk.locator("#tally .house").count() === 2, "not two houses");
  expect((await desk.locator("#tally").textContent()).includes("Open until"), "it does not say until when");
  expect(await desk.locator("#tally .margin").count() === 1, "not one margin, of both houses together");
});

await check("shows who sits on a panel", async () => {
  await go(desk, PANEL);
  const seats = await desk.locator("#tally section").first().locator("table").first().locator("tbody tr").count();
  expect(seats === 5, `${seats} seats`);
});

await check("has the alarm for overdue statements on every view", async () => {
  for (const view of Object.values(VIEWS)) {
    await go(desk, view);
    const text = await desk.locator("#alarms").textContent();
    expect(text.includes("overdue") && await desk.locator("#alarms").isVisible(), `${view}: ${text}`);
  }
});

await check("follows the log as it grows", async () => {
  await go(desk, "health");
  const before = await desk.locator("#size").textContent();
  await desk.waitForFunction((before) => document.querySelector("#size").textContent !== before, before, { timeout: 60_000 });
});

for (const [width, height] of [[360, 740], [768, 1024], [1440, 900]]) {
  for (const scheme of ["light", "dark"]) {
    const page = await open({ width, height }, scheme);
    for (const [name, view] of Object.entries(VIEWS)) {
      await check(`fits ${width} px, ${scheme}: ${name}`, async () => {
        await go(page, view);
        await fits(page, width);
        if (folder) await page.screenshot({ path: join(folder, `commons-${name}-${width}-${scheme}.png`), fullPage: true });
      });
    }
    await page.context().close();
  }
}

for (const width of [360, 1440]) {
  await check(`stands hostile names, ${width} px`, async () => {
    const page = await open({ width, height: 800 }, "light", hostile);
    for (const [name, view] of Object.entries(VIEWS)) {
      await go(page, view);
      await fits(page, width);
      const bad = await page.evaluate(() => [window.caught, document.querySelector("main script, main img"), /[\u202a-\u202e\u2066-\u2069]/.test(document.body.innerText)].map(Boolean));
      expect(!bad.includes(true), `${name}: script ${bad[0]}, element ${bad[1]}, turned ${bad[2]}`);
      if (folder) await page.screenshot({ path: join(folder, `hostile-${name}-${width}.png`), fullPage: true });
    }
    await page.context().close();
  });
}

await check("draws 300 members, a long lineage in a circle, 64 options", async () => {
  const page = await open({ width: 1440, height: 900 }, "dark", many);
  for (const [name, view] of Object.entries(VIEWS)) {
    await go(page, view);
    await fits(page, 1440);
    if (folder) await page.screenshot({ path: join(folder, `many-${name}.png`), fullPage: true });
  }
  await go(page, "members");
  const nodes = await page.locator("#members-picture .node").count();
  expect(nodes === 300, `${nodes} nodes`);
  await page.context().close();
});

await check("asks again for what failed, and says so", async () => {
  const page = await open({ width: 1440, height: 900 }, "light", undefined, 2);
  await page.waitForFunction(() => document.querySelector("#problem").textContent.includes("the log is locked"));
  await page.waitForSelector("#members-picture svg", { timeout: 30_000 });
  await page.waitForFunction(() => document.querySelector("#problem").hidden);
  await page.context().close();
});

await check("no console errors", async () => expect(complaints.length === 0, complaints.join("; ")));
await check("no request to another origin", async () => expect(strangers.length === 0, strangers.join("; ")));

await browser.close();
console.log(`${tally.passed} passed, ${tally.failed} failed`);
process.exit(tally.failed ? 1 : 0);

/** Opens the page; `change` may put something else in the place of what the server answers, and the first answers may fail. */
async function open(viewport, colorScheme, change, failures = 0) {
  const context = await browser.newContext({ viewport, colorScheme });
  const page = await context.newPage();
  page.on("console", (message) => message.type() === "error" && failures === 0 && complaints.push(message.text()));
  page.on("pageerror", (error) => complaints.push(error.message));
  page.on("request", (request) => new URL(request.url()).origin === new URL(url).origin || strangers.push(request.url()));
  if (change) {
    await page.route(/\/api\/commons\/(?!events)/, async (route) => {
      // An answer may come after its page was closed.
      const over = (error) => page.isClosed() || /disposed|closed/.test(error.message) || Promise.reject(error);
      const answer = async () => {
        const response = await route.fetch();
        await route.fulfill({ response, json: change(await response.json(), new URL(route.request().url()).pathname) });
      };
      await answer().catch(over);
    });
  }
  if (failures) {
    let left = failures;
    await page.route("**/api/commons/members", (route) => (left-- > 0 ? route.fulfill({ status: 503, json: { error: "the log is locked" } }) : route.continue()));
  }
  await page.goto(url, { waitUntil: "domcontentloaded" });
  return page;
}

/** Goes to a view and waits until it is drawn. */
async function go(page, view) {
  const place = view.includes("/") ? "tally" : view;
  await page.evaluate((view) => (location.hash = view), view);
  const ready = { members: "#members-picture svg", lineage: "#lineage-picture svg", tallies: "#tallies-list li", health: "#health section", tally: "#tally .question-top" }[place];
  await page.waitForSelector(ready, { timeout: 30_000 });
  if (place === "tally") await page.waitForFunction((id) => document.querySelector("#tally").dataset.proposal === id, view.split("/")[1]);
}

/** Presses Tab until what has the focus is the one wanted. */
async function press(page, most, wanted) {
  const seen = [];
  for (let presses = 0; presses < most; presses++) {
    await page.keyboard.press("Tab");
    seen.push(await page.evaluate(() => {
      const { dataset, id, tagName } = document.activeElement;
      return dataset.view ? `tab ${dataset.view}` : document.activeElement.getAttribute("href") ?? (id || tagName);
    }));
    if (wanted(seen.at(-1))) return seen;
  }
  throw new Error(`not reached: ${seen.join(" > ")}`);
}

async function fits(page, width) {
  const wide = await page.evaluate(() => document.documentElement.scrollWidth);
  expect(wide <= width, `it is ${wide} px wide`);
  const cut = await page.evaluate(() => [...document.querySelectorAll("body *")]
    .filter((element) => element.checkVisibility() && !element.closest(".wide, .tabs, .unseen, svg") && element.getBoundingClientRect().right > innerWidth + 1)
    .map((element) => `${element.tagName}.${element.className}`));
  expect(cut.length === 0, `cut off: ${cut.join(", ")}`);
}

/** Every name that somebody can choose is one meant to do harm. */
function hostile(answer) {
  let count = 0;
  const NAMES = ["name", "title", "org", "role", "employer", "tool", "stratum", "reason", "words", "text", "problem"];
  const walk = (value) => {
    if (Array.isArray(value)) return value.map(walk);
    if (value === null || typeof value !== "object") return value;
    return Object.fromEntries(Object.entries(value).map(([key, inner]) => {
      if (NAMES.includes(key) && typeof inner === "string") return [key, HOSTILE[count++ % HOSTILE.length]];
      if (key === "employer" && inner?.who) return [key, { ...walk(inner), who: HOSTILE[count++ % HOSTILE.length] }];
      if (key === "explanation") return [key, [...inner, ...HOSTILE, SCRIPT.repeat(200)]];
      if (key === "conflicts") return [key, HOSTILE];
      return [key, walk(inner)];
    }));
  };
  return walk(answer);
}

/** As much of everything as one commons may have in a picture. */
function many(answer, path) {
  const id = (number) => number.toString(16).padStart(64, "0");
  const range = (count) => Array.from({ length: count }, (_, at) => at);
  if (path.endsWith("/members")) {
    const [first] = answer.members;
    const members = range(300).map((at) => ({ ...first, id: id(at), name: `Member ${at}`, founder: at < 7, is_member: at < 290, steward: at < 3, house: [null, "users", "contributors"][at % 3], employer: at % 4 ? `Company ${at % 11}` : null, vouchers: 2 }));
    const vouches = range(293).flatMap((at) => [1, 2].map((k) => ({ by: id(Math.floor((at + k * 3) / 3)), subject: id(at + 7) }))).filter(({ by, subject }) => by !== subject);
    return { ...answer, members, vouches, count: 5000 };
  }
  if (path.endsWith("/lineage")) {
    const [first] = answer.edges;
    const nodes = range(400).map((at) => ({ digest: id(at), name: `model ${at}`, member: null, users: at }));
    const edges = range(399).map((at) => ({ ...first, statement: id(at), child: id(at + 1), parent: id(at % 5 ? Math.max(0, at - (at % 7)) : at) }));
    edges.push({ ...first, statement: id(999), child: id(380), parent: id(399) });
    return { ...answer, nodes, edges, derivations: {}, count: edges.length };
  }
  if (path.includes("/tally/")) {
    const options = range(64).map((at) => ({ name: `Option ${at} ${"long ".repeat(at % 9)}`, default: at === 63, ratio: [1, 1], effect: { kind: "seat", words: `somebody ${at} has a seat` } }));
    const votes = range(64 * 64).map((at) => (at % 65 ? (at * 7919) % 500 : 0));
    const [house] = answer.counts;
    const standings = range(64).map((option) => ({ ...house.standings[0], option, elected: option === 0 ? 1 : null }));
    return { ...answer, options, counts: [{ ...house, ballots: 500, winners: [0], pairwise: { options: 64, votes }, standings, explanation: range(300).map((at) => `Line ${at}. ${"words ".repeat(at)}`) }] };
  }
  return answer;
}

async function check(name, body) {
  try {
    await body();
    tally.passed += 1;
    console.log(`ok      ${name}`);
  } catch (error) {
    tally.failed += 1;
    console.log(`FAILED  ${name}: ${error.message.split("\n")[0]}`);
  }
}

function expect(holds, otherwise) {
  if (!holds) throw new Error(otherwise);
}
