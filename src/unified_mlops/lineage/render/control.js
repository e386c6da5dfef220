// Search, keyboard, pointer, tabs and theme.
let results = [], pointed = 0;
const SHOWN = 12;

function search() {
  results = walk.find(input.value);
  pointed = 0;
  found.hidden = !input.value.trim();
  input.ariaExpanded = String(!found.hidden);
  found.replaceChildren(...results.slice(0, SHOWN).map((node, i) => make("li", { role: "option", id: `found-${i}`, onmousedown: (event) => { event.preventDefault(); pick(i); } },
    icon(node.kind), make("span", { className: "words" }, make("b", { textContent: node.title }), make("small", { textContent: `${label(node.kind)} · ${node.uri}` })))));
  if (!results.length) found.append(make("li", { className: "note", textContent: "No node is called so." }));
  if (results.length > SHOWN) found.append(make("li", { className: "note", textContent: `… and ${results.length - SHOWN} more` }));
  point(0);
}
function point(i) {
  pointed = Math.max(0, Math.min(i, Math.min(results.length, SHOWN) - 1));
  found.querySelectorAll("[role=option]").forEach((option, at) => { option.ariaSelected = String(at === pointed); });
  input.setAttribute("aria-activedescendant", results.length ? `found-${pointed}` : "");
}
function pick(i) {
  shut();
  if (results[i]) go(results[i].uri);
}
function shut() { found.hidden = true; input.ariaExpanded = "false"; }

input.addEventListener("input", search);
input.addEventListener("focus", () => { if (input.value) search(); });
input.addEventListener("blur", shut);
input.addEventListener("keydown", (event) => {
  if (event.key === "ArrowDown") point(pointed + 1);
  else if (event.key === "ArrowUp") point(pointed - 1);
  else if (event.key === "Enter") pick(pointed);
  else if (event.key === "Escape") { input.value = ""; shut(); input.blur(); }
  else return;
  event.preventDefault();
});

// The nearest box in a direction; what lies straight ahead is nearer than what lies aside.
function beside(box, [dx, dy]) {
  let best = null, least = Infinity;
  for (const other of walk.boxes) {
    const x = other.x - box.x, y = other.y - box.y, ahead = x * dx + y * dy, aside = Math.abs(x * dy) + Math.abs(y * dx);
    if (ahead > 0 && ahead + aside * 2 < least) { least = ahead + aside * 2; best = other; }
  }
  return best;
}
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
document.addEventListener("keydown", (event) => {
  if (event.target === input || event.ctrlKey || event.metaKey || event.altKey) return;
  const box = document.activeElement?.box;
  if (event.key === "/") input.select();
  else if (event.key === "Escape") choose(null);
  else if (box && ARROWS[event.key]) {
    const next = beside(box, ARROWS[event.key]);
    if (next) choose({ box: next }, true);
  } else if (box && event.key === "+" && box.more) toggle(box);
  else if (box && (event.key === "-" || event.key === "−") && box.leads) toggle(box);
  else return;
  event.preventDefault();
});

let from = null;
canvas.addEventListener("pointerdown", (event) => {
  if (event.button || event.target.closest("button, .touch")) return;
  from = [event.clientX + canvas.scrollLeft, event.clientY + canvas.scrollTop, event.clientX, event.clientY];
  canvas.classList.add("pan");
});
addEventListener("pointermove", (event) => { if (from) canvas.scrollTo(from[0] - event.clientX, from[1] - event.clientY); });
addEventListener("pointerup", (event) => {
  if (from && Math.hypot(event.clientX - from[2], event.clientY - from[3]) < 4) choose(null);
  from = null;
  canvas.classList.remove("pan");
});
canvas.addEventListener("wheel", (event) => {
  if (!event.ctrlKey) return;
  event.preventDefault();
  zoom(scale * (event.deltaY < 0 ? 1.1 : 1 / 1.1));
}, { passive: false });
for (const button of document.querySelectorAll("[data-zoom]")) {
  button.addEventListener("click", () => (button.dataset.zoom === "fit" ? fit() : zoom(scale * (button.dataset.zoom === "in" ? 1.2 : 1 / 1.2))));
}

const dark = matchMedia("(prefers-color-scheme: dark)"), theme = (on) => document.documentElement.classList.toggle("dark", on);
theme(dark.matches);
dark.addEventListener("change", () => theme(dark.matches));
$("#theme").addEventListener("click", () => theme(!document.documentElement.classList.contains("dark")));

function open(section) {
  section.walk ??= new Walk(section);
  walk = section.walk;
  for (const tab of document.querySelectorAll("nav button")) tab.ariaSelected = String(tab.section === section);
  input.value = "";
  chosen = null;
  draw();
  legend();
  show();
  if (!walk.boxes.length) return;
  fit(0.75);
  walk.boxes[0].card.scrollIntoView({ block: "center", inline: walk.direction === "up" ? "end" : "start" });
}
if (data.sections.length > 1) $("nav").append(...data.sections.map((section) => make("button", { role: "tab", type: "button", textContent: section.title, section, onclick: () => open(section) })));
if (data.sections.length) open(data.sections[0]);
