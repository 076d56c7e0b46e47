// A study of quantised copies, layers, prompts or exact pairs: what its first table says, drawn, and all tables.
import {below, chart, lines, name, number, short, withError} from "./charts.js";
import {el} from "./elements.js";
import {measured, table} from "./table.js";

export async function showStudy(here, {data}) {
  const {chart: drawn, tables} = data;
  here.append(el("h2", {}, drawn.title));
  await chart(here, drawn.kind === "dots" ? dots(drawn) : profile(drawn));
  const zeros = drawn.rows.filter((row) => !(row.value > 0)).length;
  here.append(el("p", {class: "under"}, [
    drawn.rows.some((row) => row.low !== null) ? `Bars are 95 % intervals${drawn.rows.some((row) => row.low === null) ? ", where they are known" : ""}.` : "",
    zeros ? `${zeros} of 0 or not known have no place on a logarithmic axis; the table holds them.` : "",
    drawn.left_out ? `The first ${drawn.rows.length} are drawn; the table holds ${drawn.left_out} more.` : "",
  ].filter(Boolean).join(" ")));
  for (const {title, columns, rows} of tables) here.append(el("h2", {}, title), table(title, columns.map(column), rows, {titled: true}));
}

function column({of, title, se, number: isNumber}) {
  if (se) return measured(title, (row) => row[of], (row) => row[se], withError);
  if (!isNumber) return {title: title.replace(" ± standard error", ""), name: true, of: (row) => row[of] === null ? "" : String(row[of])};
  const written = (value) => value === null ? "" : Number.isInteger(value) ? value.toLocaleString("en") : number(value);
  return {title: title.replace(" ± standard error", ""), number: true, of: (row) => written(row[of]), values: {[title]: (row) => row[of]}};
}

const errors = (rows) => ({type: "data", symmetric: false, thickness: 1.5, width: 3,
  array: rows.map((row) => row.high === null ? 0 : row.high - row.value),
  // An error as large as the value would reach to 0, which has no place on the axis.
  arrayminus: rows.map((row) => row.low === null ? 0 : row.value - Math.max(row.low, 0.1 * row.value))});

function told(row, drawn, first) {
  return lines(short(first, 60), `${drawn.value.replace(" (bits/byte)", "")} ${withError(row.value, row.se)} bits/byte`,
    row.low === null || row.high === null ? "" : `95 % interval ${number(row.low)} to ${number(row.high)}`);
}

function traces(drawn, of) {
  const known = drawn.rows.filter((row) => row.value > 0);
  return Object.entries(drawn.colours).map(([group, colour]) => {
    const rows = known.filter((row) => row.group === group);
    return {type: "scatter", name: name(group, 30), hoverinfo: "text", ...of(rows, Look.seen(colour))};
  });
}

// A row each, one below the other.
function dots(drawn) {
  const small = MapDrawing.narrow();
  const labels = [...new Set(drawn.rows.map((row) => row.label))];
  return {
    id: "study", label: `${drawn.title}; the table below holds the same.`, height: 150 + 26 * labels.length + 16 * Object.keys(drawn.colours).length,
    make: () => ({
      traces: traces(drawn, (rows, colour) => ({
        mode: "markers", x: rows.map((row) => row.value), y: rows.map((row) => labels.indexOf(row.label)), error_x: {...errors(rows), color: colour},
        marker: {size: 9, color: colour}, hovertext: rows.map((row) => told(row, drawn, `${row.label}, ${row.group}`)),
      })),
      xaxis: {title: {text: drawn.value}, type: "log"},
      yaxis: {tickvals: labels.map((_, k) => k), ticktext: labels.map((label) => name(label, small ? 16 : 44)), range: [labels.length - 0.4, -0.6], fixedrange: true},
      layout: {legend: below, showlegend: true},
    }),
  };
}

// A line a group, along layers.
function profile(drawn) {
  const few = new Set(drawn.rows.map((row) => row.x)).size <= 24;
  return {
    id: "study", label: `${drawn.title}; the table below holds the same.`,
    make: () => ({
      traces: traces(drawn, (rows, colour) => ({
        mode: "lines+markers", x: rows.map((row) => row.x), y: rows.map((row) => row.value), error_y: errors(rows), line: {color: colour, width: 1.6},
        marker: {size: 5, color: colour}, hovertext: rows.map((row) => told(row, drawn, `${row.group}, ${drawn.across} ${row.x}`)),
      })),
      xaxis: {title: {text: drawn.across}, ...(few ? {dtick: 1} : {})}, yaxis: {title: {text: drawn.value}, type: "log"},
    }),
  };
}
