// The two pictures: words with lines between them, and the matrix.

/** The weights with which a word attends to all others, or with which they attend to it. */
function partners({ side, index }) {
  const weights = current();
  return side === "query" ? weights[index] : weights.map((row) => row[index]);
}

function drawLines(active) {
  const svg = byId("lines");
  const box = svg.getBoundingClientRect();
  const middles = (id) => [...byId(id).querySelectorAll(".word")].map((word) => {
    const place = word.getBoundingClientRect();
    return place.top + place.height / 2 - box.top;
  });
  const [from, to] = [middles("queries"), middles("keys")];
  const paths = [];
  current().forEach((row, q) => row.forEach((weight, k) => {
    const own = active && (active.side === "query" ? q : k) === active.index;
    if (weight < (own ? 0.004 : 0.04)) return;
    const path = document.createElementNS(svg.namespaceURI, "path");
    const bend = box.width * 0.45;
    path.setAttribute("d", `M0 ${from[q]}C${bend} ${from[q]} ${box.width - bend} ${to[k]} ` +
      `${box.width} ${to[k]}`);
    path.setAttribute("stroke-width", (0.8 + 6 * weight).toFixed(2));
    const strength = Math.min(1, 0.1 + 0.9 * weight);
    path.setAttribute("stroke-opacity", (active && !own ? strength * 0.12 : strength).toFixed(3));
    paths.push(path);
  }));
  svg.replaceChildren(...paths);
}

function showWords() {
  const active = state.hover ?? state.pin;
  const shares = active ? partners(active) : null;
  for (const word of document.querySelectorAll(".word")) {
    const { side } = word.dataset;
    const index = Number(word.dataset.index);
    const same = (other) => sameWord(other, { side, index });
    const weight = active && active.side !== side ? shares[index] : 0;
    word.classList.toggle("active", same(active));
    word.setAttribute("aria-pressed", String(same(state.pin)));
    word.style.setProperty("--weight", weight.toFixed(4));
    word.nextElementSibling.textContent = weight >= 0.005 ? percent(weight) : "";
  }
  drawLines(active);
  showReadout(active, shares);
}

function showReadout(active, shares) {
  if (!active) {
    byId("readout").textContent = state.view === "words"
      ? "Point at a word, or go to it with the Tab key, to see what it attends to; click to keep it."
      : "Point at a cell to read its weight; with the keyboard, hold Shift and press an arrow key.";
    return;
  }
  const [own, others] = active.side === "query" ? [queries(), keys()] : [keys(), queries()];
  const best = shares.map((weight, index) => [weight, others[index]])
    .filter(([weight]) => weight >= 0.005).sort((a, b) => b[0] - a[0]).slice(0, 5);
  const parts = best.flatMap(([weight, word], place) => [
    place ? " · " : " ", element("bdi", "", visible(word)), " ",
    element("span", "share", percent(weight))]);
  const subject = element("b");
  subject.append(element("bdi", "", visible(own[active.index])));
  const verb = active.side === "query" ? " attends to" : " is attended to by";
  byId("readout").replaceChildren(subject, verb, ...(parts.length ? parts : [" nothing here"]));
}

const matrix = { cell: 20, query: -1, key: -1 };
function showMatrix() {
  const weights = current();
  const box = byId("matrix");
  for (const _ of ["first", "again"]) { // the labels' size decides the room, and the room their size
    const room = box.clientWidth - byId("lefts").offsetWidth - 6;
    matrix.cell = Math.max(13, Math.min(36, Math.floor(room / keys().length)));
    box.style.setProperty("--cell", `${matrix.cell}px`);
    box.style.setProperty("--type", `${Math.min(15, Math.round(matrix.cell * 0.8))}px`);
  }
  const ratio = Math.ceil(window.devicePixelRatio || 1);
  const canvas = byId("cells");
  const small = element("canvas");
  paint(small, weights, Infinity);
  const side = matrix.cell * ratio;
  canvas.width = small.width * side;
  canvas.height = small.height * side;
  canvas.style.width = `${small.width * matrix.cell}px`;
  canvas.style.height = `${small.height * matrix.cell}px`;
  const context = canvas.getContext("2d");
  context.imageSmoothingEnabled = false;
  context.drawImage(small, 0, 0, canvas.width, canvas.height);
  context.fillStyle = getComputedStyle(document.body).getPropertyValue("--card");
  for (let k = 1; k < small.width; k++) context.fillRect(k * side, 0, ratio, canvas.height);
  for (let q = 1; q < small.height; q++) context.fillRect(0, q * side, canvas.width, ratio);
  canvas.setAttribute("aria-label", `${byId("caption").textContent}: heat map of ` +
    `${small.height} ${sides()[0]} words by ${small.width} ${sides()[1]} words`);
  point(matrix.query, matrix.key);
}

/** Mark a cell of the matrix, or none, and say its weight. */
function point(query, key) {
  const inside = query >= 0 && key >= 0 && query < queries().length && key < keys().length;
  Object.assign(matrix, inside ? { query, key } : { query: -1, key: -1 });
  byId("cursor").hidden = !inside;
  byId("tooltip").hidden = true;
  byId("lefts").childNodes.forEach((label, q) => label.classList.toggle("on", q === matrix.query));
  byId("tops").childNodes.forEach((label, k) => label.classList.toggle("on", k === matrix.key));
  if (!inside) return showReadout(null, null);
  const cursor = byId("cursor");
  cursor.style.left = `${key * matrix.cell}px`;
  cursor.style.top = `${query * matrix.cell}px`;
  showReadout({ side: "query", index: query }, current()[query]);
  const tooltip = byId("tooltip");
  tooltip.replaceChildren(element("bdi", "", visible(queries()[query])), " → ",
    element("bdi", "", visible(keys()[key])), "  ",
    element("b", "", current()[query][key].toFixed(4)));
  tooltip.hidden = false;
  const cell = cursor.getBoundingClientRect();
  const [wide, tall] = [tooltip.offsetWidth, tooltip.offsetHeight];
  const left = Math.max(8, Math.min(cell.right + 10, window.innerWidth - wide - 8));
  const above = cell.top - tall - 10;
  tooltip.style.left = `${left}px`;
  tooltip.style.top = `${above > 8 ? above : cell.bottom + 10}px`;
}
