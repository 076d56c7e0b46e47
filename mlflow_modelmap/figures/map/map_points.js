"use strict";
// The points of a large map on a canvas over Plotly's axes, where an SVG element each would be slow.
const MapPoints = (function () {
  const MANY = 1000;

  // The corners of Plotly's markers, in units of half their size.
  const [half, third, thin] = [0.5, 2 / Math.sqrt(3), 0.4];
  const turned = (corners) => corners.map(([x, y]) => [y, -x]);
  const up = [[-third, half], [third, half], [0, -1]];
  const left = turned(up), down = turned(left), right = turned(down);
  const plus = [[1.2, thin], [thin, thin], [thin, 1.2], [-thin, 1.2], [-thin, thin], [-1.2, thin],
    [-1.2, -thin], [-thin, -thin], [-thin, -1.2], [thin, -1.2], [thin, -thin], [1.2, -thin]];
  const CORNERS = {
    square: [[-1, -1], [1, -1], [1, 1], [-1, 1]], diamond: [[0, -1.3], [1.3, 0], [0, 1.3], [-1.3, 0]], cross: plus,
    x: plus.map(([x, y]) => [(x - y) * Math.SQRT1_2, (x + y) * Math.SQRT1_2]),
    "triangle-up": up, "triangle-left": left, "triangle-down": down, "triangle-right": right,
    hexagon: [0, 1, 2, 3, 4, 5].map((k) => [Math.sin(k * Math.PI / 3), -Math.cos(k * Math.PI / 3)]),
  };

  function outline(pen, symbol, x, y, radius) {
    const corners = CORNERS[symbol];
    if (!corners) {
      pen.moveTo(x + radius, y);
      pen.arc(x, y, radius, 0, 2 * Math.PI);
      return;
    }
    corners.forEach(([dx, dy], k) => k ? pen.lineTo(x + radius * dx, y + radius * dy) : pen.moveTo(x + radius * dx, y + radius * dy));
    pen.closePath();
  }

  // Numbers as the colours of a colour scale that Plotly filled in: [[share, colour], ...].
  function coloured({color, cmin, cmax}, scale) {
    const parts = (hex) => [1, 3, 5].map((k) => parseInt(hex.slice(k, k + 2), 16));
    const stops = scale.map(([share, hex]) => [share, parts(hex)]);
    return color.map((value) => {
      const share = Math.min(1, Math.max(0, (value - cmin) / (cmax - cmin || 1)));
      const above = Math.max(1, stops.findIndex(([at]) => at >= share));
      const [[low, from], [high, to]] = [stops[above - 1], stops[above]];
      return `rgb(${from.map((v, k) => Math.round(v + (to[k] - v) * (share - low) / (high - low))).join(" ")})`;
    });
  }

  // plot: drawn by Plotly. Returns {show(traces, marks), mark(marks), clear()}: the traces as Plotly takes them;
  // marks: {ink, size, rings: [[x, y, letter]], names: [[x, y, text]]}, which stand above all points.
  function create(plot) {
    const canvas = document.createElement("canvas");
    canvas.className = "map-points";
    canvas.setAttribute("aria-hidden", "true");
    let drawn = null, marked = null;

    // Where Plotly's axes are now; while the map is moved only their ranges are.
    function places() {
      const {xaxis, yaxis} = plot._fullLayout;
      const [[left, right], [bottom, top]] = [xaxis.range, yaxis.range];
      const {_length: width} = xaxis, {_length: height} = yaxis;
      return {left: xaxis._offset, top: yaxis._offset, width, height,
        x: (value) => (value - left) / (right - left) * width, y: (value) => (top - value) / (top - bottom) * height};
    }

    function draw() {
      if (!drawn || !plot._fullLayout || !plot._fullLayout.xaxis) return;
      const room = plot.querySelector(".gl-container");
      if (canvas.parentNode !== room) room.append(canvas);
      const place = places(), fine = window.devicePixelRatio || 1;
      [canvas.width, canvas.height] = [place.width, place.height].map((size) => Math.round(size * fine));
      canvas.style.cssText = `position:absolute;pointer-events:none;left:${place.left}px;top:${place.top}px;width:${place.width}px;height:${place.height}px`;
      const pen = canvas.getContext("2d");
      pen.scale(fine, fine);
      drawn.forEach((trace) => points(pen, place, trace));
      pen.globalAlpha = 1;
      mark(pen, place);
    }

    function points(pen, place, {x, y, marker: {color, size, symbol, opacity = 1}}) {
      pen.globalAlpha = opacity;
      const one = !Array.isArray(color);
      pen.beginPath();
      if (one) pen.fillStyle = color;
      for (let k = 0; k < x.length; k++) {
        const radius = (Array.isArray(size) ? size[k] : size) / 2, far = 1.4 * radius;
        const [px, py] = [place.x(x[k]), place.y(y[k])];
        if (!(px > -far && px < place.width + far && py > -far && py < place.height + far)) continue;
        if (!one) {
          pen.beginPath();
          pen.fillStyle = color[k];
        }
        outline(pen, symbol, px, py, radius);
        if (!one) pen.fill();
      }
      if (one) pen.fill();
    }

    function mark(pen, place) {
      const {ink, size, rings, names} = marked;
      const {family} = plot._fullLayout.font;
      Object.assign(pen, {strokeStyle: ink, fillStyle: ink, lineWidth: 2.5, textAlign: "center"});
      const write = (x, y, text, above) => text && pen.fillText(text, place.x(x), place.y(y) - above);
      pen.font = `11px ${family}`;
      names.forEach(([x, y, text]) => write(x, y, text, 5));
      pen.font = `bold 15px ${family}`;
      rings.forEach(([x, y, letter]) => {
        pen.beginPath();
        outline(pen, "circle", place.x(x), place.y(y), size / 2);
        pen.stroke();
        write(x, y, letter, size / 2 + 4);
      });
    }

    // Plotly's own events, again whenever a form of the drawing begins anew.
    function follow() {
      for (const event of ["plotly_relayouting", "plotly_relayout", "plotly_afterplot"]) plot.on(event, draw);
    }

    return {
      follow,
      show(traces, marks) {
        const scaleOf = (k) => plot._fullData[k].marker.colorscale;
        drawn = traces.map((trace, k) => [trace, k]).filter(([{customdata, visible}]) => customdata && visible !== "legendonly")
          .map(([trace, k]) => trace.marker.colorscale && trace.x.length
            ? {...trace, marker: {...trace.marker, color: coloured(trace.marker, scaleOf(k))}} : trace);
        marked = marks;
        draw();
      },
      mark(marks) {
        marked = marks;
        draw();
      },
      clear() {
        drawn = null;
        canvas.remove();
      },
    };
  }

  return {MANY, create};
})();
