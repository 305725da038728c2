// What both pictures share: nodes that pointer and keyboard choose, and lines that end at them.

/**
 * Lets one of `nodes` (SVG groups, in reading order) be chosen: by pointer, by arrow keys, by focus.
 * `show(at)` is called with the place of the one to show, or with what was pinned, or null.
 */
export function choosable(nodes, show, pinned = null) {
  let pin = pinned;
  const tabbable = (at) => nodes.forEach((node, other) => node.setAttribute("tabindex", other === at ? "0" : "-1"));
  tabbable(pin ?? 0);
  nodes.forEach((node, at) => {
    node.addEventListener("pointerenter", () => show(at));
    node.addEventListener("pointerleave", () => show(pin));
    node.addEventListener("click", () => show((pin = at)));
    node.addEventListener("focus", () => {
      tabbable(at);
      if (node.matches(":focus-visible")) show((pin = at));
    });
    node.addEventListener("keydown", (event) => {
      const last = nodes.length - 1;
      const to = {
        ArrowRight: Math.min(last, at + 1), ArrowDown: Math.min(last, at + 1),
        ArrowLeft: Math.max(0, at - 1), ArrowUp: Math.max(0, at - 1), Home: 0, End: last,
        Enter: at, " ": at,
      }[event.key];
      if (event.key === "Escape") show((pin = null));
      if (to === undefined) return;
      event.preventDefault();
      nodes[to].focus();
      show((pin = to));
    });
  });
  return (at) => {
    if (at !== null) tabbable(at);
    show((pin = at));
  };
}

/** The points of an arrow head of this size that ends at `to`, coming from `from`. */
export function head(from, to, size) {
  const length = Math.hypot(to.x - from.x, to.y - from.y) || 1;
  const [x, y] = [(to.x - from.x) / length, (to.y - from.y) / length];
  const back = { x: to.x - x * size, y: to.y - y * size };
  const wing = size * 0.55;
  return [to, { x: back.x - y * wing, y: back.y + x * wing }, { x: back.x + y * wing, y: back.y - x * wing }]
    .map((point) => `${point.x.toFixed(1)},${point.y.toFixed(1)}`).join(" ");
}

/** The point `distance` before `to` on the way from `from`. */
export function before(from, to, distance) {
  const length = Math.hypot(to.x - from.x, to.y - from.y) || 1;
  return { x: to.x - ((to.x - from.x) / length) * distance, y: to.y - ((to.y - from.y) / length) * distance };
}
