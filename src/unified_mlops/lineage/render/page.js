// The page: draws a walk, and answers to the pointer and the keyboard.
const FAMILIES = {
  data: ["dataset"], column: ["column"], feature: ["feature_view", "feature_service", "feature"], model: ["model", "model_version"],
  serving: ["endpoint", "prediction", "trace"], watch: ["report", "alert"], work: ["run", "task", "job", "materialization", "retrieval", "deployment"],
};
const FAMILY = Object.fromEntries(Object.entries(FAMILIES).flatMap(([family, kinds]) => kinds.map((kind) => [kind, family])));
const SAYS = {
  declared: "said through this library or by an explicit id", recorded: "one native record says so",
  derived: "a deterministic join of records", inferred: "a guess, counted apart",
};
const data = JSON.parse(document.getElementById("data").textContent);
const $ = (selector) => document.querySelector(selector), canvas = $("#canvas"), board = $("#board"), panel = $("aside"), input = $("input"), found = $("#found");
const make = (name, properties = {}, ...children) => {
  const element = Object.assign(document.createElement(name), properties);
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
};
const shape = (name, attributes, ...children) => {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
};
const label = (kind) => kind.replaceAll("_", " ");
const count = (number, noun) => `${number} ${noun}${number === 1 ? "" : "s"}`;
const family = (kind) => FAMILY[kind] ?? "context";
const colour = (element, kind) => { element.style.setProperty("--kind", `var(--${family(kind) === "column" ? "data" : family(kind)})`); return element; };
const icon = (kind) => colour(make("span", { className: "icon" }, shape("svg", { viewBox: "0 0 16 16" }, shape("use", { href: `#i-${family(kind)}` }))), kind);
const sample = (level) => shape("svg", { class: `sample ${level}`, viewBox: "0 0 30 8" }, shape("path", { class: "ink", d: "M2 4H28" }));
const name = (box) => box.stack ? `${count(box.members.length, label(box.members[0].kind))}` : box.members[0].title;
let walk, chosen = null, scale = 1;

function local(time, options) {
  const date = new Date(time * 1000);
  return Number.isNaN(date.getTime()) ? String(time) : date.toLocaleString(undefined, options);
}
function interval({ since, until }) {
  const day = (time, options = { dateStyle: "medium" }) => local(time, options);
  if (since === null && until === null) return "";
  if (since === null) return `until ${day(until)}`;
  if (until === null) return `since ${day(since)}`;
  const options = day(since) === day(until) ? { dateStyle: "medium", timeStyle: "short" } : undefined;
  return `${day(since, options)} – ${day(until, options)}`;
}

// --- drawing: only what is open stands in the document ---
function draw(stay) {
  const before = stay && walk.at.get(stay.uri)?.card?.getBoundingClientRect();
  if (stay) stay.act();
  if (!walk.boxes.length) return board.replaceChildren(make("p", { className: "soft", textContent: "Nothing to show." }));
  const { width, height } = layout(walk.boxes, walk.lines, walk.direction), svg = shape("svg", { width, height });
  board.className = walk.direction;
  board.style.cssText = `width:${width}px;height:${height}px`;
  for (const line of walk.lines) {
    const says = line.edges.length === 1 ? `${line.edges[0].kind} · ${line.level}` : `${line.edges.length} edges · up to ${line.level}`;
    line.group = shape("g", { class: `line ${line.level}` }, shape("path", { class: "ink", d: line.d }), shape("path", { class: "touch", d: line.d }, shape("title", {}, says)));
    line.group.addEventListener("click", () => choose(line.edges.length === 1 ? { edge: line.edges[0] } : { line }));
    svg.append(line.group);
  }
  board.replaceChildren(svg, ...walk.boxes.map(drawBox));
  zoom(scale);
  mark();
  const after = before && walk.at.get(stay.uri)?.card.getBoundingClientRect();
  if (after) canvas.scrollBy(after.left - before.left, after.top - before.top);
}
function drawBox(box) {
  const node = box.members[0], kinds = [label(node.kind), node.coarse && !box.stack ? "coarse" : ""].filter(Boolean).join(" · ");
  box.card = make("button", { className: "card", type: "button", tabIndex: -1, title: box.stack ? "" : node.uri, onclick: () => choose({ box }) },
    icon(node.kind), make("span", { className: "words" }, make("small", { textContent: box.stack ? "stack" : kinds }), make("b", { textContent: name(box) })));
  box.card.box = box;
  const open = walk.open.has(box.key) && box.leads, classes = ["box", box.stack && "pile", node.coarse && "coarse", FAMILY[node.kind] === "work" && "execution", node.uri === walk.root && "root"];
  box.element = make("div", { className: classes.filter(Boolean).join(" ") }, box.card);
  if (open || box.more) {
    const grow = { className: open ? "grow open" : "grow", type: "button", tabIndex: -1, textContent: open ? "−" : `+${box.more}`, onclick: () => toggle(box) };
    box.element.append(make("button", { ...grow, title: open ? "Collapse this branch" : `Expand: ${box.more} more`, ariaLabel: `${open ? "Collapse" : "Expand"} ${name(box)}` }));
    box.card.ariaExpanded = String(Boolean(open));
  }
  box.element.style.cssText = `left:${box.x}px;top:${box.y}px`;
  return colour(box.element, node.kind);
}
function zoom(value) {
  scale = Math.min(1.6, Math.max(0.25, value));
  board.style.zoom = scale;
}
const fit = (least = 0.25) => zoom(Math.max(least, Math.min(1, (canvas.clientWidth - 60) / parseFloat(board.style.width), (canvas.clientHeight - 110) / parseFloat(board.style.height))));

// --- choosing: a box, an edge, or a line of several edges ---
function choose(what, focus = false) {
  chosen = what;
  mark();
  show();
  if (focus && what?.box) {
    what.box.card.focus({ preventScroll: true });
    what.box.card.scrollIntoView({ block: "center", inline: "center" });
  }
}
function go(uri) {
  walk.reveal(uri);
  draw();
  legend();
  choose({ box: walk.at.get(uri) }, true);
}
function toggle(box) {
  const uri = box.members[0].uri, shut = walk.open.has(box.key) && box.leads;
  draw({ uri, act: () => (shut ? walk.collapse(box) : walk.expand(box)) });
  choose({ box: walk.at.get(uri) });
  chosen.box.card.focus({ preventScroll: true });
}
function mark() {
  const box = chosen?.box && walk.at.get(chosen.box.members[0].uri), pair = chosen?.line ?? walk.lines.find((line) => line.edges.includes(chosen?.edge));
  const [met, ties] = box ? reach(box) : [pair ? new Set([pair.a, pair.b]) : null, new Set([pair])];
  for (const other of walk.boxes) {
    other.element.classList.toggle("on", other === box);
    other.element.classList.toggle("dim", Boolean(met) && !met.has(other));
    other.card.tabIndex = other === (box ?? walk.boxes[0]) ? 0 : -1;
  }
  for (const line of walk.lines) {
    line.group.classList.toggle("on", Boolean(met) && ties.has(line));
    line.group.classList.toggle("chosen", line === pair);
    line.group.classList.toggle("dim", Boolean(met) && !ties.has(line));
  }
}
function reach(start) {
  const met = new Set([start]), ties = new Set();
  for (const [from, to] of [["a", "b"], ["b", "a"]]) {
    const leaving = new Map(), seen = new Set([start]);
    for (const line of walk.lines) leaving.set(line[from], [...(leaving.get(line[from]) ?? []), line]);
    for (const box of seen) for (const line of leaving.get(box) ?? []) { ties.add(line); seen.add(line[to]); met.add(line[to]); }
  }
  return [met, ties];
}

function legend() {
  $("#legend").replaceChildren(...LEVELS.filter((level) => walk.counts[level]).map((level) => {
    const button = make("button", { type: "button", ariaPressed: String(!walk.hidden.has(level)), title: SAYS[level] }, sample(level), `${level} ${walk.counts[level]}`);
    button.onclick = () => {
      if (!walk.hidden.delete(level)) walk.hidden.add(level);
      walk.build();
      chosen = null;
      draw();
      legend();
      show();
      $(`#legend button:nth-child(${LEVELS.filter((one) => walk.counts[one]).indexOf(level) + 1})`).focus();
    };
    return button;
  }));
}
