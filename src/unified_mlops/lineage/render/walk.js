// The part of a walk that is drawn: boxes, each a node or a stack of alike ones, and the lines between.
const LEVELS = ["declared", "recorded", "derived", "inferred"];
const MANY = 8;    // more nodes of one kind than this beside one another are a stack
const MORE = 40;   // so many leave a stack at once
const FIRST = 40;  // branches open by themselves until so many boxes are drawn

class Walk {
  constructor(section) {
    Object.assign(this, section);
    this.nodes = new Map(section.nodes.map((node) => [node.uri, Object.assign(node, { next: [], back: [] })]));
    this.edges = section.edges.filter((edge) => this.nodes.has(edge.here) && this.nodes.has(edge.there));
    for (const edge of section.edges) {
      if (!this.nodes.has(edge.there) && this.nodes.has(edge.here)) this.nodes.get(edge.here).cut = true;
    }
    for (const edge of this.edges) {
      this.nodes.get(edge.here).next.push(edge);
      this.nodes.get(edge.there).back.push(edge);
    }
    this.counts = Object.fromEntries(LEVELS.map((level) => [level, this.edges.filter((edge) => edge.level === level).length]));
    this.hidden = new Set();
    this.reset();
  }

  reset() {
    this.starts = [this.nodes.has(this.root) ? this.root : this.nodes.keys().next().value].filter(Boolean);
    this.open = new Set();
    this.picked = new Set();    // nodes that stand in no stack
    this.unfolded = new Map();  // how many have left a stack
    for (let room = FIRST; ; room = room >> 1) {  // fewer where they are much entangled
      this.open.clear();
      this.build(room);
      if (room < 5 || this.lines.length <= 2 * this.boxes.length) break;
    }
  }

  seen(edge) { return !this.hidden.has(edge.level); }

  // From the start outwards; a box leads on where it is open.
  build(room = 0) {
    this.boxes = [];
    this.at = new Map();
    for (const uri of this.starts) if (!this.at.has(uri)) this.place(uri, [this.nodes.get(uri)]);
    for (const box of this.boxes) {  // grows while it is walked
      if (this.boxes.length < room) this.open.add(box.key);
      if (this.open.has(box.key)) this.lead(box);
    }
    for (const box of this.boxes) {
      const beyond = box.members.flatMap((node) => node.next.filter((edge) => this.seen(edge) && !this.at.has(edge.there)));
      box.more = new Set(beyond.map((edge) => edge.there)).size;
    }
    this.lines = this.tie();
  }

  place(key, members, extra = {}) {
    const box = { key, members, leads: 0, index: this.boxes.length, ...extra };
    for (const node of members) this.at.set(node.uri, box);
    this.boxes.push(box);
  }

  lead(box) {
    const kinds = new Map(), fresh = new Set();
    for (const node of box.members) for (const edge of node.next) {
      if (!this.seen(edge) || this.at.has(edge.there) || fresh.has(edge.there)) continue;
      fresh.add(edge.there);
      const next = this.nodes.get(edge.there);
      kinds.set(next.kind, [...(kinds.get(next.kind) ?? []), next]);
    }
    box.leads = fresh.size;
    for (const [kind, nodes] of kinds) {
      const stack = `${box.key}\n${kind}`, out = nodes.length > MANY ? this.unfolded.get(stack) ?? 0 : nodes.length;
      const rest = nodes.filter((node, i) => i >= out && !this.picked.has(node.uri));
      for (const node of nodes) if (!rest.includes(node) || rest.length === 1) this.place(node.uri, [node]);
      if (rest.length > 1) this.place(stack, rest, { stack, out });
    }
  }

  // One line for the edges of one level between two nodes; with a stack, one for all that is no guess.
  tie() {
    const lines = new Map();
    for (const edge of this.edges) {
      const a = this.at.get(edge.here), b = this.at.get(edge.there);
      if (!a || !b || a === b || !this.seen(edge)) continue;
      const level = (a.stack || b.stack) && edge.level !== "inferred" ? "sure" : edge.level, key = `${a.index} ${b.index} ${level}`;
      if (!lines.has(key)) lines.set(key, { a, b, level: edge.level, edges: [] });
      const line = lines.get(key);
      line.edges.push(edge);
      line.level = LEVELS[Math.min(LEVELS.indexOf(line.level), LEVELS.indexOf(edge.level))];  // the strongest
    }
    return [...lines.values()];
  }

  expand(box) { this.open.add(box.key); this.build(); }

  collapse(box) {
    this.open.delete(box.key);
    for (const stack of this.unfolded.keys()) if (stack.startsWith(`${box.key}\n`)) this.unfolded.delete(stack);
    this.build();
  }

  unfold(box) { this.unfolded.set(box.stack, box.out + MORE); this.build(); }

  // Opens the way from the start to a node, and takes it out of its stack.
  reveal(uri) {
    if (this.at.get(uri)?.members.length === 1) return;
    let came = this.ways();
    if (!came.has(uri)) { this.hidden.clear(); came = this.ways(); }
    if (!came.has(uri)) this.starts.push(uri);
    for (let here = uri; came.get(here); here = came.get(here)) {
      this.picked.add(here);
      this.open.add(came.get(here));
    }
    this.build();
  }

  ways() {
    const came = new Map(this.starts.map((uri) => [uri, null]));
    for (const uri of came.keys()) {  // grows while it is walked
      for (const edge of this.nodes.get(uri).next) if (this.seen(edge) && !came.has(edge.there)) came.set(edge.there, uri);
    }
    return came;
  }

  find(text) {
    const words = text.toLowerCase().split(/\s+/).filter(Boolean);
    const found = [];
    for (const node of words.length ? this.nodes.values() : []) {
      node.text ??= `${node.title}\n${node.kind.replaceAll("_", " ")}\n${node.kind}\n${node.uri}`.toLowerCase();
      if (!words.every((word) => node.text.includes(word))) continue;
      const at = node.text.indexOf(words[0]);
      found.push([at === 0 ? 0 : at <= node.title.length ? 1 : 2, node]);
    }
    return found.sort((one, other) => one[0] - other[0] || one[1].title.length - other[1].title.length).map(([, node]) => node);
  }
}
