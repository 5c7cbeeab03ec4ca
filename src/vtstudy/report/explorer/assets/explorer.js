"use strict";
// Shows one picture with one method at one budget. `EXPLORER` is in data.js. Nothing moves, and nothing is fetched.

const element = (id) => document.getElementById(id);
const benchmarks = new Map(EXPLORER.benchmarks.map((benchmark) => [benchmark.key, benchmark]));
const methods = new Map(EXPLORER.methods.map((method) => [method.key, method]));
const budgets = EXPLORER.keeps.map(String);
const SHOWN_REFERENCES = 3;
const shown = {
  benchmark: EXPLORER.benchmarks[0].key,
  picture: 0,
  method: EXPLORER.methods[0].key,
  keep: budgets[Math.floor(budgets.length / 2)],
};

function make(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

// The cells of a grid whose bits are set: the first cell is the highest bit of the first hexadecimal digit.
function cells(digits) {
  const found = [];
  [...digits].forEach((digit, place) => {
    const bits = parseInt(digit, 16);
    for (let bit = 0; bit < 4; bit++) if (bits & (8 >> bit)) found.push(4 * place + bit);
  });
  return found;
}

const percent = (keep) => `${Number((100 * Number(keep)).toPrecision(6))} %`;
const quoted = (text) => (text ? `“${text}”` : "no answer");

function verdict(answer) {
  if (answer.cider !== undefined) return { text: `CIDEr ${Math.round(answer.cider)}`, style: "" };
  if (answer.right === undefined) return { text: "", style: "" };
  if (answer.right === 1) return { text: "right", style: "is-right" };
  if (answer.right === 0) return { text: "wrong", style: "is-wrong" };
  return { text: `partly right, ${Number(answer.right.toFixed(2))} of 1`, style: "" };
}

function judged(answer) {
  const { text } = verdict(answer);
  return text ? `${quoted(answer.text)} (${text})` : quoted(answer.text);
}

function verdictCell(answer) {
  const { text, style } = verdict(answer);
  return make("td", style ? { class: style } : {}, text);
}

function picture() {
  return benchmarks.get(shown.benchmark).pictures[shown.picture];
}

function answerOf(method) {
  return picture().answers[method]?.[shown.keep];
}

function listPictures() {
  const { label, pictures } = benchmarks.get(shown.benchmark);
  element("pictures").replaceChildren(
    ...pictures.map(({ file, question }, number) => {
      const input = make("input", { type: "radio", name: "picture", value: String(number) });
      const alt = `Picture ${number + 1} of ${label}: ${question.split("\n")[0]}`;
      return make("label", {}, input, make("img", { src: `pictures/${file}`, alt, width: 96, height: 96 }));
    }),
  );
}

function drawTokens({ grid: [height, width] }, answer) {
  const kept = new Set(cells(answer.kept ?? ""));
  const square = (cell, inset) =>
    `M${(cell % width) + inset} ${Math.floor(cell / width) + inset}h${1 - 2 * inset}v${1 - 2 * inset}h${2 * inset - 1}z`;
  const all = Array.from({ length: height * width }, (_, cell) => cell);
  const path = (name, chosen, inset) => {
    const drawn = document.createElementNS("http://www.w3.org/2000/svg", "path");
    drawn.setAttribute("class", name);
    drawn.setAttribute("d", chosen.map((cell) => square(cell, inset)).join(""));
    return drawn;
  };
  const veil = element("veil");
  veil.setAttribute("viewBox", `0 0 ${width} ${height}`);
  veil.replaceChildren(
    path("dropped", all.filter((cell) => !kept.has(cell)), 0),
    path("kept", [...kept], 0),
    path("merged", cells(answer.merged ?? ""), 0.36),
  );
  return [kept.size, height * width];
}

function showPicture(file, label, kept, tokens) {
  for (const [id, alt] of [["whole", "The picture with all image tokens"], ["behind", ""]]) {
    const image = element(id);
    image.onload = () => image.classList.toggle("small", image.naturalWidth < 200);
    if (image.getAttribute("src") !== `pictures/${file}`) image.setAttribute("src", `pictures/${file}`);
    image.setAttribute("alt", alt);
  }
  element("pruned").setAttribute("aria-label", `The picture with the ${kept} of ${tokens} image tokens that ${label} keeps`);
  element("whole-caption").textContent = `Unpruned: ${tokens} image tokens`;
  element("pruned-caption").textContent = `${label}: ${kept} image tokens`;
}

function listAnswers(label, pruned) {
  const { references, baseline, blind } = picture();
  const rows = [
    ["Unpruned", baseline],
    [`${label}, ${percent(shown.keep)}`, pruned],
    ["Unpruned, with a grey picture", blind],
  ].filter(([, answer]) => answer);
  const more = references.length - SHOWN_REFERENCES;
  const wanted = references.slice(0, SHOWN_REFERENCES).map(quoted).join(", ") + (more > 0 ? ` and ${more} more` : "");
  const who = references.length > 1 ? "References" : "Reference";
  element("answers").replaceChildren(
    make("tr", {}, make("th", { scope: "row" }, who), make("td", { colspan: 2 }, wanted)),
    ...rows.map(([name, answer]) =>
      make("tr", {}, make("th", { scope: "row" }, name), make("td", {}, quoted(answer.text)), verdictCell(answer)),
    ),
  );
}

function listMethods() {
  const answered = EXPLORER.methods.filter(({ key }) => answerOf(key));
  const right = answered.filter(({ key }) => answerOf(key).right === 1).length;
  const judged = answered.some(({ key }) => answerOf(key).right !== undefined);
  element("all-caption").textContent =
    `Every method keeps ${percent(shown.keep)} of the image tokens. ` +
    (judged ? `Right answers: ${right} of ${answered.length}. ` : "") +
    "Choose a method to see its tokens.";
  const rows = answered.map(({ key, label }) => {
    const answer = answerOf(key);
    const button = make("button", { type: "button", "data-method": key }, label);
    const kept = String(cells(answer.kept ?? "").length);
    const current = key === shown.method ? { "aria-current": "true" } : {};
    const name = make("th", { scope: "row" }, button);
    return make("tr", current, name, make("td", {}, kept), make("td", {}, quoted(answer.text)), verdictCell(answer));
  });
  const focused = document.activeElement?.dataset?.method;
  element("all").replaceChildren(...rows);
  if (focused) element("all").querySelector(`[data-method="${CSS.escape(focused)}"]`)?.focus();
}

function show() {
  const { file, question } = picture();
  const method = methods.get(shown.method);
  const pruned = answerOf(shown.method) ?? { text: "" };
  element("benchmark").value = shown.benchmark;
  element("method").value = shown.method;
  element("summary").textContent = method.summary;
  for (const input of document.querySelectorAll("input[name=picture]")) input.checked = Number(input.value) === shown.picture;
  for (const input of document.querySelectorAll("input[name=keep]")) input.checked = input.value === shown.keep;
  element("question").textContent = question;
  const [kept, tokens] = drawTokens(picture(), pruned);
  showPicture(file, method.label, kept, tokens);
  listAnswers(method.label, pruned);
  listMethods();
  element("status").textContent =
    `${method.label} keeps ${kept} of ${tokens} image tokens and answers ${judged(pruned)}. ` +
    `Without pruning, the answer is ${judged(picture().baseline)}.`;
  const address = `#${shown.benchmark}/${shown.picture + 1}/${shown.method}/${shown.keep}`;
  if (location.hash !== address) history.replaceState(null, "", address);
}

function choose(changes) {
  const other = changes.benchmark !== undefined && changes.benchmark !== shown.benchmark;
  Object.assign(shown, changes);
  if (other) listPictures();
  show();
}

// From a picture to the one before or after it, through all benchmarks.
function step(by) {
  const all = EXPLORER.benchmarks.flatMap(({ key, pictures }) => pictures.map((_, number) => [key, number]));
  const place = all.findIndex(([key, number]) => key === shown.benchmark && number === shown.picture);
  const [benchmark, number] = all[(place + by + all.length) % all.length];
  choose({ benchmark, picture: number });
}

// What the address names, as far as there is such a picture, method and budget.
function readAddress() {
  const [benchmark, number, method, keep] = location.hash.slice(1).split("/");
  const changes = {};
  if (benchmarks.has(benchmark)) {
    const place = Number(number) - 1;
    const known = benchmarks.get(benchmark).pictures[place] !== undefined;
    Object.assign(changes, { benchmark, picture: known ? place : 0 });
  }
  if (methods.has(method)) changes.method = method;
  if (budgets.includes(keep)) changes.keep = keep;
  choose(changes);
}

element("benchmark").addEventListener("change", ({ target }) => choose({ benchmark: target.value, picture: 0 }));
element("method").addEventListener("change", ({ target }) => choose({ method: target.value }));
element("choice").addEventListener("submit", (event) => event.preventDefault());
element("choice").addEventListener("change", ({ target }) => {
  if (target.name === "picture") choose({ picture: Number(target.value) });
  if (target.name === "keep") choose({ keep: target.value });
});
element("all").addEventListener("click", ({ target }) => {
  const method = target.closest("button")?.dataset.method;
  if (method) choose({ method });
});
element("previous").addEventListener("click", () => step(-1));
element("next").addEventListener("click", () => step(1));
document.addEventListener("keydown", (event) => {
  const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
  const plain = !(event.altKey || event.ctrlKey || event.metaKey || event.shiftKey);
  if (by && plain && !event.target.closest("input, select, button, a")) step(by);
});
window.addEventListener("hashchange", readAddress);
listPictures();
readAddress();
