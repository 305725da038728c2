// The loss curve: drawn by hand as SVG, readable by pointer and by keyboard.

import { byId, h, s, setText, show } from "./dom.js";
import { bits, clock, count, unbroken } from "./format.js";

const AXES = {
  tokens: { of: (point) => point.tokens, label: (value) => count(value).replace(/\.0+(?!\d)/, ""), unit: "tokens" },
  time: { of: (point) => point.t_s, label: (value) => clock(value), unit: "time since the start" },
  round: { of: (point) => point.round, label: (value) => String(value), unit: "rounds", whole: true },
};

const TOP = 28;
const BOTTOM = 40;
const LEFT = 42;
const RIGHT = 74;

/** Builds the chart inside `root`; returns a function that draws a snapshot. */
export function makeCurve(root) {
  const picture = s("svg", { class: "plot", "aria-hidden": "true" });
  const reader = h("div", {
    class: "reader", role: "slider", tabindex: "0", "aria-label": "Point of the loss curve, by round",
    "aria-valuemin": "0", "aria-valuemax": "0", "aria-valuenow": "0", "aria-valuetext": "no point yet",
  });
  const tip = h("div", { class: "tip", hidden: true });
  const empty = h("p", { class: "empty", text: "The first point is drawn when the untrained model has been measured." });
  const legend = h("p", { class: "curve-legend note" });
  root.append(h("div", { class: "plot-box" }, picture, reader, tip, empty), legend);

  const state = { points: [], baselines: [], axis: "tokens", at: null, places: [] };
  const draw = () => paint(state, picture, reader, tip, empty, legend);
  const pick = (at) => {
    state.at = at;
    point(state, picture, reader, tip);
  };

  for (const input of document.querySelectorAll("input[name=axis]")) {
    input.addEventListener("change", () => {
      state.axis = input.value;
      draw();
    });
  }
  reader.addEventListener("pointermove", (event) => pick(nearest(state.places, event.offsetX)));
  reader.addEventListener("pointerleave", () => document.activeElement !== reader && pick(null));
  reader.addEventListener("focus", () => reader.matches(":focus-visible") && pick(state.at ?? state.places.length - 1));
  reader.addEventListener("blur", () => pick(null));
  reader.addEventListener("keydown", (event) => {
    const last = state.places.length - 1;
    const at = state.at ?? last;
    const to = {
      ArrowLeft: at - 1, ArrowDown: at - 1, ArrowRight: at + 1, ArrowUp: at + 1,
      PageDown: at - 10, PageUp: at + 10, Home: 0, End: last,
    }[event.key];
    if (event.key === "Escape") pick(null);
    if (to === undefined) return;
    event.preventDefault();
    pick(Math.min(last, Math.max(0, to)));
  });
  new ResizeObserver(draw).observe(root);

  return (snapshot) => {
    state.points = snapshot.curve.filter((p) => Number.isFinite(p.bits_per_byte));
    state.baselines = snapshot.baselines.filter((b) => Number.isFinite(b.bits_per_byte));
    note(state);
    draw();
  };
}

/** Says in words how the curve stands to the first baseline. */
function note({ points, baselines }) {
  const general = "Bits per byte of text that the model never trains on; lower is better.";
  const [mark] = baselines;
  const under = mark && points.find((p) => p.bits_per_byte < mark.bits_per_byte);
  setText(byId("curve-note"), under ? `${general} Below ${unbroken(mark.name)} since round ${under.round}.` : general);
}

function nearest(places, x) {
  let best = null;
  places.forEach((place, at) => {
    if (best === null || Math.abs(place.x - x) < Math.abs(places[best].x - x)) best = at;
  });
  return best;
}

function paint(state, picture, reader, tip, empty, legend) {
  const { points, baselines } = state;
  const axis = AXES[state.axis];
  const width = Math.max(260, picture.parentElement.clientWidth);
  const height = picture.parentElement.clientHeight;
  show(empty, points.length === 0);
  picture.setAttribute("viewBox", `0 0 ${width} ${height}`);
  picture.replaceChildren();
  state.places = [];
  if (points.length === 0 || height < 80) return;

  const values = [...points.map((p) => p.bits_per_byte), ...baselines.map((b) => b.bits_per_byte)];
  const yTicks = ticks(Math.min(...values), Math.max(...values), Math.max(3, Math.round(height / 56)), true);
  const xMax = Math.max(...points.map(axis.of), axis.whole ? 1 : 1e-9);
  const x = (value) => LEFT + (value / xMax) * (width - LEFT - RIGHT);
  const [low, high] = [yTicks[0], yTicks.at(-1)];
  const y = (value) => TOP + ((high - value) / (high - low || 1)) * (height - TOP - BOTTOM);
  const xTicks = ticks(0, xMax, Math.max(2, Math.round((width - LEFT - RIGHT) / 96)), false, axis);

  picture.append(
    s("defs", {}, s("linearGradient", { id: "under", x1: 0, y1: 0, x2: 0, y2: 1 },
      s("stop", { offset: 0, class: "under-top" }), s("stop", { offset: 1, class: "under-bottom" }))),
    ...yTicks.map((value) => s("g", { class: "grid" },
      s("line", { x1: LEFT, x2: width - RIGHT, y1: y(value), y2: y(value) }),
      s("text", { x: LEFT - 10, y: y(value) + 4, "text-anchor": "end", text: value.toFixed(decimals(yTicks)) }))),
    ...xTicks.map((value) => s("text", { class: "tick", x: x(value), y: height - BOTTOM + 20, "text-anchor": "middle", text: axis.label(value) })),
    s("text", { class: "unit", x: width - RIGHT, y: height - 4, "text-anchor": "end", text: axis.unit }),
    s("text", { class: "unit", x: 0, y: 11, text: "bits per byte" }),
    ...references(baselines, y, width, height),
  );

  state.places = points.map((p) => ({ point: p, x: x(axis.of(p)), y: y(p.bits_per_byte) }));
  const line = state.places.map((place, at) => `${at ? "L" : "M"}${place.x.toFixed(1)} ${place.y.toFixed(1)}`).join("");
  const [first, last] = [state.places[0], state.places.at(-1)];
  const floor = height - BOTTOM;
  picture.append(
    s("path", { class: "under", d: `${line}L${last.x.toFixed(1)} ${floor}L${first.x.toFixed(1)} ${floor}Z` }),
    s("path", { class: "line", id: "curve-line", d: line }),
    ...state.places.filter((place) => place.point.repaired).map((place) =>
      s("path", { class: "repaired", d: `M${place.x} ${place.y - 6}l6 6l-6 6l-6 -6z` })),
    s("circle", { class: "last", cx: last.x, cy: last.y, r: 4 }),
    s("g", { class: "cross" }),
  );
  setText(legend, points.some((p) => p.repaired) ? "◇ computed again without the peer that cheated" : "");

  reader.setAttribute("aria-valuemax", String(state.places.length - 1));
  point(state, picture, reader, tip);
}

/** Dashed lines for what compressors reach, their labels spread so that none overlaps. */
function references(baselines, y, width, height) {
  const gap = 30;
  const sorted = [...baselines].sort((a, b) => b.bits_per_byte - a.bits_per_byte);
  const labels = sorted.map((b) => y(b.bits_per_byte));
  for (let at = 1; at < labels.length; at++) labels[at] = Math.max(labels[at], labels[at - 1] + gap);
  let room = height - BOTTOM - 8;
  for (let at = labels.length - 1; at >= 0; at--) {
    labels[at] = Math.min(labels[at], room);
    room = labels[at] - gap;
  }
  return sorted.flatMap((baseline, at) => {
    const line = y(baseline.bits_per_byte);
    const end = width - RIGHT;
    return [
      s("path", { class: "reference", d: `M${LEFT} ${line}H${end}` }),
      s("path", { class: "leader", d: `M${end} ${line}L${end + 7} ${labels[at]}` }),
      s("text", { class: "reference-name", x: end + 11, y: labels[at], text: baseline.name }),
      s("text", { class: "reference-value", x: end + 11, y: labels[at] + 13, text: bits(baseline.bits_per_byte) }),
    ];
  });
}

/** Marks the chosen point and says what it is. */
function point(state, picture, reader, tip) {
  const place = state.at === null ? undefined : state.places[Math.min(state.at, state.places.length - 1)];
  const cross = picture.querySelector(".cross");
  cross?.replaceChildren();
  show(tip, Boolean(place));
  const told = place ?? state.places.at(-1);
  if (told) {
    reader.setAttribute("aria-valuenow", String(state.places.indexOf(told)));
    reader.setAttribute("aria-valuetext", words(told.point).join(", "));
  }
  if (!place || !cross) return;
  const height = picture.parentElement.clientHeight;
  cross.append(
    s("line", { x1: place.x, x2: place.x, y1: TOP, y2: height - BOTTOM }),
    s("circle", { cx: place.x, cy: place.y, r: 5 }),
  );
  const [loss, ...rest] = words(place.point);
  tip.replaceChildren(h("strong", { text: loss }), ...rest.map((text) => h("span", { text })));
  const left = place.x > picture.parentElement.clientWidth / 2;
  tip.style.left = left ? "auto" : `${place.x + 14}px`;
  tip.style.right = left ? `${picture.parentElement.clientWidth - place.x + 14}px` : "auto";
  tip.style.top = `${Math.max(4, Math.min(place.y - 30, height - 150))}px`;
}

const words = (p) => [
  `${bits(p.bits_per_byte)} bits per byte`,
  p.round === 0 ? "before training" : `round ${p.round}${p.repaired ? ", repaired" : ""}`,
  `${count(p.tokens)} tokens`,
  `${clock(p.t_s)} since the start`,
  `root ${p.root.slice(0, 8)}`,
];

const decimals = (marks) => (marks.length > 1 && marks[1] - marks[0] < 0.0999 ? 2 : 1);

/** Round marks over a range; `outside` lets the first and last lie beyond it. */
function ticks(low, high, about, outside, axis = {}) {
  if (!(high > low)) return outside ? [low - 0.5, low + 0.5] : [0, high];
  const rough = (high - low) / about;
  const steps = axis === AXES.time ? [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 28800, 86400] : null;
  let step = steps?.find((candidate) => candidate >= rough);
  if (!step) {
    const power = 10 ** Math.floor(Math.log10(rough));
    step = [1, 2, 5, 10].find((factor) => factor * power >= rough * 0.999) * power;
  }
  if (axis.whole) step = Math.max(1, Math.round(step));
  const first = outside ? Math.floor(low / step) : Math.ceil(low / step);
  const last = outside ? Math.ceil(high / step - 1e-9) : Math.floor(high / step + 1e-9);
  return Array.from({ length: last - first + 1 }, (_, at) => (first + at) * step);
}
