// Charts of KL along training, of the scale and of studies, in one look with the map.
import {loadPlotly} from "./api.js";
import {el} from "./elements.js";

export const {name, lines, short} = HoverText;
export const {withError} = ValueAndError;

// A number without an error, to three significant digits.
export function number(value) {
  if (value === null) return "";
  if (value === 0) return "0";
  const size = Math.abs(value);
  return size < 1e-3 || size >= 1e5 ? value.toExponential(2) : Number(value.toPrecision(3)).toString();
}

// A legend that is under no button of the drawing's bar, and over none of its axes.
export const below = {orientation: "h", yref: "container", y: 0, yanchor: "bottom"};

// Draw traces below a heading; the table beside each chart says the same to those who do not see it.
// A figure and no image: the buttons of its bar are within. make() -> {traces, xaxis, yaxis, layout} is
// asked again whenever the system's colours change; zeroAt: where 0 stands on a logarithmic x-axis.
export async function chart(here, {id, label, make, height = null, zeroAt = null}) {
  const plot = el("div", {class: "chart", id, role: "figure", "aria-label": label});
  if (height) plot.style.height = `${height}px`;
  here.append(plot);
  const plotly = await loadPlotly();
  const small = MapDrawing.narrow();

  function draw() {
    const {traces, xaxis = {}, yaxis = {}, layout = {}} = make();
    const axis = {gridcolor: Look.now().grid, zeroline: false, automargin: true};
    return plotly.react(plot, traces, {
      ...Look.layout(small), dragmode: "pan", margin: {l: small ? 48 : 64, r: 12, t: 26, b: 44},
      legend: small ? below : {},
      xaxis: {...axis, ...xaxis}, yaxis: {...axis, ...yaxis}, uirevision: id, ...layout,
    }, {responsive: true, displaylogo: false, scrollZoom: false,
      modeBarButtons: [[...Look.saving(() => `${document.title} ${id}`), "zoom2d", "pan2d", "resetScale2d"]]}).then(() => {
      plot.dataset.drawn = "yes";
      return tick();
    });
  }

  // What stands beside logarithmic axes follows what is seen of them.
  function tick() {
    const change = {};
    for (const side of ["xaxis", "yaxis"]) {
      const axis = plot._fullLayout[side];
      if (axis.type !== "log") continue;
      const [low, high] = axis.range.map((value) => 10 ** value);
      const ticks = LogTicks.between(low, high, Math.max(4, Math.round(axis._length / (side === "xaxis" ? 60 : 30))));
      if (side === "xaxis" && zeroAt) putZero(ticks);
      if (String(ticks.tickvals) === String(axis.tickvals)) continue;
      Object.assign(change, {[`${side}.tickmode`]: "array", [`${side}.tickvals`]: ticks.tickvals, [`${side}.ticktext`]: ticks.ticktext});
    }
    return Object.keys(change).length ? plotly.relayout(plot, change) : null;
  }

  function putZero({tickvals, ticktext}) {
    while (tickvals.length && tickvals[0] < 2 * zeroAt) {
      tickvals.shift();
      ticktext.shift();
    }
    tickvals.unshift(zeroAt);
    ticktext.unshift("0");
  }

  await draw();
  plot.on("plotly_relayout", tick);
  Look.follow(() => plot.isConnected ? draw() : false);
  return {plot, draw};
}
