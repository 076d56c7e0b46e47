// Several points of a map, and the KL divergence between each two of them.
import {ask} from "./api.js";
import {number} from "./charts.js";
import {combobox} from "./combobox.js";
import {csv, fileName, save} from "./download.js";
import {el, problem} from "./elements.js";
import {interval, measured, table} from "./table.js";

const MOST = 40, MOST_IN_SQUARE = 12;

// onChange(whether it is a step of its own). Returns {element, add(rows), set(rows, step), rows()}.
export function severalPanel({run, data, file, onChange}) {
  let chosen = [], turn = 0;
  const box = combobox({id: "point-more", label: "Add a point", options: data.names, onChoose: (row) => {
    box.show(null);
    if (row !== null) add([row]);
  }});
  const summary = el("summary", {}, "Several points");
  const list = el("ul", {class: "choices", id: "several-points"});
  const answer = el("div", {id: "several-kl", "aria-live": "polite"});
  const element = el("details", {id: "several"}, summary,
    el("p", {class: "under"}, "Click points while holding Shift, draw round them with the lasso above the map, or add them here: the KL divergence between each two of them is told."),
    box.element, list, answer);

  // A point that is there already is taken out, as a second Shift-click means it.
  function add(rows) {
    const out = rows.length === 1 && chosen.includes(rows[0]);
    set(out ? chosen.filter((row) => row !== rows[0]) : [...chosen, ...rows], true);
  }

  async function set(rows, step = false) {
    const before = chosen;
    chosen = [...new Set(rows)];
    if (!step && String(before) === String(chosen)) return;
    if (chosen.length) element.open = true;
    onChange(step);
    summary.textContent = chosen.length ? `Several points: ${chosen.length}` : "Several points";
    list.replaceChildren(...chosen.slice(0, MOST).map((row) => el("li", {},
      el("button", {type: "button", class: "small", "aria-label": `Leave out ${data.names[row]}`, onclick: () => add([row])}, `${data.names[row]} ×`))),
    chosen.length ? el("li", {}, el("button", {type: "button", class: "small", onclick: () => set([], true)}, "Leave out all")) : "");
    const mine = ++turn;
    delete answer.dataset.rows;
    if (chosen.length < 2) {
      answer.replaceChildren(chosen.length ? el("p", {}, "Now choose another.") : "");
      return;
    }
    if (chosen.length > MOST) {
      answer.replaceChildren(el("p", {}, `${chosen.length} points are chosen; the KL divergences of at most ${MOST} are told. Draw round fewer.`));
      return;
    }
    try {
      const told = await ask("several", {run_id: run, rows: chosen.join(",")});
      if (mine !== turn) return;
      answer.replaceChildren(...shown(told));
      answer.dataset.rows = told.rows.join(",");
    } catch (error) {
      if (mine === turn) answer.replaceChildren(problem(error));
    }
  }

  function shown({rows, kl, se, pairs}) {
    const names = rows.map((row) => data.names[row]);
    const ordered = [...pairs].sort((a, b) => a.kl - b.kl);
    const of = ({a, b}) => `${data.names[a]} and ${data.names[b]}`;
    const first = ordered[0], last = ordered[ordered.length - 1];
    const matrix = () => [["point", ...names, ...names.map((name) => `standard error to ${name}`)], rows.map((_, k) => [names[k], ...kl[k], ...se[k]])];
    return [
      el("p", {class: "words"}, ordered.length === 1 ? `${of(first)}: ${first.words}.`
        : `Nearest are ${of(first)}: ${first.words}. Farthest are ${of(last)}: ${last.words}.`),
      rows.length <= MOST_IN_SQUARE ? square(names, kl, matrix)
        : el("p", {}, el("button", {type: "button", class: "small", onclick: () => save(fileName(`${file} matrix`, "csv"), csv(...matrix()))}, "The KL matrix as CSV")),
      table(`KL divergence of ${pairs.length} pairs, bits per byte`, [
        {title: "Point", name: true, of: (pair) => data.names[pair.a]},
        {title: "Other point", name: true, of: (pair) => data.names[pair.b]},
        measured("KL ± standard error", (pair) => pair.kl, (pair) => pair.se, ValueAndError.withError),
        interval("95 % interval", ({low, high}) => low === null && high === null ? "" : `${number(low)} to ${number(high)}`),
        {title: "In words", name: true, of: (pair) => pair.words},
      ], ordered, {file: `${file} pairs`}),
    ];
  }

  function square(names, kl, matrix) {
    return table("KL divergence, bits per byte", [
      {title: "Point", name: true, of: (k) => names[k]},
      ...names.map((name, at) => ({title: name, number: true, of: (k) => k === at ? "" : number(kl[k][at]), values: {[name]: (k) => kl[k][at]}})),
    ], names.map((_, k) => k), {file: `${file} matrix`, kept: matrix});
  }

  return {element, add, set, rows: () => chosen};
}
