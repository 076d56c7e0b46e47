"use strict";
// The colours of all drawings, as the style sheet says them: dark where the system is, light on paper.
const Look = (function () {
  const NAMES = ["ink", "paper", "grid", "dim", "grey", "edge"];
  const PRINTED = {ink: "#222222", paper: "#ffffff", grid: "#e9e9e9", dim: "#e2e2e2", grey: "#9a9a9a", edge: "#777777"};
  const LEAST = 3; // contrast of what is no text, by WCAG
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  let printing = false, current = null;
  const known = new Map();
  const listeners = new Set();

  // Asked once for each point of a map, so that the style sheet is read only when it is another.
  function now() {
    if (current) return current;
    known.clear();
    const style = printing ? {getPropertyValue: () => ""} : getComputedStyle(document.documentElement);
    current = Object.fromEntries(NAMES.map((name) => [name, style.getPropertyValue(`--${name}`).trim() || PRINTED[name]]));
    return current;
  }

  const parts = (colour) => [1, 3, 5].map((k) => parseInt(colour.slice(k, k + 2), 16));
  const written = (rgb) => "#" + rgb.map((v) => Math.round(v).toString(16).padStart(2, "0")).join("");

  // From one colour to another, by a share of 0 to 1.
  const mixed = (from, to, share) => written(parts(from).map((v, k) => v + (parts(to)[k] - v) * share));

  function luminance(colour) {
    const [r, g, b] = parts(colour).map((v) => v / 255).map((v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  }

  function contrast(one, other) {
    const [light, deep] = [luminance(one), luminance(other)].sort((a, b) => b - a);
    return (light + 0.05) / (deep + 0.05);
  }

  // A colour that was chosen for white paper, as it can be seen on this one.
  function seen(colour) {
    const {paper} = now();
    if (!known.has(colour)) known.set(colour, lightened(colour, paper));
    return known.get(colour);
  }

  function lightened(colour, paper) {
    if (luminance(paper) > 0.5) return colour;
    for (let share = 0; share < 1; share += 0.1) {
      const lighter = mixed(colour, "#ffffff", share);
      if (contrast(lighter, paper) >= LEAST) return lighter;
    }
    return "#ffffff";
  }

  // Towards the paper: earlier is paler, on white, or darker, on black.
  const faded = (colour, share) => mixed(now().paper, seen(colour), 0.22 + 0.78 * share);

  // draw() is called whenever the colours are others, until it returns false.
  function follow(draw) {
    listeners.add(draw);
  }
  function tell() {
    current = null;
    return Promise.all([...listeners].map((draw) => {
      const drawn = draw();
      if (drawn === false) listeners.delete(draw);
      return drawn;
    }));
  }
  dark.addEventListener("change", tell);
  function print(on) {
    const other = printing !== on && dark.matches;
    printing = on;
    current = null;
    return other ? tell() : null;
  }
  window.addEventListener("beforeprint", () => print(true));
  window.addEventListener("afterprint", () => print(false));

  // A picture that is kept is light, as paper is.
  async function asOnPaper(make) {
    const before = printing;
    await print(true);
    try {
      return await make();
    } finally {
      await print(before);
    }
  }

  // What Plotly saves where nothing keeps it from saving: as PNG, and as SVG to be drawn in.
  // figure(): what is saved of a drawing, where that is more than Plotly drew.
  const saving = (name, figure = null) => [["png", "camera-retro", "a picture (PNG)"], ["svg", "disk", "a drawing (SVG)"]].map(([format, icon, words]) => ({
    name: `save ${format}`, title: `Save as ${words}`, icon: Plotly.Icons[icon],
    click: (plot) => asOnPaper(() => Plotly.downloadImage(figure ? figure() : plot, {format, filename: name(), width: plot.clientWidth, height: plot.clientHeight, scale: format === "png" ? 2 : 1})),
  }));

  const font = (small) => ({family: "system-ui, -apple-system, Segoe UI, Roboto, DejaVu Sans, sans-serif", size: small ? 11 : 12, color: now().ink});

  // What every drawing's layout begins with.
  function layout(small) {
    const {ink, paper, edge} = now();
    return {
      font: font(small), paper_bgcolor: paper, plot_bgcolor: paper, hovermode: "closest",
      hoverlabel: {align: "left", bgcolor: paper, bordercolor: edge, font: {color: ink, size: small ? 11 : 12}, namelength: 0},
      modebar: {bgcolor: "rgba(0,0,0,0)", color: edge, activecolor: ink},
    };
  }

  return {now, seen, faded, follow, saving, layout, contrast};
})();
