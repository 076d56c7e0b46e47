// Charts of KL along training and of the scale, in one look with the map.
import {loadPlotly} from "./api.js";
import {el} from "./elements.js";

const INK = "#222222", GRID = "#e9e9e9";
export const {name, lines, short} = HoverText;
export const {withError} = ValueAndError;

// A number without an error, to three significant digits.
export function number(value) {
  if (value === null) return "";
  if (value === 0) return "0";
  const size = Math.abs(value);
  return size < 1e-3 || size >= 1e5 ? value.toExponential(2) : Number(value.toPrecision(3)).toString();
}

// Draw traces below a heading; the table beside each chart says the same to those who do not see it.
// A figure and no image: the buttons of its bar are within.
export async function chart(here, {id, label, traces, xaxis = {}, yaxis = {}, layout = {}, height = null}) {
  const plot = el("div", {class: "chart", id, role: "figure", "aria-label": label});
  if (height) plot.style.height = `${height}px`;
  here.append(plot);
  const plotly = await loadPlotly();
  const small = MapDrawing.narrow();
  const axis = {gridcolor: GRID, zeroline: false, automargin: true};
  await plotly.newPlot(plot, traces, {
    font: {family: "system-ui, -apple-system, Segoe UI, Roboto, DejaVu Sans, sans-serif", size: small ? 11 : 12, color: INK},
    paper_bgcolor: "#ffffff", plot_bgcolor: "#ffffff", hovermode: "closest", dragmode: "pan",
    margin: {l: small ? 48 : 64, r: 12, t: 26, b: 44},
    hoverlabel: {align: "left", bgcolor: "#ffffff", bordercolor: "#777777", font: {color: INK}, namelength: 0},
    legend: small ? {orientation: "h", y: -0.2, yanchor: "top"} : {},
    xaxis: {...axis, ...xaxis}, yaxis: {...axis, ...yaxis}, ...layout,
  }, {responsive: true, displaylogo: false, scrollZoom: false, modeBarButtons: [["toImage", "zoom2d", "pan2d", "resetScale2d"]]});
  plot.dataset.drawn = "yes";
  return plot;
}
