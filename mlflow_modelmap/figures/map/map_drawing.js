"use strict";
// The drawing of a model map: points, trajectories and colours in 2D or 3D, in one plot element.
const MapDrawing = (function () {
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

  // Without `new Function`, which a strict content policy forbids, Plotly draws 2D points as SVG; of many
  // points it then knows where they are, and a canvas shows them.
  // beside: whether something else than the label tells of the point under the mouse.
  function create(plot, data, {svg = false, beside = false, name = () => "map"} = {}) {
    const rows = Array.from(data.names, (_, k) => k);
    const count = rows.length;
    const size = Math.max(5, Math.min(11, 150 / Math.sqrt(count)));
    const lasso = beside ? ["lasso2d", "select2d"] : [];
    const last = new Set(data.paths.map((path) => path.rows[path.rows.length - 1]));
    const hovers = new Map();
    const heard = {pick() {}, several() {}, rest() {}, hide() {}};
    const canvas = count > MapPoints.MANY && (svg || !hasWebGL) ? MapPoints.create(plot) : null;
    let drawnIn = null, chosen = [null, null], many = [], named = [], shown = null, look = null;

    function hoverText(row) {
      const key = narrow() ? ~row : row;
      if (!hovers.has(key)) {
        hovers.set(key, beside && !narrow() ? HoverText.lines(HoverText.short(data.names[row], 60)) : HoverText.hover(data, row, narrow()));
      }
      return hovers.get(key);
    }

    // One value for all points is drawn quicker than one each.
    const alike = (values) => values.length && values.every((value) => value === values[0]) ? values[0] : values;

    const isShown = (row) => !shown.only || shown.only[row];

    const valuesOf = (colouring) => colouring.values || data[colouring.column];

    function grouped(colouring) {
      const groups = new Map(colouring.groups.map((name) => [name, []]));
      const rest = [];
      const labels = valuesOf(colouring);
      rows.filter(isShown).forEach((row) => {
        if (labels[row] !== null && groups.has(labels[row])) groups.get(labels[row]).push(row);
        else rest.push(row);
      });
      const result = colouring.groups.map((name, k) => ({
        name, colour: Look.seen(colouring.colours[k]), symbol: colouring.symbols[k], rows: groups.get(name),
      })).filter((group) => group.rows.length);
      if (rest.length) {
        const only = !colouring.groups.length;
        result.push({name: only ? "points" : "not given", colour: Look.seen(only ? "#0072b2" : look.grey), symbol: "circle", rows: rest});
      }
      return result;
    }

    function traces({embedding, dimensions, colouring, lines, found, hidden = new Set()}) {
      const at = data.coordinates[embedding + dimensions];
      const deep = dimensions === 3;
      const type = deep ? "scatter3d" : hasWebGL && !svg ? "scattergl" : "scatter";
      const base = size * (deep ? 0.8 : 1);
      const kept = (group) => hidden.has(group.name) ? "legendonly" : true;
      const place = (of) => {
        const axes = {x: of.map((r) => r === null ? null : at[0][r]), y: of.map((r) => r === null ? null : at[1][r])};
        if (deep) axes.z = of.map((r) => r === null ? null : at[2][r]);
        return axes;
      };
      const rim = deep || count > 500 ? 0 : 0.6;
      const sizeOf = (row) => base * (last.has(row) ? 1.6 : 1) * (found && found[row] ? 1.5 : 1);
      const points = (of, extra) => Object.assign(place(of), {
        type, mode: "markers", customdata: of, hoverinfo: "text", hovertext: of.map(hoverText), unselected: {marker: {}},
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
          const group = lineColour.get(path.rows.filter(isShown).pop()) || {name: "", colour: look.grey};
          if (!joined.has(group)) joined.set(group, []);
          joined.get(group).push(...path.rows.filter(isShown), null);
        });
        joined.forEach((of, group) => list.push(Object.assign(place(of), {
          type, mode: "lines", hoverinfo: "skip", showlegend: false, legendgroup: group.name, connectgaps: false, visible: kept(group),
          opacity: found ? 0.15 : 0.5, line: {color: group.colour, width: deep ? 3 : 1.6}, name: "",
        })));
      }
      if (colouring.kind === "groups") {
        groups.forEach((group) => list.push(points(group.rows, {
          name: nameOf(group.name, 30), legendgroup: group.name, showlegend: false, visible: kept(group),
          marker: {
            color: alike(group.rows.map((r) => found && !found[r] ? look.dim : Look.faded(group.colour, found ? 1 : data.shade[r]))),
            size: alike(group.rows.map(sizeOf)), opacity: 1, symbol: deep ? "circle" : group.symbol,
            line: {width: rim, color: alike(group.rows.map((r) => last.has(r) ? look.ink : look.paper))},
          },
        })));
        // A legend shows a trace's first colour, which would be that of its palest point.
        if (groups.length > 1) {
          groups.forEach((group) => {
            const key = {x: [null], y: [null], type, mode: "markers", name: nameOf(group.name, 30),
              legendgroup: group.name, hoverinfo: "skip", visible: kept(group),
              marker: {color: group.colour, symbol: deep ? "circle" : group.symbol, size: 8}};
            if (deep) key.z = [null];
            list.push(key);
          });
        }
      } else {
        const values = valuesOf(colouring);
        const there = rows.filter(isShown);
        const off = (row) => values[row] === null || (found && !found[row]);
        const {at: valued, low, high, ticks} = scaled(colouring, rows.map((row) => values[row]).filter((value) => value !== null));
        list.push(points(there.filter(off), {
          name: "", showlegend: false, marker: {color: found ? look.dim : look.grey, size: base},
        }));
        const on = there.filter((row) => !off(row));
        list.push(points(on, {
          name: "", showlegend: false,
          marker: {
            color: on.map((r) => valued(values[r])), colorscale: "Viridis", size: alike(on.map(sizeOf)), opacity: found ? 0.8 : 1,
            cmin: low, cmax: high,
            colorbar: {...ticks, title: {text: nameOf(colouring.title, 40), side: narrow() ? "top" : "right"}, thickness: 12,
              outlinewidth: 0, orientation: narrow() ? "h" : "v", len: 0.8},
            line: {width: rim, color: look.paper},
          },
        }));
      }
      list.push({type, mode: "text", ...place(named), text: named.map((r) => nameOf(data.names[r], 28)), textposition: "top center",
        textfont: {size: 11, color: look.ink}, hoverinfo: "skip", showlegend: false, name: ""});
      list.push(Object.assign({type}, chosenTrace(at, deep, base)));
      return list;
    }

    // Where a value stands between the colours, and what is written beside them.
    function scaled({log = false}, values) {
      if (!log) {
        const {low, high} = MapAxes.extent(values);
        return {at: (value) => value, low, high, ticks: {}};
      }
      // What is 0, as a point from itself, has the colour of the smallest that is not.
      const {low, high} = MapAxes.extent(values.filter((value) => value > 0));
      const {tickvals, ticktext} = LogTicks.between(low, high, 8);
      return {at: (value) => Math.log10(Math.max(value, low)), low: Math.log10(low), high: Math.log10(high),
        ticks: {tickvals: tickvals.map(Math.log10), ticktext}};
    }

    const rings = () => [...many.map((row) => [row, ""]), ...chosen.map((row, k) => [row, CHOSEN[k]])]
      .filter(([row]) => row !== null && row !== undefined);

    const ringSize = (base) => 1.6 * base + 7;

    function chosenTrace(at, deep, base) {
      const of = rings();
      const trace = {
        x: of.map(([r]) => at[0][r]), y: of.map(([r]) => at[1][r]), text: of.map(([, letter]) => letter && HoverText.lines(letter)),
        mode: "markers+text", textposition: "top center", textfont: {size: 15, color: look.ink}, hoverinfo: "skip",
        showlegend: false, name: "",
        marker: {symbol: "circle-open", size: ringSize(base), color: look.ink, line: {width: 2.5, color: look.ink}},
      };
      if (deep) trace.z = of.map(([r]) => at[2][r]);
      return trace;
    }

    function layout({embedding, dimensions, colouring}) {
      const small = narrow();
      const result = {
        ...Look.layout(small), dragmode: dimensions === 3 ? "orbit" : "pan", selections: [],
        margin: small ? {l: 44, r: 8, t: 34, b: 44} : {l: 56, r: 16, t: 34, b: 48},
        legend: Object.assign({itemsizing: "constant", groupclick: "togglegroup", tracegroupgap: 0},
          small ? {orientation: "h", y: -0.2, yanchor: "top"} : {}),
        uirevision: embedding + dimensions, ...MapAxes.layout(data, {embedding, dimensions}),
      };
      if (small && colouring.kind === "groups" && colouring.groups.length > 8) result.showlegend = false;
      if (dimensions === 3) result.margin = {l: 0, r: 0, t: 34, b: 0};
      return result;
    }

    // Where the page is shown in a sandboxed frame nothing can be saved.
    const save = window.self === window.top ? Look.saving(name, () => picture()) : [];
    const config = (deep) => ({
      responsive: true, displaylogo: false, scrollZoom: true,
      modeBarButtons: deep
        ? [[...save, "zoom3d", "pan3d", "orbitRotation", "resetCameraDefault3d"]]
        : [[...save, "zoom2d", "pan2d", ...lasso, "zoomIn2d", "zoomOut2d", "resetScale2d"]],
    });

    // choices: {embedding, dimensions, colouring, lines, names, found, only, hidden}; found and only are
    // null or a flag a point (what is looked for, what is drawn), hidden a set of groups' names.
    function draw(choices) {
      const {embedding, dimensions} = choices;
      look = Look.now();
      // Plotly keeps the room of a colour bar that has turned, so a new form begins from nothing.
      const form = `${dimensions} ${narrow()}`;
      if (drawnIn !== null && drawnIn !== form) Plotly.purge(plot);
      const fresh = drawnIn !== form;
      drawnIn = form;
      shown = choices;
      named = [];
      const flat = canvas && dimensions === 2;
      if (canvas && !flat) canvas.clear();
      const all = traces(choices);
      return Plotly.react(plot, flat ? all.map(unseen) : all, layout(choices), config(dimensions === 3)).then(() => {
        if (fresh) listen();
        if (flat) canvas.show(all, marks());
        plot.dataset.drawn = `${embedding}${dimensions}`;
        performance.mark("map drawn");
        return choices.names ? writeNames() : null;
      });
    }

    // What the canvas shows is Plotly's to find under the mouse, not to draw.
    function unseen(trace) {
      if (trace.customdata) return {...trace, marker: {...trace.marker, maxdisplayed: 1}};
      return trace.mode.includes("text") ? {...trace, x: [], y: [], text: []} : trace;
    }

    // What stands on the canvas above the points.
    function marks() {
      const [x, y] = data.coordinates[shown.embedding + 2];
      return {ink: look.ink, size: ringSize(size), rings: rings().map(([r, letter]) => [x[r], y[r], letter]),
        names: named.map((r) => [x[r], y[r], HoverText.short(data.names[r], 28)])};
    }

    // What is kept as a picture has all of it.
    const picture = () => canvas && shown.dimensions === 2 ? {data: traces(shown), layout: plot.layout} : plot;

    // Names of as many points as have room where they are now; the ends of trajectories first.
    function writeNames() {
      const at = data.coordinates[shown.embedding + shown.dimensions];
      const deep = shown.dimensions === 3;
      const {xaxis, yaxis} = plot._fullLayout;
      const drawn = visible();
      const wanted = rows.filter((row) => drawn.has(row) && !(shown.found && !shown.found[row]));
      wanted.sort((one, other) => last.has(other) - last.has(one));
      const text = (row) => HoverText.short(data.names[row], 28);
      const seen = ([x, y]) => x >= 0 && x <= xaxis._length && y >= 0 && y <= yaxis._length;
      // In space they turn, so that only some are written.
      const points = deep ? wanted.slice(0, 40).map((row, k) => [500, 20 * k, text(row), row])
        : wanted.map((row) => [xaxis.l2p(at[0][row]), yaxis.l2p(at[1][row]), text(row), row]).filter(seen);
      const of = named = MapNames.free(points, deep ? Infinity : xaxis._length).map((k) => points[k][3]);
      if (canvas && !deep) return canvas.mark(marks());
      const change = {x: [of.map((r) => at[0][r])], y: [of.map((r) => at[1][r])], text: [of.map((r) => nameOf(data.names[r], 28))]};
      if (deep) change.z = [of.map((r) => at[2][r])];
      return Plotly.restyle(plot, change, [plot.data.length - 2]);
    }

    const visible = () => new Set(plot.data.filter((trace) => trace.customdata && trace.visible !== "legendonly").flatMap((trace) => trace.customdata));

    const legend = () => [...new Set(plot.data.map((trace) => trace.legendgroup).filter((group) => group !== undefined))];

    function listen() {
      if (canvas) canvas.follow();
      const rowOf = (event) => event.points.map((point) => point.customdata).find((row) => row !== undefined);
      plot.on("plotly_click", (event) => {
        const row = rowOf(event);
        if (row !== undefined) heard.pick(row, Boolean(event.event && event.event.shiftKey));
      });
      plot.on("plotly_hover", (event) => heard.rest(rowOf(event)));
      plot.on("plotly_unhover", () => heard.rest(undefined));
      plot.on("plotly_selected", (event) => {
        if (!event) return;
        const within = event.points.map((point) => point.customdata).filter((row) => row !== undefined);
        Plotly.restyle(plot, {selectedpoints: null}).then(() => Plotly.relayout(plot, {selections: []}));
        if (within.length) heard.several(within);
      });
      plot.on("plotly_relayout", () => { if (shown.names && shown.dimensions === 2) writeNames(); });
      // By ourselves: Plotly remembers what is hidden by its place in a list that changes.
      plot.on("plotly_legendclick", (event) => {
        heard.hide(plot.data[event.curveNumber].legendgroup, false, legend());
        return false;
      });
      plot.on("plotly_legenddoubleclick", (event) => {
        heard.hide(plot.data[event.curveNumber].legendgroup, true, legend());
        return false;
      });
    }

    // Rows that lie under or right beside one, itself first: within a marker in the plane, within a
    // hundredth of the map in space.
    function under(row) {
      const at = data.coordinates[shown.embedding + shown.dimensions];
      let units = at.map((values) => {
        const {low, high} = MapAxes.extent(values);
        return 100 / (high - low || 1);
      });
      if (shown.dimensions === 2) {
        const {xaxis, yaxis} = plot._fullLayout;
        units = [xaxis, yaxis].map((axis) => Math.abs(axis.l2p(1) - axis.l2p(0)) / (0.8 * size));
      }
      const near = (other) => at.reduce((sum, values, k) => sum + ((values[other] - values[row]) * units[k]) ** 2, 0) < 1;
      const drawn = visible();
      return [row, ...rows.filter((other) => other !== row && drawn.has(other) && near(other))];
    }

    // Mark up to two rows as A and B (null for none), and several, without drawing the others again.
    function choose(pair, several = []) {
      const same = String([pair, several]) === String([chosen, many]);
      chosen = pair;
      many = several;
      if (shown === null || same) return;
      if (canvas && shown.dimensions === 2) {
        canvas.mark(marks());
        return;
      }
      const deep = shown.dimensions === 3;
      const {x, y, z, text} = chosenTrace(data.coordinates[shown.embedding + shown.dimensions], deep, 1);
      const change = {x: [x], y: [y], text: [text]};
      if (deep) change.z = [z];
      Plotly.restyle(plot, change, [plot.data.length - 1]);
    }

    // pick(row, whether to the several), several(rows), rest(row or nothing), hide(group, alone, groups).
    const on = (listeners) => Object.assign(heard, listeners);

    return {draw, choose, under, on};
  }

  // The hidden groups once a legend was clicked: one more or less, or all but that one.
  function hiding(hidden, name, alone, names) {
    if (alone) {
      const others = names.filter((other) => other !== name);
      return new Set(others.every((other) => hidden.has(other)) && !hidden.has(name) ? [] : others);
    }
    const now = new Set(hidden);
    if (!now.delete(name)) now.add(name);
    return now;
  }

  return {create, narrow, can3d, no3d, hiding};
})();
