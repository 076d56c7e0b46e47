"use strict";
(function () {
  const data = JSON.parse(document.getElementById("data").textContent);
  const byId = (id) => document.getElementById(id);
  const plot = byId("plot");
  const count = data.names.length;
  const rows = Array.from({length: count}, (_, k) => k);
  const GREY = "#9a9a9a", DIM = "#e2e2e2", INK = "#222222", GRID = "#e9e9e9";
  const NARROW = 600;
  let drawnIn = null;

  // Plotly reads a subset of HTML in every text it draws, so names are never handed over raw.
  const escape = (text) => String(text).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
  const short = (text, most) => {
    const letters = Array.from(String(text));
    if (letters.length <= most) return letters.join("");
    const head = Math.ceil((most - 1) / 2);
    return letters.slice(0, head).join("") + "…" + letters.slice(letters.length - (most - 1 - head)).join("");
  };
  const narrow = () => window.innerWidth < NARROW;
  const choice = (name) => document.querySelector(`input[name=${name}]:checked`).value;

  const hasWebGL = (function () {
    try {
      const canvas = document.createElement("canvas");
      return Boolean(canvas.getContext("webgl") || canvas.getContext("experimental-webgl"));
    } catch (error) {
      return false;
    }
  })();

  function withError(kl, se) {
    if (kl === 0) return "0";
    if (kl < 1e-4 || kl >= 1e5) return `${kl.toExponential(2)} ± ${se.toExponential(1)}`;
    const digits = se > 0 ? Math.ceil(-Math.log10(se)) + 1 : 6;
    const places = Math.min(10, Math.max(1, digits));
    return `${kl.toFixed(places)} ± ${se.toFixed(places)}`;
  }

  function facts(row) {
    const where = [];
    if (data.trajectory[row] !== null) where.push(data.trajectory[row]);
    if (data.step[row] !== null) where.push(`step ${data.step[row].toLocaleString("en")}`);
    if (data.layer[row] !== null) where.push(`layer ${data.layer[row]}`);
    const kind = [data.model_type[row], data.precision[row]].filter((value) => value !== null);
    return {where: where.join(", "), kind: kind.join(", "), bits: `${data.bits_per_byte[row].toFixed(4)} bits per byte`};
  }

  const nearest = (row) => data.nearest[row].map(([other, kl, se]) => [data.names[other], withError(kl, se)]);

  function hoverText(row) {
    const most = narrow() ? 34 : 70;
    const of = facts(row);
    const lines = [`<b>${escape(short(data.names[row], most))}</b>`];
    for (const line of [of.where, of.kind, of.bits]) if (line) lines.push(escape(short(line, most)));
    lines.push("<i>nearest, KL ± standard error in bits/byte</i>");
    for (const [name, value] of nearest(row)) lines.push(`${escape(value)}  ${escape(short(name, most - 16))}`);
    return lines.join("<br>");
  }

  function tell(row) {
    const of = facts(row);
    const near = nearest(row).map(([name, value]) => `${name} (${value})`).join("; ");
    const known = [data.names[row], of.where, of.kind, of.bits, `run ${data.run_id[row]}`].filter(Boolean);
    byId("details").textContent = `${known.join(" · ")} · nearest, KL in bits/byte: ${near}`;
  }

  function fade(colour, share) {
    const keep = 0.22 + 0.78 * share;
    const parts = [1, 3, 5].map((k) => parseInt(colour.slice(k, k + 2), 16));
    return "#" + parts.map((v) => Math.round(255 - (255 - v) * keep).toString(16).padStart(2, "0")).join("");
  }

  function matching() {
    const wanted = byId("find").value.trim().toLowerCase();
    if (!wanted) {
      byId("found").textContent = "";
      return null;
    }
    const found = rows.map((row) => data.names[row].toLowerCase().includes(wanted));
    byId("found").textContent = `${found.filter(Boolean).length} of ${count}`;
    return found;
  }

  function grouped(colouring) {
    const groups = new Map(colouring.groups.map((name) => [name, []]));
    const rest = [];
    rows.forEach((row) => {
      const label = data[colouring.column][row];
      if (label !== null && groups.has(label)) groups.get(label).push(row);
      else rest.push(row);
    });
    const result = colouring.groups.map((name, k) => ({
      name, colour: colouring.colours[k], symbol: colouring.symbols[k], rows: groups.get(name),
    }));
    if (rest.length) result.push({name: colouring.groups.length ? "(none)" : "points", colour: colouring.groups.length ? GREY : "#0072b2", symbol: "circle", rows: rest});
    return result;
  }

  function traces() {
    const dimensions = Number(choice("dimensions")), embedding = choice("embedding");
    const at = data.coordinates[embedding + dimensions];
    const colouring = data.colourings[Number(byId("colour").value)];
    const found = matching();
    const deep = dimensions === 3;
    const type = deep ? "scatter3d" : hasWebGL ? "scattergl" : "scatter";
    const base = Math.max(5, Math.min(11, 150 / Math.sqrt(count))) * (deep ? 0.8 : 1);
    const place = (of) => {
      const axes = {x: of.map((r) => r === null ? null : at[0][r]), y: of.map((r) => r === null ? null : at[1][r])};
      if (deep) axes.z = of.map((r) => r === null ? null : at[2][r]);
      return axes;
    };
    const rim = deep || count > 500 ? 0 : 0.6;
    const last = new Set(data.paths.map((path) => path.rows[path.rows.length - 1]));
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
    if (byId("lines").checked && data.paths.length) {
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
        name: escape(short(group.name, 30)), legendgroup: group.name, showlegend: groups.length > 1,
        marker: {
          color: group.rows.map((r) => found && !found[r] ? DIM : fade(group.colour, found ? 1 : data.shade[r])),
          size: group.rows.map(size), opacity: 1, symbol: deep ? "circle" : group.symbol,
          line: {width: rim, color: group.rows.map((r) => last.has(r) ? INK : "#ffffff")},
        },
      })));
      // A legend shows a trace's first colour, which would be that of its palest point.
      list.filter((trace) => trace.mode === "markers").forEach((trace, k) => {
        trace.showlegend = false;
        if (groups.length > 1) {
          const key = {x: [null], y: [null], type, mode: "markers", name: trace.name, legendgroup: trace.legendgroup,
            hoverinfo: "skip", marker: {color: groups[k].colour, symbol: trace.marker.symbol, size: 8}};
          if (deep) key.z = [null];
          list.push(key);
        }
      });
    } else {
      const values = rows.map((row) => data[colouring.column][row]);
      const order = found ? rows.slice().sort((a, b) => found[a] - found[b]) : rows;
      list.push(points(order, {
        name: "", showlegend: false,
        marker: {
          color: order.map((r) => values[r]), colorscale: "Viridis", size: order.map(size),
          opacity: found ? 0.8 : 1, cmin: Math.min(...values), cmax: Math.max(...values),
          colorbar: {title: {text: colouring.title, side: narrow() ? "top" : "right"}, thickness: 12, outlinewidth: 0,
            orientation: narrow() ? "h" : "v", len: 0.8},
          line: {width: rim, color: "#ffffff"},
        },
      }));
      if (found) {
        const dimmed = order.filter((r) => !found[r]);
        list[list.length - 1] = points(order.filter((r) => found[r]), {
          name: "", showlegend: false, marker: Object.assign(list[list.length - 1].marker, {
            color: order.filter((r) => found[r]).map((r) => values[r]), size: order.filter((r) => found[r]).map(size),
          }),
        });
        list.splice(list.length - 1, 0, points(dimmed, {name: "", showlegend: false, marker: {color: DIM, size: base}}));
      }
    }
    return list;
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

  function layout() {
    const dimensions = Number(choice("dimensions")), embedding = choice("embedding");
    const small = narrow();
    const result = {
      font: {family: "system-ui, -apple-system, Segoe UI, Roboto, DejaVu Sans, sans-serif", size: small ? 11 : 12, color: INK},
      paper_bgcolor: "#ffffff", plot_bgcolor: "#ffffff", hovermode: "closest", dragmode: dimensions === 3 ? "orbit" : "pan",
      margin: small ? {l: 44, r: 8, t: 34, b: 44} : {l: 56, r: 16, t: 34, b: 48},
      hoverlabel: {align: "left", bgcolor: "#ffffff", bordercolor: "#777777", font: {color: INK, size: small ? 11 : 12}, namelength: 0},
      legend: Object.assign({itemsizing: "constant", groupclick: "togglegroup", tracegroupgap: 0},
        small ? {orientation: "h", y: -0.16, yanchor: "top"} : {}),
      uirevision: embedding + dimensions,
    };
    const colouring = data.colourings[Number(byId("colour").value)];
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

  function draw() {
    const dimensions = choice("dimensions");
    if (drawnIn !== null && drawnIn !== dimensions) Plotly.purge(plot);
    const fresh = drawnIn !== dimensions;
    drawnIn = dimensions;
    return Plotly.react(plot, traces(), layout(), config(dimensions === "3")).then(() => {
      if (fresh) plot.on("plotly_click", (event) => tell(event.points[0].customdata));
      plot.dataset.drawn = `${choice("embedding")}${dimensions}`;
    });
  }

  byId("title").textContent = data.title;
  byId("subtitle").textContent = data.subtitle;
  data.notices.forEach((text) => {
    const item = document.createElement("li");
    item.textContent = text;
    byId("notices").appendChild(item);
  });
  data.colourings.forEach((colouring, k) => {
    const option = document.createElement("option");
    option.value = String(k);
    option.textContent = colouring.title;
    byId("colour").appendChild(option);
  });
  byId("colour").value = String(data.colouring);
  byId("lines-field").hidden = data.paths.length === 0;
  if (!data.tsne) {
    byId("tsne").disabled = true;
    byId("pca").checked = true;
  }
  if (!hasWebGL) {
    byId("three").disabled = true;
    document.querySelector("label[for=three]").title = "This browser has no WebGL, which 3D needs.";
  }
  let waiting = null;
  byId("controls").addEventListener("submit", (event) => event.preventDefault());
  byId("controls").addEventListener("change", draw);
  byId("find").addEventListener("input", () => {
    clearTimeout(waiting);
    waiting = setTimeout(draw, 120);
  });
  let wasNarrow = narrow();
  window.addEventListener("resize", () => {
    if (narrow() !== wasNarrow) {
      wasNarrow = narrow();
      draw();
    }
  });
  draw();
})();
