// A model map: its controls, the drawing, the two points and the table, kept in the address.
import {ask, loadPlotly} from "./api.js";
import {el} from "./elements.js";
import {pairPanel} from "./pair_panel.js";
import {pointsTable} from "./points_table.js";
import {change} from "./state.js";

const radio = (name, id, value, text, checked) => [
  el("input", {type: "radio", name, id, value, checked}), el("label", {for: id}, text)];

export async function showMap(here, {head, data, state}) {
  const given = {...state};
  const embedding = data.tsne && given.embedding !== "pca" ? "tsne" : "pca";
  const choices = {
    embedding, dimensions: MapDrawing.can3d(data, embedding) && given.dimensions === "3" ? 3 : 2,
    lines: given.lines !== "off",
    find: given.find || "",
    colouring: data.colourings[data.colouring],
  };
  const colourings = [...data.colourings];
  const colour = el("select", {id: "colour"});
  const find = el("input", {type: "search", id: "find", placeholder: "part of a name", value: choices.find});
  const found = el("span", {id: "found", role: "status"});
  const controls = el("form", {id: "controls", autocomplete: "off", "aria-label": "How the map is drawn"},
    el("fieldset", {}, el("legend", {}, "Map"),
      radio("embedding", "tsne", "tsne", "t-SNE", choices.embedding === "tsne"),
      radio("embedding", "pca", "pca", "PCA", choices.embedding === "pca")),
    el("fieldset", {}, el("legend", {}, "Dimensions"),
      radio("dimensions", "two", "2", "2D", choices.dimensions === 2),
      radio("dimensions", "three", "3", "3D", choices.dimensions === 3)),
    el("label", {class: "field"}, "Colour ", colour),
    data.paths.length ? el("label", {class: "field"}, el("input", {type: "checkbox", id: "lines", checked: choices.lines}), " Lines") : null,
    el("label", {class: "field"}, "Find ", find), found);
  controls.querySelector("#tsne").disabled = !data.tsne;

  function offer3d() {
    const possible = MapDrawing.can3d(data, choices.embedding);
    controls.querySelector("#three").disabled = !possible;
    controls.querySelector("label[for=three]").title = MapDrawing.no3d(data, choices.embedding);
    if (!possible) controls.querySelector("#two").checked = true;
  }
  offer3d();

  const plot = el("div", {id: "plot", role: "figure", "aria-label":
    `Model map of ${data.names.length} points. The lists beside it and the table below it choose points without it.`});
  let view = null;
  const panel = pairPanel({run: head.run_id, data, onChange(pair) {
    if (view) view.choose(pair);
    remember();
  }});
  const points = pointsTable({data, rows: () => matching().rows, onPick: panel.pick});
  here.append(controls, el("div", {class: "map"}, plot, panel.element), points.element);

  await loadPlotly();
  if (!here.isConnected) return;
  view = MapDrawing.create(plot, data, {svg: true});
  view.onPick(panel.pick);

  function fillColours() {
    colour.replaceChildren(...colourings.map((of, k) => el("option", {value: k}, of.column.startsWith("tag:") ? `tag ${of.title}` : of.title)));
    colour.value = String(colourings.indexOf(choices.colouring));
  }

  function matching() {
    const wanted = choices.find.trim().toLowerCase();
    const flags = wanted ? data.names.map((name) => name.toLowerCase().includes(wanted)) : null;
    const rows = [];
    data.names.forEach((_, row) => { if (!flags || flags[row]) rows.push(row); });
    return {flags, rows};
  }

  function remember() {
    if (!view || !here.isConnected) return;
    const [a, b] = panel.pair().map((row) => row === null ? "" : data.names[row]);
    change({
      run: head.run_id, embedding: choices.embedding, dimensions: choices.dimensions === 3 ? "3" : "",
      colour: choices.colouring === data.colourings[data.colouring] ? "" : choices.colouring.column,
      lines: choices.lines ? "" : "off", find: choices.find, a, b,
    });
  }

  function draw() {
    const {flags, rows} = matching();
    found.textContent = flags ? `${rows.length} of ${data.names.length}` : "";
    return view.draw({...choices, found: flags}).then(() => points.draw());
  }

  function changed() {
    choices.embedding = controls.querySelector("input[name=embedding]:checked").value;
    offer3d();
    choices.dimensions = Number(controls.querySelector("input[name=dimensions]:checked").value);
    choices.colouring = colourings[Number(colour.value)];
    const lines = controls.querySelector("#lines");
    choices.lines = !lines || lines.checked;
    choices.find = find.value;
    remember();
    return draw();
  }

  controls.addEventListener("submit", (event) => event.preventDefault());
  controls.addEventListener("change", changed);
  let waiting = null;
  find.addEventListener("input", () => {
    clearTimeout(waiting);
    waiting = setTimeout(changed, 150);
  });
  let wasNarrow = MapDrawing.narrow();
  new ResizeObserver(() => {
    if (MapDrawing.narrow() === wasNarrow || !plot.isConnected) return;
    wasNarrow = MapDrawing.narrow();
    draw();
  }).observe(plot);

  const known = (wanted) => colourings.find((of) => of.column === wanted);
  choices.colouring = known(given.colour) || choices.colouring;
  fillColours();
  await draw();
  // A name that the address asks for and the map has not is left out.
  const rowOf = (name) => name && data.names.includes(name) ? data.names.indexOf(name) : null;
  await panel.set(panel.pair().map((row, k) => row === null ? rowOf(k ? given.b : given.a) : row));

  // What the runs say now comes after the drawing, which need not wait for it.
  ask("members", {run_id: head.run_id}).then((members) => {
    if (!here.isConnected) return;
    panel.link(members.experiments);
    colourings.push(...members.colourings);
    const late = known(given.colour);
    if (late && late !== choices.colouring) {
      choices.colouring = late;
      draw();
    }
    fillColours();
    remember();
    plot.dataset.members = "known";
  }).catch((error) => {
    found.textContent = `Tags and links are missing: ${error.message}`;
  });
}
