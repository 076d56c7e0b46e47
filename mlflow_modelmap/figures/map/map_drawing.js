"use strict";
// The drawing of a model map: points, trajectories and colours in 2D or 3D, in one plot element.
const MapDrawing = (function () {
  const GREY = "#9a9a9a", DIM = "#e2e2e2", INK = "#222222", GRID = "#e9e9e9";
  const NARROW = 600;
  const CHOSEN = ["A", "B"];
  const narrow = () => window.innerWidth < NARROW;
  const {name: nameOf} = HoverText;

  const hasWebGL = (function () {
    try {
      const canvas = document.createElement("canvas");
      return Boolean(canvas.getContext("webgl") || canvas.getContext("experimental-webgl"));
    } catch (error) {
      return false;
    }
  })();

  // Of many points there is no t-SNE in three dimensions.
  const can3d = (data, embedding) => hasWebGL && Boolean(data.coordinates[embedding + 3]);

  // Why 3D cannot be chosen, for a tooltip; nothing where it can.
  const no3d = (data, embedding) => can3d(data, embedding) ? ""
    : hasWebGL ? "This map has no t-SNE in three dimensions; it was made of many points." : "This browser has no WebGL, which 3D needs.";

  function fade(colour, share) {
    const keep = 0.22 + 0.78 * share;
    const parts = [1, 3, 5].map((k) => parseInt(colour.slice(k, k + 2), 16));
    return "#" + parts.map((v) => Math.round(255 - (255 - v) * keep).toString(16).padStart(2, "0")).join("");
  }

  // Without `new Function`, which a strict content policy forbids, Plotly draws 2D points as SVG.
  function create(plot, data, {svg = false} = {}) {
    const rows = Array.from(data.names, (_, k) => k);
    const count = rows.length;
    const last = new Set(data.paths.map((path) => path.rows[path.rows.length - 1]));
    const hovers = new Map();
    let drawnIn = null, picked = () => {}, chosen = [], shown = null;

    function hoverText(row) {
      const key = narrow() ? ~row : row;
      if (!hovers.has(key)) hovers.set(key, HoverText.hover(data, row, narrow()));
      return hovers.get(key);
    }

    const valuesOf = (colouring) => colouring.values || data[colouring.column];

    function grouped(colouring) {
      const groups = new Map(colouring.groups.map((name) => [name, []]));
      const rest = [];
      const labels = valuesOf(colouring);
      rows.forEach((row) => {
        if (labels[row] !== null && groups.has(labels[row])) groups.get(labels[row]).push(row);
        else rest.push(row);
      });
      const result = colouring.groups.map((name, k) => ({
        name, colour: colouring.colours[k], symbol: colouring.symbols[k], rows: groups.get(name),
      }));
      if (rest.length) {
        const only = !colouring.groups.length;
        result.push({name: only ? "points" : "(none)", colour: only ? "#0072b2" : GREY, symbol: "circle", rows: rest});
      }
      return result;
    }

    function traces({embedding, dimensions, colouring, lines, found}) {
      const at = data.coordinates[embedding + dimensions];
      const deep = dimensions === 3;
      const type = deep ? "scatter3d" : hasWebGL && !svg ? "scattergl" : "scatter";
      const base = Math.max(5, Math.min(11, 150 / Math.sqrt(count))) * (deep ? 0.8 : 1);
      const place = (of) => {
        const axes = {x: of.map((r) => r === null ? null : at[0][r]), y: of.map((r) => r === null ? null : at[1][r])};
        if (deep) axes.z = of.map((r) => r === null ? null : at[2][r]);
        return axes;
      };
      const rim = deep || count > 500 ? 0 : 0.6;
      const size = (row) => base * (last.has(row) ? 1.6 : 1) * (found && found[row] ? 1.5 : 1);
      const points = (of, extra) => Object.assign(place(of), {
        type, mode: "markers", customdata: of, hoverinfo: "text", hovertext: of.map(hoverText),
      }, extra);
      const list = [];
      const lineColour = new Map();
      let groups = [];
      if (colouring.kind === "groups") {
        groups = grouped(colouring);
        groups.forEach((group) => group.rows.forEach((row) => lineColour.set(row, group)));
      }
      if (lines && data.paths.length) {
        const joined = new Map();
        data.paths.forEach((path) => {
          const group = lineColour.get(path.rows[path.rows.length - 1]) || {name: "", colour: GREY};
          if (!joined.has(group)) joined.set(group, []);
          joined.get(group).push(...path.rows, null);
        });
        joined.forEach((of, group) => list.push(Object.assign(place(of), {
          type, mode: "lines", hoverinfo: "skip", showlegend: false, legendgroup: group.name, connectgaps: false,
          opacity: found ? 0.15 : 0.5, line: {color: group.colour, width: deep ? 3 : 1.6}, name: "",
        })));
      }
      if (colouring.kind === "groups") {
        groups.forEach((group) => list.push(points(group.rows, {
          name: nameOf(group.name, 30), legendgroup: group.name, showlegend: false,
          marker: {
            color: group.rows.map((r) => found && !found[r] ? DIM : fade(group.colour, found ? 1 : data.shade[r])),
            size: group.rows.map(size), opacity: 1, symbol: deep ? "circle" : group.symbol,
            line: {width: rim, color: group.rows.map((r) => last.has(r) ? INK : "#ffffff")},
          },
        })));
        // A legend shows a trace's first colour, which would be that of its palest point.
        if (groups.length > 1) {
          groups.forEach((group) => {
            const key = {x: [null], y: [null], type, mode: "markers", name: nameOf(group.name, 30),
              legendgroup: group.name, hoverinfo: "skip",
              marker: {color: group.colour, symbol: deep ? "circle" : group.symbol, size: 8}};
            if (deep) key.z = [null];
            list.push(key);
          });
        }
      } else {
        const values = valuesOf(colouring);
        const known = rows.filter((row) => values[row] !== null);
        const off = (row) => values[row] === null || (found && !found[row]);
        const range = known.map((row) => values[row]);
        list.push(points(rows.filter(off), {
          name: "", showlegend: false, marker: {color: found ? DIM : GREY, size: base},
        }));
        const on = rows.filter((row) => !off(row));
        list.push(points(on, {
          name: "", showlegend: false,
          marker: {
            color: on.map((r) => values[r]), colorscale: "Viridis", size: on.map(size), opacity: found ? 0.8 : 1,
            cmin: Math.min(...range), cmax: Math.max(...range),
            colorbar: {title: {text: nameOf(colouring.title, 40), side: narrow() ? "top" : "right"}, thickness: 12,
              outlinewidth: 0, orientation: narrow() ? "h" : "v", len: 0.8},
            line: {width: rim, color: "#ffffff"},
          },
        }));
      }
      list.push(Object.assign({type}, chosenTrace(at, deep, base)));
      return list;
    }

    function chosenTrace(at, deep, base) {
      const of = chosen.map((row, k) => [row, CHOSEN[k]]).filter(([row]) => row !== null && row !== undefined);
      const trace = {
        x: of.map(([r]) => at[0][r]), y: of.map(([r]) => at[1][r]), text: of.map(([, letter]) => HoverText.lines(letter)),
        mode: "markers+text", textposition: "top center", textfont: {size: 15, color: INK}, hoverinfo: "skip",
        showlegend: false, name: "",
        marker: {symbol: "circle-open", size: 1.6 * base + 7, color: INK, line: {width: 2.5, color: INK}},
      };
      if (deep) trace.z = of.map(([r]) => at[2][r]);
      return trace;
    }

    function axis(embedding, k) {
      if (embedding === "tsne") {
        return {title: {text: `t-SNE ${k + 1}`}, showticklabels: false, ticks: "", zeroline: false, gridcolor: GRID};
      }
      const share = data.explained.length > k ? `, ${(100 * data.explained[k]).toFixed(0)} %` : "";
      return {title: {text: `PC ${k + 1}${share} (√(bits/byte))`}, zeroline: false, gridcolor: GRID};
    }

    // Equal units on all axes, but none so thin that nothing could be told apart on it.
    function proportions(at) {
      const extent = at.map((values) => Math.max(...values) - Math.min(...values));
      const longest = Math.max(...extent) || 1;
      const [x, y, z] = extent.map((value) => 1.25 * Math.max(value / longest, 0.35));
      return {x, y, z};
    }

    function layout({embedding, dimensions, colouring}) {
      const small = narrow();
      const result = {
        font: {family: "system-ui, -apple-system, Segoe UI, Roboto, DejaVu Sans, sans-serif", size: small ? 11 : 12, color: INK},
        paper_bgcolor: "#ffffff", plot_bgcolor: "#ffffff", hovermode: "closest", dragmode: dimensions === 3 ? "orbit" : "pan",
        margin: small ? {l: 44, r: 8, t: 34, b: 44} : {l: 56, r: 16, t: 34, b: 48},
        hoverlabel: {align: "left", bgcolor: "#ffffff", bordercolor: "#777777", font: {color: INK, size: small ? 11 : 12}, namelength: 0},
        legend: Object.assign({itemsizing: "constant", groupclick: "togglegroup", tracegroupgap: 0},
          small ? {orientation: "h", y: -0.2, yanchor: "top"} : {}),
        uirevision: embedding + dimensions,
      };
      if (small && colouring.kind === "groups" && colouring.groups.length > 8) result.showlegend = false;
      if (dimensions === 3) {
        result.margin = {l: 0, r: 0, t: 34, b: 0};
        result.scene = {xaxis: axis(embedding, 0), yaxis: axis(embedding, 1), zaxis: axis(embedding, 2),
          aspectmode: "manual", aspectratio: proportions(data.coordinates[embedding + 3])};
        for (const name of ["xaxis", "yaxis", "zaxis"]) result.scene[name].title.text = result.scene[name].title.text.replace(" (√(bits/byte))", "");
      } else {
        result.xaxis = axis(embedding, 0);
        result.yaxis = axis(embedding, 1);
        if (embedding === "pca") Object.assign(result.yaxis, {scaleanchor: "x", scaleratio: 1});
      }
      return result;
    }

    // Where the page is shown in a sandboxed frame nothing can be saved.
    const save = window.self === window.top ? ["toImage"] : [];
    const config = (deep) => ({
      responsive: true, displaylogo: false, scrollZoom: true,
      modeBarButtons: deep
        ? [[...save, "zoom3d", "pan3d", "orbitRotation", "resetCameraDefault3d"]]
        : [[...save, "zoom2d", "pan2d", "zoomIn2d", "zoomOut2d", "resetScale2d"]],
    });

    // choices: {embedding, dimensions, colouring, lines, found}; found is null or a flag a point.
    function draw(choices) {
      const {embedding, dimensions} = choices;
      // Plotly keeps the room of a colour bar that has turned, so a new form begins from nothing.
      const form = `${dimensions} ${narrow()}`;
      if (drawnIn !== null && drawnIn !== form) Plotly.purge(plot);
      const fresh = drawnIn !== form;
      drawnIn = form;
      shown = choices;
      return Plotly.react(plot, traces(choices), layout(choices), config(dimensions === 3)).then(() => {
        if (fresh) plot.on("plotly_click", (event) => picked(event.points[0].customdata));
        plot.dataset.drawn = `${embedding}${dimensions}`;
      });
    }

    // Mark up to two rows as A and B (null for none), without drawing the others again.
    function choose(pair) {
      chosen = pair;
      if (shown === null) return;
      const deep = shown.dimensions === 3;
      const {x, y, z, text} = chosenTrace(data.coordinates[shown.embedding + shown.dimensions], deep, 1);
      const change = {x: [x], y: [y], text: [text]};
      if (deep) change.z = [z];
      Plotly.restyle(plot, change, [plot.data.length - 1]);
    }

    return {draw, choose, onPick(tell) { picked = tell; }};
  }

  return {create, narrow, can3d, no3d};
})();
