// Checks the page of a run in Chromium: `node check.mjs URL [SCREENSHOT_FOLDER]`.
//
// Needs playwright-core beside it or in NODE_PATH, and CHROMIUM naming the browser; run.sh sees to
// both. Prints one line per check and `N passed, N failed` last; exits 1 if any failed.

import { mkdirSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";

const [url, folder] = process.argv.slice(2);
if (!url) {
  console.error("usage: node check.mjs URL [SCREENSHOT_FOLDER]");
  process.exit(2);
}
const require = createRequire(join(process.env.CHECK_MODULES ?? import.meta.dirname, "check.mjs"));
const { chromium } = require("playwright-core");
if (folder) mkdirSync(folder, { recursive: true });

const PROMPT = "/// Returns the number of";
const FLAGS = [
  "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync",
];

const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: FLAGS });
const tally = { passed: 0, failed: 0 };
const complaints = [];
const strangers = [];

await check("answers on loopback with its own policy", async () => {
  const response = await fetch(url);
  expect(response.ok, `status ${response.status}`);
  const policy = response.headers.get("content-security-policy") ?? "";
  expect(policy.startsWith("default-src 'self'"), `policy ${policy}`);
});

const desk = await open({ width: 1440, height: 900 }, "light");

await check("loads and shows the run", async () => {
  await desk.waitForFunction(() => document.querySelector("#run-id").textContent.length === 8, null, { timeout: 20_000 });
  expect((await desk.title()).includes("understory"), await desk.title());
  await desk.waitForSelector("#peers > li", { timeout: 60_000 });
});

await check("shows what peers prepare with as bars with a text", async () => {
  const page = await open({ width: 1440, height: 900 }, "light");
  const snapshot = await (await fetch(new URL("/api/snapshot", url))).json();
  const works = [["tokenizing", 10], ["fetching", 5], [null, 0], ["catching_up", 2]];
  snapshot.peers = works.map(([work, done], at) =>
    ({ ...snapshot.peers[0], id: "", name: `peer ${at + 1}`, work: work && { work, done, total: 20, fresh: done } }));
  const event = `retry: 200\nevent: snapshot\ndata: ${JSON.stringify(snapshot)}\n\n`;
  await page.route("**/api/events", (route) => route.fulfill({ contentType: "text/event-stream", body: event }));
  await page.reload();
  const bar = page.getByRole("progressbar", { name: "cutting the text into tokens: 50 % of 20 B" });
  await bar.waitFor({ timeout: 20_000 });
  expect((await bar.evaluate((element) => element.value)) === 0.5, "the bar is not half full");
  // The stream ends and begins again: peers that have no key yet stay one card each.
  await page.waitForTimeout(1000);
  expect((await page.locator("#peers > li").count()) === 4, "there is not one card for each peer");
  expect((await page.locator(".work:visible").count()) === 3, "there is not one bar for each that works");
  if (folder) await page.screenshot({ path: join(folder, "page-preparing.png"), fullPage: true });
  await page.close();
});

await check("draws the curve through more than one point", async () => {
  // Counted and measured in one call: the page redraws the curve as points come in.
  const drawn = await desk.waitForFunction(() => {
    const line = document.querySelector("#curve-line");
    if ((line?.getAttribute("d")?.match(/[ML]/g) ?? []).length < 2) return null;
    const { width, height } = line.getBoundingClientRect();
    return { width, height };
  }, null, { timeout: 180_000 });
  const box = await drawn.jsonValue();
  expect(box.width > 100 && box.height > 10, JSON.stringify(box));
});

await check("draws the curve against each axis", async () => {
  for (const axis of ["time", "round", "tokens"]) {
    await desk.locator(`input[name=axis][value=${axis}]`).check();
    const path = await desk.locator("#curve-line").getAttribute("d");
    expect(/^M[\d.]+ [\d.]+L/.test(path) && !path.includes("NaN"), `${axis}: ${path}`);
  }
});

await check("reads the curve out by keyboard", async () => {
  const reader = desk.locator("[role=slider]");
  await reader.focus();
  await desk.keyboard.press("Home");
  const first = await reader.getAttribute("aria-valuetext");
  await desk.keyboard.press("ArrowRight");
  const second = await reader.getAttribute("aria-valuetext");
  expect(/bits per byte/.test(first) && first !== second, `${first} / ${second}`);
  expect(await desk.locator(".tip").isVisible(), "the tooltip stays hidden");
});

await check("reaches the prompt with the Tab key, in reading order", async () => {
  await desk.evaluate(() => document.activeElement.blur());
  const seen = [];
  for (let presses = 0; presses < 40 && seen.at(-1) !== "prompt"; presses++) {
    await desk.keyboard.press("Tab");
    seen.push(await desk.evaluate(() => document.activeElement.id || document.activeElement.getAttribute("role") || document.activeElement.tagName));
  }
  expect(seen.at(-1) === "prompt", seen.join(" > "));
  const outlined = await desk.evaluate(() => getComputedStyle(document.activeElement).outlineStyle !== "none");
  expect(outlined, "the focus is not visible");
});

await check("answers a prompt, and says which root wrote it", async () => {
  await desk.fill("#prompt", PROMPT);
  await desk.press("#prompt", "Control+Enter");
  await desk.waitForSelector("#answer-note .hash", { timeout: 120_000 });
  const text = await desk.locator("#answer .written").textContent();
  expect(text.trim().length > 0, "the continuation is empty");
});

await check("says in words what is wrong with a request", async () => {
  const response = await fetch(new URL("/api/generate", url), {
    method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify({ prompt: "x", colour: 1 }),
  });
  expect(response.status === 400 && (await response.text()).includes("colour"), `status ${response.status}`);
});

for (const [width, height] of [[360, 740], [390, 844], [768, 1024], [1440, 900], [1600, 1000]]) {
  for (const scheme of ["light", "dark"]) {
    const page = await open({ width, height }, scheme);
    await check(`fits ${width} px, ${scheme}`, async () => {
      await page.waitForSelector("#peers > li");
      const wide = await page.evaluate(() => document.documentElement.scrollWidth);
      expect(wide <= width, `it is ${wide} px wide`);
      const cut = await page.evaluate(clipped);
      expect(cut.length === 0, `cut off: ${cut.join(", ")}`);
      if (folder) await page.screenshot({ path: join(folder, `page-${width}-${scheme}.png`), fullPage: true });
    });
    await page.context().close();
  }
}

await check("keeps still where motion is unwelcome", async () => {
  await desk.emulateMedia({ reducedMotion: "reduce" });
  const moving = await desk.evaluate(() => document.getAnimations().length);
  expect(moving === 0, `${moving} animations`);
});
await check("no console errors", async () => expect(complaints.length === 0, complaints.join("; ")));
await check("no request to another origin", async () => expect(strangers.length === 0, strangers.join("; ")));

await browser.close();
console.log(`${tally.passed} passed, ${tally.failed} failed`);
process.exit(tally.failed ? 1 : 0);

async function open(viewport, colorScheme) {
  const context = await browser.newContext({ viewport, colorScheme });
  const page = await context.newPage();
  page.on("console", (message) => message.type() === "error" && complaints.push(message.text()));
  page.on("pageerror", (error) => complaints.push(error.message));
  page.on("request", (request) => new URL(request.url()).origin === new URL(url).origin || strangers.push(request.url()));
  await page.goto(url, { waitUntil: "domcontentloaded" });
  return page;
}

/** Elements whose text is wider than they are and would be hidden; runs in the page. */
function clipped() {
  const scrolls = (element) => element.closest(".strip, .audit-list, .answer, .unseen, textarea, svg");
  return [...document.querySelectorAll("body *")]
    .filter((element) => !scrolls(element) && element.getBoundingClientRect().right > innerWidth + 1)
    .map((element) => `${element.tagName}.${element.className}`);
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
