// How a map is drawn: the form above it, and what it says.
import {el} from "./elements.js";

export const FROM_A = {kind: "scale", column: "kl:a", title: "KL from A (bits/byte)", log: true, values: []};
const NONE = "not given";

const radio = (name, id, value, text) => [el("input", {type: "radio", name, id, value}), el("label", {for: id}, text)];
const check = (id, text) => el("label", {class: "field"}, el("input", {type: "checkbox", id}), ` ${text}`);
const option = (value, text) => el("option", {value}, text);
const titled = (of) => of.column.startsWith("tag:") ? `tag ${of.title}` : of.title;

// data: of the map. Returns {element, read(), write(choices), more(colourings), tell(text)}; a change of
// the form calls onChange(whether it is a step of its own).
export function mapControls({data, onChange}) {
  let colourings = [FROM_A, ...data.colourings], filters = [];
  const steps = [...new Set(data.step.filter((step) => step !== null))].sort((a, b) => a - b);
  const colour = el("select", {id: "colour"});
  const only = el("select", {id: "only", "aria-label": "Only points whose"});
  const value = el("select", {id: "only-value", "aria-label": "is"});
  const find = el("input", {type: "search", id: "find", placeholder: "part of a name"});
  const found = el("span", {id: "found", role: "status"});
  const upto = el("input", {type: "range", id: "upto", min: 0, max: steps.length - 1, step: 1});
  const uptoText = el("output", {for: "upto", id: "upto-text"});
  const element = el("form", {id: "controls", autocomplete: "off", "aria-label": "How the map is drawn"},
    el("fieldset", {}, el("legend", {}, "Map"), radio("embedding", "tsne", "tsne", "t-SNE"), radio("embedding", "pca", "pca", "PCA")),
    el("fieldset", {}, el("legend", {}, "Dimensions"), radio("dimensions", "two", "2", "2D"), radio("dimensions", "three", "3", "3D")),
    el("label", {class: "field"}, "Colour ", colour),
    data.paths.length ? check("lines", "Lines") : null, check("names", "Names"),
    el("label", {class: "field"}, "Find ", find), found,
    el("span", {class: "field"}, "Only ", only, " ", value),
    steps.length > 1 ? el("label", {class: "field"}, "Up to step ", upto, uptoText) : null);
  const at = (id) => element.querySelector(`#${id}`);
  at("tsne").disabled = !data.tsne;

  function fill() {
    const chosen = colour.value, filtered = only.value;
    colour.replaceChildren(...colourings.filter((of) => of !== FROM_A).map((of) => option(of.column, titled(of))), option(FROM_A.column, "KL from A"));
    if (chosen) colour.value = chosen;
    filters = colourings.filter((of) => of !== FROM_A).map((of) => ({column: of.column, title: titled(of), values: values(of)}))
      .filter(({values: of}) => of.length > 1);
    only.replaceChildren(option("", "any"), ...filters.map(({column, title}) => option(column, title)));
    only.value = filters.some(({column}) => column === filtered) ? filtered : "";
  }

  // The values that points can be kept by; a scale's, where there are few.
  function values(of) {
    const all = (of.values || data[of.column]).map((one) => one === null ? NONE : String(one));
    const distinct = [...new Set(all)];
    return distinct.length <= 60 ? distinct : [];
  }

  function fillValues(chosen) {
    const of = filters.find(({column}) => column === only.value);
    value.hidden = !of;
    value.replaceChildren(...(of ? [...of.values].sort((a, b) => (a === NONE) - (b === NONE) || a.localeCompare(b, "en", {numeric: true})) : []).map((one) => option(one, one)));
    if (of && of.values.includes(chosen)) value.value = chosen;
  }

  function offer3d() {
    const possible = MapDrawing.can3d(data, at("pca").checked ? "pca" : "tsne");
    at("three").disabled = !possible;
    element.querySelector("label[for=three]").title = MapDrawing.no3d(data, at("pca").checked ? "pca" : "tsne");
    if (!possible) at("two").checked = true;
  }

  function write({embedding, dimensions, colouring, lines, names, find: wanted, only: kept, upto: step}) {
    at(embedding).checked = true;
    at(dimensions === 3 ? "three" : "two").checked = true;
    offer3d();
    colour.value = colouring.column;
    if (at("lines")) at("lines").checked = lines;
    at("names").checked = names;
    find.value = wanted;
    only.value = kept ? kept[0] : "";
    fillValues(kept && kept[1]);
    const place = step === null ? steps.length - 1 : steps.findLastIndex((one) => one <= step);
    upto.value = String(Math.max(0, place));
    tellStep();
  }

  function tellStep() {
    const all = Number(upto.value) >= steps.length - 1;
    uptoText.textContent = all ? "all" : steps[Number(upto.value)].toLocaleString("en");
  }

  function read() {
    offer3d();
    return {
      embedding: at("pca").checked ? "pca" : "tsne", dimensions: at("three").checked ? 3 : 2,
      colouring: colourings.find((of) => of.column === colour.value),
      lines: !at("lines") || at("lines").checked, names: at("names").checked, find: find.value,
      only: only.value ? [only.value, value.value] : null,
      upto: steps.length > 1 && Number(upto.value) < steps.length - 1 ? steps[Number(upto.value)] : null,
    };
  }

  // The rows that are drawn, a flag each; null where all are.
  function kept({only: by, upto: step}) {
    if (!by && step === null) return null;
    const of = by && colourings.find(({column}) => column === by[0]);
    const all = of ? of.values || data[of.column] : null;
    return data.names.map((_, row) => (!all || (all[row] === null ? NONE : String(all[row])) === by[1])
      && (step === null || data.step[row] === null || data.step[row] <= step));
  }

  element.addEventListener("submit", (event) => event.preventDefault());
  element.addEventListener("change", (event) => {
    if (event.target === only) fillValues(null);
    onChange(event.target !== find);
  });
  let waiting = null;
  const soon = (wait) => {
    clearTimeout(waiting);
    waiting = setTimeout(() => onChange(false), wait);
  };
  find.addEventListener("input", () => soon(150));
  upto.addEventListener("input", () => {
    tellStep();
    soon(40);
  });
  fill();

  return {
    element, read, write, kept, tell(text) { found.textContent = text; },
    known: (column) => colourings.find((of) => of.column === column),
    filter: (written) => {
      const [column, wanted] = [written.slice(0, written.indexOf("=")), written.slice(written.indexOf("=") + 1)];
      const of = filters.find((one) => one.column === column);
      return of && of.values.includes(wanted) ? [column, wanted] : null;
    },
    more(others) {
      colourings = [...colourings, ...others];
      fill();
    },
  };
}
