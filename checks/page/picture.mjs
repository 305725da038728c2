// Takes the picture of a run's page that the README shows: picture.mjs URL FILE
//
// CHROMIUM names the browser, CHECK_MODULES a folder that has playwright-core.
import { createRequire } from "node:module";
import { join } from "node:path";

const [url, file] = process.argv.slice(2);
const { chromium } = createRequire(join(process.env.CHECK_MODULES, "x.js"))("playwright-core");
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM, args: ["--no-sandbox"] });
const page = await browser.newPage({ viewport: { width: 1200, height: 750 }, colorScheme: "light", reducedMotion: "reduce" });
await page.goto(url);
await page.waitForSelector("#peers > li");
await page.waitForTimeout(1500);
await page.screenshot({ path: file });
await browser.close();
