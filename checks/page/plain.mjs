// What the page shows of strangers' text: the same as crates/ids/src/plain.rs. Needs Node alone:
// `node plain.mjs`. Prints `N passed, N failed`; exits 1 if any failed.

import { readFileSync } from "node:fs";
import { join } from "node:path";

const root = join(import.meta.dirname, "../..");
const { plain } = await import(join(root, "crates/serve/page/format.js"));
const source = readFileSync(join(root, "crates/ids/src/plain.rs"), "utf8");
const tally = { passed: 0, failed: 0 };
const expect = (text, want, what) => {
  const good = plain(text) === want;
  tally[good ? "passed" : "failed"] += 1;
  if (!good) console.log(`FAILED  ${what}: ${plain(text)}, not ${want}`);
};

// The ranges of a function of the source, as pairs of code points.
const ranges = (name) => {
  const body = source.split(`fn ${name}(c: char)`)[1].split("\n}")[0];
  const found = [...body.matchAll(/'\\u\{(\w+)\}'(?:\.\.='\\u\{(\w+)\}')?/g)];
  return found.map(([, first, last]) => [parseInt(first, 16), parseInt(last ?? first, 16)]);
};
const within = (all, c) => all.some(([first, last]) => c >= first && c <= last);
const [hidden, joiners, joins] = ["is_hidden", "is_joiner", "joins"].map(ranges);
const control = (c) => c < 0x20 || (c >= 0x7f && c <= 0x9f);
let differ = 0;
for (let c = 0; c <= 0x10ffff; c++) {
  if (c >= 0xd800 && c <= 0xdfff) continue;
  const text = String.fromCodePoint(c);
  const shown = c === 9 || c === 10 || !(control(c) || within(hidden, c));
  const behind = shown || within(joiners, c);
  const letter = within(joins, c) && shown;
  if ((plain(text) === text) !== shown || (plain(`👩${text}`) === `👩${text}`) !== behind) differ += 1;
  if (letter !== (plain(`${text}\u200d`) === `${text}\u200d`) && c !== 0xfe0f) differ += 1;
}
expect(String(differ), "0", "characters that are shown otherwise than in Rust");
expect("a\u001b]0;owned\u0007b", "a\\u001b]0;owned\\u0007b", "escapes");
expect("a\u202eb\u{e0041}", "a\\u202eb\\udb40\\udc41", "marks");
expect("می\u200cخواهم 👩\u200d🌾 ❤\ufe0f\n", "می\u200cخواهم 👩\u200d🌾 ❤\ufe0f\n", "honest text");
expect("<b>&amp;</b>", "<b>&amp;</b>", "HTML is text already");

console.log(`${tally.passed} passed, ${tally.failed} failed`);
process.exit(tally.failed ? 1 : 0);
