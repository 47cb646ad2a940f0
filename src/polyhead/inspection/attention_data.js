// What all pictures share: the weights, what is chosen, colours and words.
const byId = (id) => document.getElementById(id);
const data = JSON.parse(byId("data").textContent);
const dark = window.matchMedia("(prefers-color-scheme: dark)");
const MEAN = -1; // the "head" that stands for the mean of all heads
const percent = (weight) => `${(100 * weight).toFixed(weight < 0.0995 ? 1 : 0)} %`;
const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1);

/** A word that can be seen even where it is white space. */
function visible(token) {
  if (token === "") return "∅";
  if (token.trim() === "") return token.replace(/\n/g, "⏎").replace(/\s/g, "␣");
  return token.replace(/\n/g, "⏎").replace(/\t/g, "⇥");
}

function element(tag, className, text) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

const means = new Map();
function weightsOf(kind, layer, head) {
  const all = data.attention[kind][layer];
  if (head !== MEAN) return all[head];
  const name = `${kind}/${layer}`;
  if (!means.has(name)) {
    means.set(name, all[0].map((row, q) => row.map((_, k) =>
      all.reduce((sum, weights) => sum + weights[q][k], 0) / all.length)));
  }
  return means.get(name);
}

const highest = (weights) => weights.reduce((most, row) => Math.max(most, ...row), 1e-6);

function colours() {
  return (dark.matches ? data.palette.dark : data.palette.light).map((hex) =>
    [1, 3, 5].map((start) => parseInt(hex.slice(start, start + 2), 16)));
}

/** One pixel per cell; long rows are thinned to at most `most` pixels, keeping the largest. */
function paint(canvas, weights, most) {
  const palette = colours();
  const high = highest(weights);
  const step = Math.max(1, Math.ceil(Math.max(weights.length, weights[0].length) / most));
  canvas.width = Math.ceil(weights[0].length / step);
  canvas.height = Math.ceil(weights.length / step);
  const context = canvas.getContext("2d");
  const image = context.createImageData(canvas.width, canvas.height);
  const peaks = new Float32Array(canvas.width * canvas.height);
  weights.forEach((row, q) => row.forEach((weight, k) => {
    const place = Math.floor(q / step) * canvas.width + Math.floor(k / step);
    if (weight > peaks[place]) peaks[place] = weight;
  }));
  peaks.forEach((weight, place) => {
    const colour = palette[Math.round((weight / high) * (palette.length - 1))];
    image.data.set([...colour, 255], place * 4);
  });
  context.putImageData(image, 0, 0);
}

const state = { kind: data.main, layer: 0, head: MEAN, view: "words", hover: null, pin: null };

const heads = () => data.attention[state.kind][0].length;
const firstHead = () => (heads() > 1 ? MEAN : 0); // the mean of one head is that head
const layers = () => data.attention[state.kind].length;
const sides = () => data.axes[state.kind];
const tokens = (side) => data[side + "_tokens"];
const queries = () => tokens(sides()[0]);
const keys = () => tokens(sides()[1]);
const current = () => weightsOf(state.kind, state.layer, state.head);
const sameWord = (one, other) => one?.side === other?.side && one?.index === other?.index;
