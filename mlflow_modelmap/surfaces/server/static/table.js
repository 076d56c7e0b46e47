// Tables: sorted by a click on a column's title, kept as CSV, and saying where they go on.
import {csv, fileName, save} from "./download.js";
import {announce, el} from "./elements.js";

// columns: [{title, of(row) -> text or element, number, name, values: {title: of(row) -> number or text}}];
// what stands in `values` is sorted by, the first of it, and written as CSV, in place of the text.
// all: the rows that are kept, where not all are shown; kept(): another table's titles and rows instead;
// titled: whether a heading says the caption already.
export function table(caption, columns, rows, {file = caption, all = null, kept = null, titled = false} = {}) {
  let order = null;
  const kind = (column) => column.number ? "number" : column.name ? "name" : null;
  const body = el("tbody");
  const heads = columns.map((column) => column.plain ? el("th", {scope: "col"}, column.title)
    : el("th", {scope: "col", class: kind(column), "aria-sort": "none"},
      el("button", {type: "button", class: "sort", onclick: () => sort(column)}, column.title, el("span", {class: "arrow", "aria-hidden": "true"}))));

  const text = (column, row) => {
    const told = column.of(row);
    return told instanceof Node ? told.textContent : Array.isArray(told) ? told.map((part) => part instanceof Node ? part.textContent : part).join("") : told;
  };
  const values = (column) => column.values || {[column.title]: column.number ? (row) => asNumber(text(column, row)) : (row) => text(column, row)};

  function sort(column) {
    const ascending = !(order && order.column === column && order.ascending);
    order = {column, ascending};
    fill();
    announce(`${caption}: sorted by ${column.title}, ${ascending ? "smallest or first" : "largest or last"} first.`);
  }

  function sorted(list) {
    if (!order) return list;
    const of = Object.values(values(order.column))[0];
    const keyed = list.map((row) => [of(row), row]);
    const missing = (value) => value === null || value === undefined || value === "";
    // What is missing comes last either way.
    keyed.sort(([a], [b]) => missing(a) || missing(b) ? missing(a) - missing(b) : (order.ascending ? 1 : -1) * compared(a, b));
    return keyed.map(([, row]) => row);
  }

  function fill() {
    heads.forEach((head, k) => {
      if (columns[k].plain) return;
      const mine = order && order.column === columns[k];
      head.setAttribute("aria-sort", !mine ? "none" : order.ascending ? "ascending" : "descending");
    });
    const most = all ? rows.length : Infinity;
    body.replaceChildren(...sorted(all || rows).slice(0, most).map((row) => el("tr", {}, columns.map((c) => el("td", {class: kind(c)}, c.of(row))))));
  }

  function keep() {
    if (kept) {
      save(fileName(file, "csv"), csv(...kept()));
      return;
    }
    const written = columns.filter((column) => !column.plain).flatMap((column) => Object.entries(values(column)));
    save(fileName(file, "csv"), csv(written.map(([title]) => title), sorted(all || rows).map((row) => written.map(([, of]) => of(row)))));
  }

  fill();
  const scroll = el("div", {class: "scroll", tabindex: "0", role: "region", "aria-label": caption, onscroll: edges},
    el("table", {}, el("caption", {class: titled ? "unseen" : null}, caption), el("thead", {}, el("tr", {}, heads)), body));
  // Whether there is more to the right, which a shadow says, as a phone shows no bar.
  function edges() {
    scroll.classList.toggle("more-right", scroll.scrollLeft + scroll.clientWidth < scroll.scrollWidth - 2);
    scroll.classList.toggle("more-left", scroll.scrollLeft > 2);
  }
  new ResizeObserver(edges).observe(scroll);
  return el("div", {class: "table"}, scroll,
    el("p", {class: "keep"}, el("button", {type: "button", class: "small", "aria-label": `Save as CSV: ${caption}`, onclick: keep}, "CSV")));
}

// 12,000 as a number; what is none, as a sentence in place of it, as it is.
function asNumber(text) {
  const value = Number(String(text).replaceAll(",", ""));
  return text === "" || Number.isNaN(value) ? text : value;
}

const compared = (a, b) => typeof a === "number" && typeof b === "number" ? a - b
  : String(a).localeCompare(String(b), "en", {numeric: true});

// Columns of a value with its standard error, and of the ends of an interval.
export const measured = (title, value, error, written) => ({title, number: true, of: (row) => written(value(row), error(row)),
  values: {[title.replace(" ± standard error", "")]: value, "standard error": error}});
export const interval = (title, written, low = (row) => row.low, high = (row) => row.high) => ({title, number: true, of: written,
  values: {[`${title}, low`]: low, [`${title}, high`]: high}});
