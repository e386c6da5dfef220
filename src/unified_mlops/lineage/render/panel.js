// What is known of the thing that is chosen.
const heading = (kind, title, below) => make("div", { className: "head" }, kind ? icon(kind) : null, make("div", {}, make("h2", { textContent: title }), make("div", { className: "soft", textContent: below })));
const act = (text, onclick) => make("button", { className: "act", type: "button", textContent: text, onclick });
const row = (onclick, ...children) => make("button", { className: "row", type: "button", onclick }, ...children);
const words = (title, below) => make("span", { className: "words end" }, make("b", { textContent: title }), make("small", { textContent: below }));
const list = (pairs) => make("dl", {}, ...pairs.filter(([, value]) => value !== "").flatMap(([key, value]) => [make("dt", { textContent: key }), make("dd", { textContent: value })]));

function show() {
  panel.scrollTop = 0;
  if (chosen?.edge) showEdge(chosen.edge);
  else if (chosen?.line) showLine(chosen.line);
  else if (chosen?.box) (chosen.box.stack ? showStack : showNode)(chosen.box);
  else showWalk();
}

function showWalk() {
  panel.replaceChildren(heading("", walk.title, walk.summary));
  if (walk.truncated) panel.append(make("p", { className: "warn", textContent: "What lies further off was left out: ask for more nodes to see it." }));
  const keys = [["/", "find a node"], ["← → ↑ ↓", "move along the graph"], ["Enter", "choose"], ["+ −", "expand, collapse"], ["Esc", "back to this overview"]];
  panel.append(make("p", { className: "soft", textContent: "Upstream stands on the left. Click a node to follow it, a line for its evidence." }),
    make("div", { className: "keys" }, ...keys.flatMap(([key, does]) => [make("span", {}, make("kbd", { textContent: key })), make("span", { textContent: does })])));
  if (walk.nodes.size) panel.append(act("Draw it as at first", () => { walk.reset(); draw(); fit(0.75); }));
  const kinds = new Map();
  for (const node of walk.nodes.values()) kinds.set(node.kind, (kinds.get(node.kind) ?? 0) + 1);
  panel.append(make("h3", { textContent: "What is in it" }));
  for (const [kind, number] of kinds) panel.append(row(() => { input.value = label(kind); input.focus(); search(); }, icon(kind), words(count(number, label(kind)), "")));
}

function showNode(box) {
  const node = box.members[0], open = walk.open.has(box.key) && box.leads;
  panel.replaceChildren(heading(node.kind, node.title, label(node.kind)), make("code", { textContent: node.uri }));
  if (open || box.more) panel.append(act(open ? "Collapse branch" : `Expand branch (${box.more})`, () => toggle(box)));
  if (node.coarse) panel.append(make("p", { className: "warn", textContent: "Coarse: met only because a column comes from no column; not every column need be meant." }));
  if (node.cut) panel.append(make("p", { className: "warn", textContent: "The graph goes on from here; the walk was truncated." }));
  const facts = [["made", node.time === null ? "" : local(node.time, { dateStyle: "medium", timeStyle: "short" })], ...Object.entries(node.attributes)];
  if (facts.some(([, value]) => value !== "")) panel.append(make("h3", { textContent: "About" }), list(facts));
  for (const [title, near, far] of [["From", "target", "source"], ["To", "source", "target"]]) {
    const edges = [...new Set([...node.next, ...node.back])].filter((edge) => edge[near] === node.uri && walk.seen(edge));
    if (edges.length) panel.append(make("h3", { textContent: `${title} (${edges.length})` }), rows(edges, far));
  }
}

const PAGE = 60;  // so many rows at once
function rows(edges, far) {
  const part = make("div");
  const more = (start) => {
    part.append(...edges.slice(start, start + PAGE).map((edge) => row(() => choose({ edge }), words(walk.nodes.get(edge[far]).title, [edge.kind, edge.level, interval(edge)].filter(Boolean).join(" · ")), sample(edge.level))));
    if (edges.length > start + PAGE) {
      const button = act(`${edges.length - start - PAGE} more`, () => { button.remove(); more(start + PAGE); });
      part.append(button);
    }
  };
  more(0);
  return part;
}

function showStack(box) {
  const kind = box.members[0].kind, each = Math.min(MORE, box.members.length);
  panel.replaceChildren(heading(kind, name(box), "alike, so drawn as one"),
    act(each < box.members.length ? `Draw ${each} of them` : "Draw each", () => { const { uri } = box.members[0]; draw({ uri, act: () => walk.unfold(box) }); choose({ box: walk.at.get(uri) }, true); }));
  if (box.more || box.leads) panel.append(act(walk.open.has(box.key) && box.leads ? "Collapse branch" : `Expand branch (${box.more})`, () => toggle(box)));
  panel.append(make("h3", { textContent: "In it" }), ...box.members.slice(0, 100).map((node) => row(() => go(node.uri), words(node.title, node.uri))));
  if (box.members.length > 100) panel.append(make("p", { className: "soft", textContent: `… and ${box.members.length - 100} more: find them by name.` }));
}

function showLine(line) {
  panel.replaceChildren(heading("", count(line.edges.length, "edge"), [...new Set(line.edges.map((edge) => edge.level))].join(", ")));
  panel.append(make("h3", { textContent: "Between" }), rows(line.edges, line.a.members.length > 1 ? "here" : "there"));
}

function showEdge(edge) {
  panel.replaceChildren(heading("", edge.kind, `${edge.level}: ${SAYS[edge.level]}`));
  for (const [title, uri] of [["From", edge.source], ["To", edge.target]]) {
    const node = walk.nodes.get(uri);
    panel.append(make("h3", { textContent: title }), row(() => go(uri), icon(node.kind), words(node.title, label(node.kind))));
  }
  const facts = [["rule", edge.rule], ["holds", interval(edge)]];
  if (facts.some(([, value]) => value)) panel.append(make("h3", { textContent: "About" }), list(facts));
  panel.append(make("h3", { textContent: "Evidence" }));
  for (const one of edge.evidence) panel.append(make("div", { className: "proof" }, list([["collector", one.collector], ["rule", one.rule], ["level", one.level]]), make("code", { textContent: one.key, title: "the native record" })));
  if (!edge.evidence.length) panel.append(make("p", { className: "soft", textContent: "None was asked for with this walk." }));
}
