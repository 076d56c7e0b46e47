// A gate: what was decided, why, and each interval against its limit.
import {chart, lines, number, short, withError} from "./charts.js";
import {el, mlflowRun, verdict} from "./elements.js";
import {interval as intervalColumn, measured as measuredColumn, table} from "./table.js";

const ALLOWED = "#117733";
const COLOURS = {pass: "#117733", fail: "#b2182b", undecided: "#8c6d31"};
const TITLES = {kl: "KL divergence", bits_per_byte_increase: "Increase of bits per byte"};
const title = (limit) => TITLES[limit.quantity] || limit.quantity;
const end = (value, side) => value === null ? `no ${side} bound` : number(value);
const none = (limit) => limit.low === null && limit.high === null;
const interval = (limit) => none(limit) ? "none, too few texts" : `${end(limit.low, "lower")} to ${end(limit.high, "upper")}`;
const measured = (limit) => withError(limit.value, limit.se);

export async function showGate(here, {data}) {
  const share = `${Number((100 * data.confidence).toPrecision(4))} %`;
  here.append(
    el("h2", {}, "Verdict ", verdict(data.verdict)),
    el("p", {class: "paragraph", id: "paragraph"}, data.paragraph),
    el("h2", {}, "Intervals and limits"));
  for (const limit of data.limits) await draw(here, limit, share);
  here.append(
    el("p", {class: "under"}, `What is allowed is shaded. The whole ${share} interval decides: within the limit it passes, beyond it it fails, on both sides it is undecided.`),
    table("Limits, bits per byte", [
      {title: "Quantity", of: title},
      measuredColumn("Measured ± standard error", (limit) => limit.value, (limit) => limit.se, withError),
      intervalColumn(`${share} interval`, interval),
      {title: "Limit", number: true, of: (limit) => number(limit.limit)},
      {title: "Verdict", of: (limit) => verdict(limit.verdict), values: {Verdict: (limit) => limit.verdict}},
      {title: "Texts needed", number: true, of: (limit) => limit.texts_needed === null ? "" : `about ${Math.round(limit.texts_needed).toLocaleString("en")}`},
    ], data.limits),
    el("h2", {}, "The two models"),
    table("Candidate and reference", [
      {title: "Role", of: (of) => of.role},
      {title: "Score", name: true, of: (of) => of.name},
      {title: "Model", name: true, of: (of) => [of.model, of.revision].filter(Boolean).join("@")},
      {title: "Step", number: true, of: (of) => of.step === null ? "" : of.step.toLocaleString("en")},
      {title: "Precision", of: (of) => of.precision || ""},
      {title: "Bits per byte", number: true, of: (of) => number(of.bits_per_byte)},
      {title: "Run", values: {Run: (of) => of.run_id}, of: (of) => of.experiment ? el("a", {href: mlflowRun(of.experiment, of.run_id)}, `the ${of.role}'s run in MLflow`)
        : "deleted, or you may not read it"},
    ], data.models));
}

async function draw(here, limit, share) {
  here.append(el("h3", {}, `${title(limit)}: `, verdict(limit.verdict)));
  const ends = [limit.low, limit.value, limit.high, limit.limit].filter((value) => value !== null);
  const log = limit.quantity === "kl" && Math.min(...ends) > 0 && limit.high !== null;
  const [left, right] = reach(ends, log);
  // An interval without an end goes to the edge.
  const low = limit.low === null ? left : limit.low, high = limit.high === null ? right : limit.high;
  const told = lines(short(title(limit), 60), `${measured(limit)} bits/byte`, `${share} interval ${interval(limit)}`, `limit ${number(limit.limit)}`);
  const scale = (value) => log ? Math.log10(value) : value;
  const colour = () => Look.seen(COLOURS[limit.verdict]);
  await chart(here, {
    id: `limit-${limit.quantity}`, height: 150, label: `${title(limit)}: ${share} interval ${interval(limit)}, limit ${number(limit.limit)}; the table below holds the same.`,
    make: () => ({
      traces: [
        {type: "scatter", mode: "lines", x: none(limit) ? [] : [low, high], y: none(limit) ? [] : [0, 0], hoverinfo: "skip", showlegend: false, line: {color: colour(), width: 4}},
        {type: "scatter", mode: "markers", x: [limit.value], y: [0], hoverinfo: "text", hovertext: [told], showlegend: false, marker: {size: 12, color: colour()}},
      ],
      xaxis: {title: {text: MapDrawing.narrow() || limit.quantity === "kl" ? "bits/byte" : "bits/byte, candidate less reference"}, type: log ? "log" : "linear",
        range: [scale(left), scale(right)], nticks: 8},
      yaxis: {visible: false, range: [-1, 1], fixedrange: true},
      layout: {
        margin: {l: 16, r: 16, t: 30, b: 44},
        shapes: [
          {type: "rect", xref: "x", yref: "paper", x0: left, x1: Math.min(limit.limit, right), y0: 0, y1: 1, fillcolor: Look.seen(ALLOWED), opacity: 0.12, line: {width: 0}, layer: "below"},
          {type: "line", xref: "x", yref: "paper", x0: limit.limit, x1: limit.limit, y0: 0, y1: 1, line: {color: Look.now().ink, width: 1.5}},
        ],
        annotations: [{xref: "x", yref: "paper", x: scale(limit.limit), y: 1, yanchor: "bottom", text: `limit ${number(limit.limit)}`, showarrow: false}],
      },
    }),
  });
}

function reach(ends, log) {
  if (log) return [Math.min(...ends) / 2.5, Math.max(...ends) * 2.5];
  const all = [...ends, 0], room = 0.15 * (Math.max(...all) - Math.min(...all)) || 0.1;
  return [Math.min(...all) - room, Math.max(...all) + room];
}
