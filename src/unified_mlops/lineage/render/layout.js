"use strict";
// Where the boxes stand: in columns by rank, in an order with few crossings, near what they are tied to.
const WIDTH = 204, HEIGHT = 46, LANE = 10, GAP_X = 64, GAP_Y = 14;

// A box stands one rank further than the furthest that leads to it; a cycle is cut where the walk closed it.
function ranks(boxes, lines) {
  const following = new Map(boxes.map((box) => [box, []])), waits = new Map(boxes.map((box) => [box, 0]));
  for (const { a, b } of lines) {
    following.get(a).push(b);
    waits.set(b, waits.get(b) + 1);
  }
  const rank = new Map(boxes.map((box) => [box, 0])), done = new Set(), queue = [];
  const take = (box) => { done.add(box); queue.push(box); };
  for (const start of boxes) {
    if (!done.has(start)) take(start);
    while (queue.length) {
      const box = queue.pop();
      for (const next of following.get(box)) {
        if (done.has(next)) continue;
        rank.set(next, Math.max(rank.get(next), rank.get(box) + 1));
        waits.set(next, waits.get(next) - 1);
        if (!waits.get(next)) take(next);
      }
    }
  }
  return rank;
}

// Columns of items: the boxes, and a lane through every column that a line passes.
function columns(boxes, lines) {
  const rank = ranks(boxes, lines), layers = [], items = new Map(), lanes = new Map();
  const add = (x, item) => {
    (layers[x] ??= []).push(Object.assign(item, { x, left: [], right: [], order: layers[x].length }));
    return item;
  };
  for (const box of boxes) items.set(box, add(rank.get(box), { box, height: HEIGHT, weight: 1 }));
  for (const line of lines) {
    const from = items.get(line.a), to = items.get(line.b), pair = `${from.x} ${from.order} ${to.x} ${to.order}`;
    if (to.x > from.x && !lanes.has(pair)) {
      const chain = [];
      for (let x = from.x + 1; x < to.x; x++) chain.push(add(x, { height: LANE, weight: 4 }));
      lanes.set(pair, chain);
      const way = [from, ...chain, to];
      way.slice(1).forEach((item, i) => { item.left.push(way[i]); way[i].right.push(item); });
    }
    line.way = [from, ...(lanes.get(pair) ?? []), to];
  }
  return layers;
}

const mean = (numbers) => numbers.reduce((sum, one) => sum + one, 0) / numbers.length;

function sweep(layers, round, value, settle) {
  const forward = round % 2 === 0, sequence = forward ? layers : [...layers].reverse();
  for (const layer of sequence) {
    for (const item of layer) {
      const near = forward ? item.left : item.right;
      item.want = near.length ? mean(near.map((one) => one[value])) : item[value];
    }
    settle(layer);
  }
}

function reorder(layer) {
  layer.sort((p, q) => p.want - q.want || p.order - q.order).forEach((item, i) => { item.order = i; });
}

// As near as can be to where each item wants to be, in their order and apart (pool adjacent violators).
function stand(layer) {
  const blocks = [];
  let offset = 0;
  for (const item of layer) {
    item.offset = offset + item.height / 2;
    offset += item.height + GAP_Y;
    blocks.push({ sum: (item.want - item.offset) * item.weight, weight: item.weight, items: [item] });
    for (;;) {
      const [upper, lower] = blocks.slice(-2);
      if (!lower || upper.sum / upper.weight <= lower.sum / lower.weight) break;
      blocks.splice(-2, 2, { sum: upper.sum + lower.sum, weight: upper.weight + lower.weight, items: upper.items.concat(lower.items) });
    }
  }
  for (const block of blocks) for (const item of block.items) item.y = block.sum / block.weight + item.offset;
}

// Sets x and y of every box and d of every line; answers the size of the whole.
function layout(boxes, lines, direction) {
  const layers = columns(boxes, lines), last = layers.length - 1;
  for (let round = 0; round < 8; round++) sweep(layers, round, "order", reorder);
  for (const layer of layers) layer.forEach((item) => { item.want = 0; });
  layers.forEach(stand);
  for (let round = 0; round < 9; round++) sweep(layers, round, "y", stand);
  const all = layers.flat(), top = Math.min(...all.map((item) => item.y - item.height / 2));
  for (const item of all) {
    item.y -= top;
    item.px = (direction === "up" ? last - item.x : item.x) * (WIDTH + GAP_X);
    if (item.box) Object.assign(item.box, { x: item.px, y: item.y - HEIGHT / 2 });
  }
  const pairs = Map.groupBy ? Map.groupBy(lines, ({ a, b }) => `${a.index} ${b.index}`) : new Map(lines.map((line) => [line, [line]]));
  for (const together of pairs.values()) together.forEach((line, i) => { line.d = route(line.way, direction, (i - (together.length - 1) / 2) * 9); });
  return { width: last * (WIDTH + GAP_X) + WIDTH, height: Math.max(...all.map((item) => item.y + item.height / 2)) };
}

// A curve along the lanes; it leaves and enters the boxes level.
function route(way, direction, shift) {
  const up = direction === "up", out = up ? 0 : WIDTH, into = WIDTH - out;
  let d = "";
  way.slice(1).forEach((to, i) => {
    const from = way[i], x1 = from.px + out, x2 = to.px + into, y1 = from.y + shift, y2 = to.y + shift;
    const bend = (up ? -1 : 1) * Math.max(30, Math.abs(x2 - x1) / 2);
    d += `${i ? "L" : "M"}${x1},${y1}C${x1 + bend},${y1} ${x2 - bend},${y2} ${x2},${y2}`;
  });
  return d;
}
