// A layered drawing of a directed graph: every node below what it came from, few lines crossing.
// The same graph gives the same drawing. Circles, which only liars make, are cut where they begin.

/** Lines over more layers than this go straight, so that a long chain costs no more than its length. */
const LONGEST = 12;

/**
 * Places `ids` given `edges` of `[from, to]`. Returns the middle of each node, for each edge the
 * points it runs through from middle to middle, and the size of it all.
 */
export function layered(ids, edges, { width, height, gap, layer }) {
  const depth = depths(ids, edges);
  const items = new Map(ids.map((id) => [id, { id, row: depth.get(id), width, up: [], down: [] }]));
  const routes = edges.map(([from, to]) => chain(items, from, to));
  const rows = [];
  for (const item of items.values()) (rows[item.row] ??= []).push(item);
  order(rows);
  const size = settle(rows, gap);
  const middle = (item) => ({ x: item.x, y: item.row * layer + height / 2 + 8 });
  return {
    places: new Map(ids.map((id) => [id, middle(items.get(id))])),
    routes: routes.map((route) => route.map(middle)),
    width: Math.ceil(size),
    height: rows.length * layer - (layer - height) + 16,
  };
}

/** The layer of each node: one below the lowest it came from. */
function depths(ids, edges) {
  const depth = new Map(ids.map((id) => [id, 0]));
  const waits = new Map(ids.map((id) => [id, 0]));
  const next = Map.groupBy(edges, ([from]) => from);
  for (const [, to] of edges) waits.set(to, waits.get(to) + 1);
  const left = new Set(ids);
  let ready = ids.filter((id) => waits.get(id) === 0);
  while (left.size) {
    if (ready.length === 0) ready = [left.values().next().value];
    const id = ready.pop();
    if (!left.delete(id)) continue;
    for (const [, to] of next.get(id) ?? []) {
      if (!left.has(to)) continue;
      depth.set(to, Math.max(depth.get(to), depth.get(id) + 1));
      waits.set(to, waits.get(to) - 1);
      if (waits.get(to) === 0) ready.push(to);
    }
  }
  return depth;
}

/** Links two nodes through a stand-in on each layer between them, so that lines keep clear of nodes. */
function chain(items, from, to) {
  const [start, end] = [items.get(from), items.get(to)];
  const route = [start];
  if (end.row - start.row > 1 && end.row - start.row <= LONGEST) {
    for (let row = start.row + 1; row < end.row; row++) {
      const item = { id: Symbol(row), row, width: 20, up: [], down: [] };
      items.set(item.id, item);
      route.push(item);
    }
  }
  route.push(end);
  route.slice(1).forEach((item, at) => {
    route[at].down.push(item);
    item.up.push(route[at]);
  });
  return route;
}

/** Puts each row in the order of what its nodes are linked to, from above and from below in turn. */
function order(rows) {
  const number = () => rows.forEach((row) => row.forEach((item, at) => (item.at = at)));
  number();
  for (let sweep = 0; sweep < 6; sweep++) {
    const [side, all] = sweep % 2 ? ["down", rows.toReversed()] : ["up", rows];
    for (const row of all) {
      const wish = new Map(row.map((item) => [item, mean(item[side].map((other) => other.at)) ?? item.at]));
      row.sort((a, b) => wish.get(a) - wish.get(b) || a.at - b.at);
      row.forEach((item, at) => (item.at = at));
    }
  }
}

/** Gives every item its x near what it is linked to, none over another; returns the width. */
function settle(rows, gap) {
  for (const row of rows) {
    let x = 0;
    for (const item of row) {
      item.x = x + item.width / 2;
      x += item.width + gap;
    }
  }
  for (let sweep = 0; sweep < 10; sweep++) {
    for (const row of sweep % 2 ? rows.toReversed() : rows) {
      const wish = row.map((item) => mean([...item.up, ...item.down].map((other) => other.x)) ?? item.x);
      let least = -Infinity;
      row.forEach((item, at) => {
        item.x = Math.max(wish[at], least + item.width / 2);
        least = item.x + item.width / 2 + gap;
      });
      const shift = mean(row.map((item, at) => wish[at] - item.x)) ?? 0;
      row.forEach((item) => (item.x += shift));
    }
  }
  const all = rows.flat();
  const left = Math.min(...all.map((item) => item.x - item.width / 2)) - 8;
  all.forEach((item) => (item.x -= left));
  return Math.max(...all.map((item) => item.x + item.width / 2)) + 8;
}

const mean = (values) => (values.length ? values.reduce((sum, value) => sum + value, 0) / values.length : null);
