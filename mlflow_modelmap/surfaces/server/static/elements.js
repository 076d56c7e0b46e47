// Elements of the page. Whatever comes from a run goes in as text, so markup in a name is only read.
export function el(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}

// A sentence in which `...` is something to type.
export function sentence(text, attributes = {}) {
  const parts = String(text).split("`");
  return el("p", attributes, parts.map((part, k) => k % 2 ? el("code", {}, part) : part));
}

export const problem = (error) => sentence(error.message, {class: "problem", role: "alert"});

export function notices(sentences) {
  return sentences.length ? el("ul", {class: "notices"}, sentences.map((text) => el("li", {}, text))) : null;
}

// What a gate decided; the sign says it to those who tell no colours apart.
const SIGNS = {pass: "✓", fail: "✗", undecided: "?"};
export const verdict = (of) => el("span", {class: `verdict ${of}`}, el("span", {"aria-hidden": "true"}, SIGNS[of], " "), of);

export function announce(text) {
  document.getElementById("announce").textContent = text;
}

// Milliseconds since 1970 beyond the year 9999 are no time, and would be an error.
export const day = (time) => time > 0 && time < 253402300800000
  ? new Date(time).toISOString().slice(0, 16).replace("T", " ") + " UTC" : "";

// Where a run lies in the MLflow UI; relative, so that it holds behind a proxy.
export const mlflowRun = (experiment, run) =>
  `../#/experiments/${encodeURIComponent(experiment)}/runs/${encodeURIComponent(run)}`;
