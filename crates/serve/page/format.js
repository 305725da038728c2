// Numbers with their units, in the shortest form that is still exact enough to read.

const THIN = "\u202f";

// As `is_hidden`, `is_joiner` and `joins` of crates/ids/src/plain.rs; checks/page/plain.mjs compares.
const HIDDEN = /[\p{Cc}\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\u{1bca0}-\u{1bca3}\u{1d173}-\u{1d17a}\u{e0000}-\u{e0fff}]/u;
const JOINER = /[\u200c\u200d\ufe0e\ufe0f]/u;
const VARIATION = /[\ufe0e\ufe0f]/u;
const JOINS = /[\u0600-\u061b\u061d-\u0dff\u1000-\u109f\u1780-\u17b3\u17b6-\u180a\u1810-\u18af\u2190-\u2bff\ufe0f\u{1f000}-\u{1faff}]/u;

/**
 * Somebody's text with all that hides, turns or steers other text made visible, as `\\u202e`.
 * Line feeds and tabs stay, since a page does not take them for more than a space.
 */
export function plain(text) {
  let before = "";
  let out = "";
  for (const c of String(text)) {
    const joins = JOINER.test(c) && JOINS.test(before) && !(VARIATION.test(c) && VARIATION.test(before));
    const keeps = c === "\n" || c === "\t" || !HIDDEN.test(c) || joins;
    out += keeps ? c : escaped(c);
    before = keeps ? c : "";
  }
  return out;
}

const escaped = (c) => c.split("").map((unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`).join("");

/** With so many digits; a dash for what is no number, as JSON has none for infinity. */
export const fixed = (value, digits) => (Number.isFinite(value) ? value.toFixed(digits) : "–");

const scaled = (value, units) => {
  if (!Number.isFinite(value)) return ["–", units[0]];
  let unit = 0;
  while (Math.abs(value) >= 999.5 && unit < units.length - 1) {
    value /= 1000;
    unit += 1;
  }
  const digits = unit === 0 || Math.abs(value) >= 99.95 ? 0 : Math.abs(value) >= 9.995 ? 1 : 2;
  return [value.toFixed(digits), units[unit]];
};

/** `[number, unit]` of bytes. */
export const bytesParts = (value) => scaled(value, ["B", "kB", "MB", "GB", "TB"]);
/** `4.21 MB` */
export const bytes = (value) => bytesParts(value).join(THIN);

/** `1.05 M`; whole numbers below a thousand. */
export const count = (value) => {
  const [number, unit] = scaled(value, ["", "k", "M", "G", "T"]);
  return unit ? number + THIN + unit : number;
};

/** `12,345` */
export const whole = (value) => Math.round(value).toLocaleString("en");

/** `1:05`, `1:02:05` */
export const clock = (seconds) => {
  const all = Math.max(0, Math.round(seconds));
  const [hours, minutes, rest] = [Math.floor(all / 3600), Math.floor(all / 60) % 60, all % 60];
  const two = (part) => String(part).padStart(2, "0");
  return hours ? `${hours}:${two(minutes)}:${two(rest)}` : `${minutes}:${two(rest)}`;
};

/** `9.8 s` */
export const seconds = (value) => `${fixed(value, value < 10 ? 1 : 0)}${THIN}s`;

/** `1.932`: bits per byte. */
export const bits = (value) => fixed(value, 3);

/** `4.8 %` of a share from 0 to 1. */
export const percent = (share) => `${fixed(share * 100, share < 0.1 ? 1 : 0)}${THIN}%`;

/** `1 file`, `2 files`, `12,345 files` */
export const plural = (number, one, many = `${one}s`) => `${whole(number)} ${number === 1 ? one : many}`;

/** Phases in which nothing more will happen. */
export const OVER = ["finished", "stopped", "failed"];

/** A command such as `gzip -9` that no line break may split. */
export const unbroken = (text) => text.replaceAll(" ", "\u00a0").replaceAll("-", "\u2011");
