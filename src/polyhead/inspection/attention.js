// The controls: what is built once, what a choice changes, and who listens.

const kinds = Object.keys(data.attention);
const OVERVIEW_PIXELS = 48;

/** Numbers from 1, after an entry of value 0 if it is named. */
function fillSelect(select, count, zero) {
  const numbers = Array.from({ length: count }, (_, index) => new Option(index + 1, index + 1));
  select.replaceChildren(...(zero ? [new Option(zero, 0)] : []), ...numbers);
}

function buildKinds() {
  for (const kind of kinds) {
    const label = element("label");
    const input = element("input");
    Object.assign(input, { type: "radio", name: "kind", value: kind });
    input.checked = kind === state.kind;
    label.append(input, data.short_headings[kind]);
    byId("kinds").append(label);
  }
  byId("kinds").hidden = kinds.length < 2;
}

function buildTexts() {
  for (const side of ["source", "target"]) {
    if (!tokens(side).length || !kinds.some((kind) => data.axes[kind].includes(side))) continue;
    const text = element("dd", "", tokens(side).map(visible).join(" "));
    text.dir = "auto";
    byId("texts").append(element("dt", "", capital(side)), text);
  }
  byId("note").textContent = data.note;
  byId("note").hidden = !data.note;
}

function buildOverview() {
  const box = byId("overview");
  const shown = Array.from({ length: heads() - firstHead() }, (_, h) => h + firstHead());
  const names = ["", ...shown.map((head) => (head === MEAN ? "x̄" : head + 1))];
  box.style.gridTemplateColumns = `auto repeat(${shown.length}, minmax(16px, 46px))`;
  const cells = names.map((name) => element("span", "name", name));
  for (let layer = 0; layer < layers(); layer++) {
    cells.push(element("span", "name", layer + 1));
    for (const head of shown) {
      const button = element("button", "head");
      button.type = "button";
      button.setAttribute("role", "radio");
      button.dataset.layer = layer;
      button.dataset.head = head;
      button.title = `Layer ${layer + 1}, ${head === MEAN ? "mean of heads" : `head ${head + 1}`}`;
      button.setAttribute("aria-label", button.title);
      const canvas = element("canvas");
      paint(canvas, weightsOf(state.kind, layer, head), OVERVIEW_PIXELS);
      button.append(canvas);
      cells.push(button);
    }
  }
  box.replaceChildren(...cells);
}

function buildWords() {
  for (const [side, words] of [["query", queries()], ["key", keys()]]) {
    byId(side === "query" ? "queries" : "keys").replaceChildren(...words.map((word, index) => {
      const item = element("li");
      const button = element("button", "word");
      button.type = "button";
      button.dataset.side = side;
      button.dataset.index = index;
      button.append(element("bdi", "", visible(word)));
      item.append(button, element("span", "weight"));
      return item;
    }));
  }
  byId("query-heading").textContent = `${capital(sides()[0])} words attend …`;
  byId("key-heading").textContent = `… to ${sides()[1]} words`;
}

function buildLabels() {
  for (const [id, words] of [["lefts", queries()], ["tops", keys()]]) {
    byId(id).replaceChildren(...words.map((word) => element("span", "", visible(word))));
  }
}

function show() {
  const name = state.head === MEAN ? `mean of ${heads()} heads` : `head ${state.head + 1}`;
  const layer = layers() > 1 ? `layer ${state.layer + 1}` : "";
  byId("caption").textContent =
    [data.headings[state.kind], layer, heads() > 1 ? name : ""].filter(Boolean).join(" · ");
  byId("layer").value = String(state.layer + 1);
  byId("head").value = String(state.head + 1);
  byId("high").textContent = highest(current()).toPrecision(2);
  byId("ramp").style.background =
    `linear-gradient(90deg, ${(dark.matches ? data.palette.dark : data.palette.light).join()})`;
  for (const button of document.querySelectorAll(".head")) {
    const chosen = Number(button.dataset.layer) === state.layer &&
      Number(button.dataset.head) === state.head;
    button.setAttribute("aria-checked", String(chosen));
    button.tabIndex = chosen ? 0 : -1;
    if (chosen && document.activeElement?.classList.contains("head")) button.focus();
  }
  byId("words").hidden = state.view !== "words";
  byId("matrix").hidden = state.view !== "matrix";
  document.querySelector(".legend").hidden = state.view !== "matrix";
  if (state.view === "words") showWords(); else showMatrix();
}

function choose(change) {
  Object.assign(state, change);
  show();
}

/** Everything that depends on the kind of attention. */
function chooseKind(kind) {
  const layer = Math.min(state.layer, data.attention[kind].length - 1);
  Object.assign(state, { kind, layer, hover: null, pin: null });
  if (state.head >= heads() || state.head < firstHead()) state.head = firstHead();
  Object.assign(matrix, { query: -1, key: -1 });
  fillSelect(byId("layer"), layers());
  fillSelect(byId("head"), heads(), "mean of all");
  const single = layers() * heads() === 1;
  document.querySelector(".stage").classList.toggle("single", single);
  document.querySelector(".overview").hidden = single;
  byId("layer").parentElement.hidden = layers() === 1;
  byId("head").parentElement.hidden = heads() === 1;
  buildOverview();
  buildWords();
  buildLabels();
  show();
}

const STEPS = {
  ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1],
};

function onKey(event) {
  if (event.key === "Escape") {
    choose({ hover: null, pin: null });
    if (state.view === "matrix") point(-1, -1);
    return;
  }
  if (!(event.key in STEPS) || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.matches("select, input")) return;
  const [down, right] = STEPS[event.key];
  event.preventDefault();
  if (event.shiftKey && state.view === "matrix") {
    const clamp = (value, count) => Math.max(0, Math.min(count - 1, value));
    point(clamp(matrix.query + down, queries().length), clamp(matrix.key + right, keys().length));
  } else if (!event.shiftKey) {
    choose({
      layer: Math.max(0, Math.min(layers() - 1, state.layer + down)),
      head: Math.max(firstHead(), Math.min(heads() - 1, state.head + right)),
    });
  }
}

function wordOf(event) {
  const word = event.target.closest?.(".word");
  return word ? { side: word.dataset.side, index: Number(word.dataset.index) } : null;
}

function hover(word) {
  if (sameWord(state.hover, word)) return;
  state.hover = word;
  showWords();
}

function listen() {
  byId("kinds").addEventListener("change", (event) => chooseKind(event.target.value));
  byId("views").addEventListener("change", (event) => choose({ view: event.target.value }));
  byId("layer").addEventListener("change", (e) => choose({ layer: e.target.value - 1 }));
  byId("head").addEventListener("change", (e) => choose({ head: e.target.value - 1 }));
  document.querySelector(".controls").addEventListener("submit", (e) => e.preventDefault());
  byId("overview").addEventListener("click", (event) => {
    const head = event.target.closest(".head");
    if (head) choose({ layer: Number(head.dataset.layer), head: Number(head.dataset.head) });
  });
  const words = byId("words");
  words.addEventListener("pointerover", (event) => hover(wordOf(event)));
  words.addEventListener("pointerleave", () => hover(null));
  words.addEventListener("focusin", (event) => hover(wordOf(event)));
  words.addEventListener("focusout", () => hover(null));
  words.addEventListener("click", (event) => {
    const word = wordOf(event);
    if (word) choose({ pin: sameWord(state.pin, word) ? null : word });
  });
  const canvas = byId("cells");
  canvas.addEventListener("pointermove", (event) =>
    point(Math.floor(event.offsetY / matrix.cell), Math.floor(event.offsetX / matrix.cell)));
  canvas.addEventListener("pointerleave", () => point(-1, -1));
  document.addEventListener("keydown", onKey);
  dark.addEventListener("change", () => { buildOverview(); show(); });
  let width = 0; // what is drawn changes the height: only the width asks for a new drawing
  new ResizeObserver(([figure]) => {
    if (figure.contentRect.width !== width) show();
    width = figure.contentRect.width;
  }).observe(document.querySelector(".figure"));
}

buildKinds();
buildTexts();
state.layer = layers() - 1;
listen();
chooseKind(state.kind);
