// The scale: KL by setting with the spread of its pairs, beside the medians of the paper.
import {chart, lines, name, number, short, withError} from "./charts.js";
import {el} from "./elements.js";
import {interval, table} from "./table.js";

const half = (row) => row.low === null ? "" : `${number(row.low)} to ${number(row.high)}`;
const median = (row) => row.n === 1 ? withError(row.median, row.largest_se) : number(row.median);

export async function showScale(here, {data}) {
  const groups = data.groups;
  const small = MapDrawing.narrow();
  const labels = groups.map((row) => name(row.group, small ? 16 : 40));
  await chart(here, {
    id: "scale", label: "KL divergence by setting: median, middle half and pairs, beside the paper's median; the table below holds the same.",
    height: (small ? 190 : 130) + 40 * groups.length,
    make: () => ({
      traces: traces(groups, small),
      xaxis: {title: {text: small ? "KL (bits/byte)" : "KL divergence (bits/byte)"}, type: "log"},
      yaxis: {tickvals: groups.map((_, k) => k), ticktext: labels, range: [groups.length - 0.4, -0.6], fixedrange: true},
    }),
  });
  const zeros = groups.filter((row) => !(row.median > 0)).map((row) => row.group);
  here.append(
    el("p", {class: "under"}, "Each faint mark is a pair of models; of a group of many, sixty at even ranks. "
      + "The bar is the middle half of all pairs. Where there is one pair, the line is its KL ± standard error."
      + (zeros.length ? ` A median of 0 has no place on a logarithmic axis: ${zeros.join(", ")}.` : "")),
    data.note ? el("p", {class: "under", id: "set-up"}, data.note) : "",
    el("h2", {}, "All groups"), table("KL divergence by setting, bits per byte", [
      {title: "Setting", of: (row) => row.group},
      {title: "Median", number: true, of: median, values: {Median: (row) => row.median}},
      interval("Middle half", half),
      {title: "Largest standard error", number: true, of: (row) => number(row.largest_se), values: {"Largest standard error": (row) => row.largest_se}},
      {title: "In the paper", number: true, of: (row) => number(row.paper_median), values: {"In the paper": (row) => row.paper_median}},
      {title: "Mean", number: true, of: (row) => number(row.mean), values: {"Mean": (row) => row.mean}},
      {title: "SD", number: true, of: (row) => number(row.sd), values: {"SD": (row) => row.sd}},
      {title: "Pairs", number: true, of: (row) => String(row.n)},
      {title: "What it is in the paper", name: true, of: (row) => row.meaning || ""},
    ], groups));
}

function traces(groups, small) {
  const BLUE = Look.seen("#0072b2"), ORANGE = Look.seen("#d55e00");
  const most = small ? 24 : 60;
  const at = (of) => ({x: of.map((point) => point.x), y: of.map((point) => point.y), hovertext: of.map((point) => point.told)});
  const pairs = groups.flatMap((row, k) => row.pairs.filter((pair) => pair.kl > 0).map((pair, i) => ({
    x: pair.kl, y: k + (row.n === 1 ? 0 : 0.4 * ((i * 0.618) % 1) - 0.2),
    told: lines(short(row.group, most), short(pair.point, most), short(pair.other, most),
      `KL ${withError(pair.kl, pair.se)} bits/byte`),
  })));
  const measured = groups.map((row, k) => ({row, x: row.median, y: k, told: told(row, most)})).filter(({x}) => x > 0);
  const bars = measured.filter(({row}) => row.low > 0).flatMap(({row, y}) => [{x: row.low, y}, {x: row.high, y}, {x: null, y: null}]);
  const paper = groups.map((row, k) => ({x: row.paper_median, y: k,
    told: lines(short(row.group, most), `in the paper: ${number(row.paper_median)} bits/byte`)})).filter(({x}) => x !== null);
  const single = measured.map(({row}) => row.n === 1 ? row.largest_se || 0 : 0);
  return [
    {type: "scatter", mode: "lines", name: "middle half", ...at(bars), hoverinfo: "skip", line: {color: BLUE, width: 13}, opacity: 0.3},
    {type: "scatter", mode: "markers", name: "a pair", ...at(pairs), hoverinfo: "text", marker: {size: 5, color: BLUE, opacity: 0.4}},
    {type: "scatter", mode: "markers", name: "median", ...at(measured), hoverinfo: "text",
      marker: {size: small ? 8 : 11, color: BLUE, line: {width: 1, color: Look.now().paper}},
      // An error as large as the value would reach to 0, which has no place on the axis.
      error_x: {type: "data", symmetric: false, array: single, arrayminus: single.map((se, i) => Math.min(se, 0.9 * measured[i].x)),
        color: BLUE, thickness: 2, width: 5}},
    {type: "scatter", mode: "markers", name: "the paper's median", ...at(paper), hoverinfo: "text",
      marker: {size: 11, color: ORANGE, symbol: "diamond-open", line: {width: 2, color: ORANGE}}},
  ];
}

function told(row, most) {
  const first = short(row.group, most);
  if (row.n === 1) return lines(first, `KL ${median(row)} bits/byte`, "one pair");
  return lines(first, `median ${median(row)} bits/byte of ${row.n} pairs`, `middle half ${half(row)}`,
    `largest standard error of a pair ${number(row.largest_se)}`);
}
