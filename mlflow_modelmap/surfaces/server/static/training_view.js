// KL along training, anomalies, exponents and bits per byte, by trajectory.
import {chart, lines as told, name as nameOf, short, withError} from "./charts.js";
import {el, sentence} from "./elements.js";
import {stepAxis} from "./step_axis.js";
import {interval, measured, table} from "./table.js";

const text = (value) => value === null ? "" : value.toLocaleString("en");
const number = (value) => value === null ? "" : value.toPrecision(3);

export async function showTraining(here, {data, state = {}}) {
  const lines = data.trajectories;
  if (!lines.some((line) => line.bits_per_byte.length)) {
    here.append(sentence("No checkpoint is recorded yet; the first one appears here once it is scored.", {class: "nothing"}));
    return;
  }
  const axis = stepAxis(here, lines, state);
  await drawKl(here, lines, data.anomalies, "kl_previous", "KL between consecutive checkpoints", "kl-previous", axis);
  if (lines.some((line) => (line.kl_reference || []).length)) {
    await drawKl(here, lines, [], "kl_reference", data.reference ? `KL to the reference, ${data.reference}` : "KL to the reference", "kl-reference", axis);
  }
  tellAnomalies(here, data.anomalies);
  await drawExponents(here, data);
  await drawBits(here, lines, axis);
}

async function drawKl(here, lines, anomalies, column, title, id, axis) {
  const rows = lines.flatMap((line) => line[column].map((row) => ({...row, trajectory: line.name})));
  here.append(el("h2", {}, title));
  if (!rows.length) {
    here.append(sentence("There is no second checkpoint yet.", {class: "nothing"}));
    return;
  }
  const flagged = new Set(anomalies.map((of) => `${of.step} ${of.trajectory}`));
  const traces = () => lines.filter((line) => line[column].length).map((line) => ({
    type: "scatter", mode: "lines+markers", name: nameOf(line.name, 30), showlegend: lines.length > 1,
    x: line[column].map((row) => axis.at(row.step)), y: line[column].map((row) => row.kl),
    error_y: {type: "data", symmetric: false, thickness: 1, width: 2,
      array: line[column].map((row) => row.high === null ? 0 : row.high - row.kl),
      arrayminus: line[column].map((row) => row.low === null ? 0 : row.kl - row.low)},
    line: {color: Look.seen(line.colour), width: 1.6},
    marker: {color: Look.seen(line.colour),
      size: line[column].map((row) => flagged.has(`${row.step} ${line.name}`) ? 12 : 5),
      symbol: line[column].map((row) => flagged.has(`${row.step} ${line.name}`) ? "x" : "circle")},
    hoverinfo: "text", hovertext: line[column].map((row) =>
      told(short(line.name, 60), `${row.step_from === null || row.step_from === undefined ? "" : `step ${text(row.step_from)} to `}step ${text(row.step)}`,
        `KL ${withError(row.kl, row.se)} bits/byte`)),
  }));
  await axis.chart(here, {
    id, label: `${title}, by training step; the table below holds the same.`,
    make: () => ({traces: traces(), xaxis: axis.layout(), yaxis: {title: {text: "KL (bits/byte)"}, type: "log"}}),
  });
  here.append(el("p", {class: "under"}, `Bars are 95 % intervals${flagged.size ? "; × marks a checkpoint that breaks continuity" : ""}.`),
    el("details", {}, el("summary", {}, `${title} as a table`), table(`${title}, bits per byte`, [
      {title: "Trajectory", name: true, of: (row) => row.trajectory},
      {title: "From step", number: true, of: (row) => row.step_from === undefined ? "" : text(row.step_from)},
      {title: "Step", number: true, of: (row) => text(row.step)},
      measured("KL ± standard error", (row) => row.kl, (row) => row.se, withError),
      interval("95 % interval", (row) => row.low === null ? "" : `${number(row.low)} to ${number(row.high)}`),
    ], rows)));
}

function tellAnomalies(here, anomalies) {
  here.append(el("h2", {}, "Anomalies"));
  if (!anomalies.length) here.append(el("p", {}, "None was found."));
  else here.append(el("ul", {id: "anomalies"}, anomalies.map((of) =>
    el("li", {}, `${of.trajectory}${of.step === null ? "" : `, step ${text(of.step)}`}: ${of.what}`))));
}

async function drawExponents(here, data) {
  const rows = data.trajectories.flatMap((line) => line.exponents.map((row) => ({...row, trajectory: line.name, colour: line.colour})));
  if (!rows.length) return;
  here.append(el("h2", {}, "Diffusion exponents"));
  for (const [space, words] of Object.entries(data.spaces)) {
    const own = rows.filter((row) => row.space === space);
    if (!own.length) continue;
    if (Object.keys(data.spaces).some((other) => other !== space && rows.some((row) => row.space === other))) {
      here.append(el("h3", {}, `of the ${words}`));
    }
    const names = [...new Set(own.map((row) => row.trajectory))];
    // With one window each, all would stand above one another.
    const single = own.length === names.length;
    // A training that goes on knows where its latest window ends.
    const at = (row) => row.t0 === null ? row.t1 : row.t0;
    await chart(here, {
      id: `exponents-${space}`, label: `Diffusion exponents of the ${words} by training step; the table below holds the same.`,
      make: () => ({traces: names.map((name) => {
        const line = own.filter((row) => row.trajectory === name);
        return {
          type: "scatter", mode: "lines+markers", name: nameOf(name, 30), showlegend: names.length > 1 && !single,
          x: line.map((row) => single ? nameOf(name, 20) : at(row)), y: line.map((row) => row.exponent),
          error_y: {type: "data", symmetric: false, thickness: 1, width: 2,
            array: line.map((row) => row.high === null ? 0 : row.high - row.exponent),
            arrayminus: line.map((row) => row.low === null ? 0 : row.exponent - row.low)},
          line: {color: Look.seen(line[0].colour), width: 1.6}, marker: {color: Look.seen(line[0].colour), size: 6}, hoverinfo: "text",
          hovertext: line.map((row) => told(short(name, 60), `${row.t0 === null ? "up to" : "from"} step ${text(at(row))}`, `c = ${number(row.exponent)} (${number(row.low)} to ${number(row.high)})`)),
        };
      }),
      xaxis: single ? {type: "category"} : {title: {text: own[0].t0 === null ? "last step of the window" : "first step of the window"}}, yaxis: {title: {text: "exponent c"}}}),
    });
  }
  here.append(el("p", {class: "under"}, "Bars are 95 % intervals."),
    el("details", {}, el("summary", {}, "Diffusion exponents as a table"), table("Diffusion exponents", [
      {title: "Trajectory", name: true, of: (row) => row.trajectory},
      {title: "Of the", of: (row) => data.spaces[row.space] || row.space},
      {title: "From step", number: true, of: (row) => text(row.t0)},
      {title: "To step", number: true, of: (row) => text(row.t1)},
      {title: "Exponent", number: true, of: (row) => number(row.exponent)},
      interval("95 % interval", (row) => row.low === null ? "" : `${number(row.low)} to ${number(row.high)}`),
      {title: "R²", number: true, of: (row) => number(row.r2)},
    ], rows)));
}

async function drawBits(here, lines, axis) {
  here.append(el("h2", {}, "Bits per byte"));
  await axis.chart(here, {
    id: "bits", label: "Bits per byte by training step; the table below holds the same.",
    make: () => ({
      traces: lines.map((line) => ({
        type: "scatter", mode: "lines+markers", name: nameOf(line.name, 30), showlegend: lines.length > 1,
        x: line.bits_per_byte.map((row) => axis.at(row.step)), y: line.bits_per_byte.map((row) => row.value),
        line: {color: Look.seen(line.colour), width: 1.6}, marker: {color: Look.seen(line.colour), size: 4}, hoverinfo: "text",
        hovertext: line.bits_per_byte.map((row) => told(short(line.name, 60), `step ${text(row.step)}`, `${row.value.toFixed(4)} bits per byte`)),
      })),
      xaxis: axis.layout(), yaxis: {title: {text: "bits per byte"}},
    }),
  });
  const rows = lines.flatMap((line) => line.bits_per_byte.map((row) => ({...row, trajectory: line.name})));
  here.append(el("details", {}, el("summary", {}, "Bits per byte as a table"), table("Bits per byte", [
    {title: "Trajectory", name: true, of: (row) => row.trajectory},
    {title: "Step", number: true, of: (row) => text(row.step)},
    {title: "Bits per byte", number: true, of: (row) => row.value.toFixed(4), values: {"Bits per byte": (row) => row.value}},
  ], rows)));
}
