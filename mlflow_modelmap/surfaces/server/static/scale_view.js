// The scale: medians of KL by setting, beside those of the paper.
import {chart, escape, short} from "./charts.js";
import {el, table} from "./elements.js";

const number = (value) => value === null ? "" : value === 0 ? "0" : value < 1e-3 || value >= 1e5 ? value.toExponential(2) : Number(value.toPrecision(3)).toString();

export async function showScale(here, {data}) {
  const groups = data.groups;
  const names = groups.map((row) => escape(short(row.group, MapView.narrow() ? 16 : 40)));
  const measured = groups.filter((row) => row.median > 0);
  const places = (rows) => rows.map((row) => names[groups.indexOf(row)]);
  const paper = groups.filter((row) => row.paper_median !== null);
  await chart(here, {
    id: "scale", label: "Median KL divergence by setting, beside the paper's; the table below holds the same.",
    height: 120 + 34 * groups.length,
    traces: [
      {type: "scatter", mode: "markers", name: "here", x: measured.map((row) => row.median), y: places(measured),
        marker: {size: 11, color: "#0072b2"}, hoverinfo: "text",
        hovertext: measured.map((row) => `<b>${escape(row.group)}</b><br>median ${number(row.median)} bits/byte of ${row.n} pairs`)},
      {type: "scatter", mode: "markers", name: "in the paper", x: paper.map((row) => row.paper_median), y: places(paper),
        marker: {size: 11, color: "#d55e00", symbol: "diamond-open", line: {width: 2, color: "#d55e00"}}, hoverinfo: "text",
        hovertext: paper.map((row) => `<b>${escape(row.group)}</b><br>in the paper: ${number(row.paper_median)} bits/byte`)},
    ],
    xaxis: {title: {text: "KL divergence (bits/byte)"}, type: "log", exponentformat: "power"},
    yaxis: {type: "category", categoryorder: "array", categoryarray: [...names].reverse()},
  });
  here.append(el("h2", {}, "All groups"), table("KL divergence by setting, bits per byte", [
    {title: "Setting", of: (row) => row.group},
    {title: "Median", number: true, of: (row) => number(row.median)},
    {title: "In the paper", number: true, of: (row) => number(row.paper_median)},
    {title: "Mean", number: true, of: (row) => number(row.mean)},
    {title: "SD", number: true, of: (row) => number(row.sd)},
    {title: "Pairs", number: true, of: (row) => String(row.n)},
    {title: "What it is in the paper", name: true, of: (row) => row.meaning || ""},
  ], groups));
}
