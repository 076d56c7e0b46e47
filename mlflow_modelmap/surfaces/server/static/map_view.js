// A model map: its controls, the drawing, its points and the table, kept in the address.
import {ask, loadPlotly} from "./api.js";
import {el, problem} from "./elements.js";
import {FROM_A, mapControls} from "./map_controls.js";
import {pairPanel} from "./pair_panel.js";
import {pointsTable} from "./points_table.js";
import {severalPanel} from "./several_panel.js";
import {change} from "./state.js";

export async function showMap(here, {head, data, state}) {
  const usual = data.colourings[data.colouring];
  const controls = mapControls({data, onChange: changed});
  let choices = null, given = state, view = null, fromRow = null, ready = false;
  const rowOf = new Map(data.names.map((name, row) => [name, row]));

  const plot = el("div", {id: "plot", role: "figure", "aria-label":
    `Model map of ${data.names.length} points. The lists beside it and the table below it choose points without it.`});
  const unknown = el("div", {id: "unknown"});
  const panel = pairPanel({run: head.run_id, data, under: (row) => view ? view.under(row) : [row], onChange(step) {
    mark();
    remember(step);
    if (choices.colouring === FROM_A) draw();
  }});
  const several = severalPanel({run: head.run_id, data, file: `${head.name} KL`, onChange(step) {
    mark();
    remember(step);
  }});
  const points = pointsTable({data, rows: () => matching().rows, onPick: panel.pick, file: `${head.name} points`});
  here.append(controls.element, unknown, el("div", {class: "map"}, plot, panel.element), several.element, points.element);

  // What an address asks for; what is not on this map is said.
  function take(wanted) {
    given = wanted;
    const embedding = data.tsne && given.embedding !== "pca" ? "tsne" : "pca";
    choices = {
      embedding, dimensions: MapDrawing.can3d(data, embedding) && given.dimensions === "3" ? 3 : 2,
      colouring: controls.known(given.colour) || usual, lines: given.lines !== "off", names: given.names === "on",
      find: given.find || "", only: given.only ? controls.filter(given.only) : null,
      upto: given.upto && Number.isFinite(Number(given.upto)) ? Number(given.upto) : null, hidden: new Set(given.hide || []),
    };
    controls.write(choices);
    const asked = [given.a, given.b, ...(given.point || [])].filter(Boolean);
    const missing = asked.filter((name) => !rowOf.has(name));
    const said = missing.map((name) => `The link names the point ${name}, which is not on this map.`);
    if (ready && given.colour && !controls.known(given.colour)) said.push(`The link colours by ${given.colour}, which this map has not.`);
    if (ready && given.only && !choices.only) said.push(`The link keeps the points with ${given.only}, of which this map has none.`);
    unknown.replaceChildren(...said.map((text) => problem({message: text})));
    const row = (name) => name && rowOf.has(name) ? rowOf.get(name) : null;
    several.set((given.point || []).map(row).filter((of) => of !== null));
    return panel.set([row(given.a), row(given.b)]);
  }

  function matching() {
    const wanted = choices.find.trim().toLowerCase();
    const only = controls.kept(choices);
    const flags = wanted ? data.names.map((name) => name.toLowerCase().includes(wanted)) : null;
    const rows = [];
    data.names.forEach((_, row) => { if ((!flags || flags[row]) && (!only || only[row])) rows.push(row); });
    return {flags, only, rows};
  }

  const mark = () => view && view.choose(panel.pair(), several.rows());

  function remember(step) {
    // What is chosen before the tags are known is not undone by them.
    ready = ready || step;
    if (!ready || !here.isConnected) return;
    const nameOf = (row) => row === null ? "" : data.names[row];
    const [a, b] = panel.pair().map(nameOf);
    change({
      run: head.run_id, embedding: choices.embedding, dimensions: choices.dimensions === 3 ? "3" : "",
      colour: choices.colouring === usual ? "" : choices.colouring.column, lines: choices.lines ? "" : "off",
      names: choices.names ? "on" : "", find: choices.find, only: choices.only ? choices.only.join("=") : "",
      upto: choices.upto === null ? "" : choices.upto, hide: [...choices.hidden], a, b, point: several.rows().map(nameOf),
    }, {step});
  }

  async function draw() {
    const {flags, only, rows} = matching();
    controls.tell(flags || only ? `${rows.length} of ${data.names.length}` : "");
    if (choices.colouring === FROM_A) await measureFromA();
    await view.draw({...choices, found: flags, only});
    points.draw();
  }

  async function measureFromA() {
    const [row] = panel.pair();
    if (row === null) {
      controls.tell("Choose point A, from which KL is to be coloured.");
      FROM_A.values = data.names.map(() => null);
    } else if (row !== fromRow || FROM_A.of !== head.run_id) {
      try {
        FROM_A.values = (await ask("from", {run_id: head.run_id, row})).kl;
      } catch (error) {
        controls.tell(error.message);
        FROM_A.values = data.names.map(() => null);
      }
    }
    [fromRow, FROM_A.of] = [row, head.run_id];
  }

  function changed(step) {
    const before = choices.colouring;
    choices = {...choices, ...controls.read()};
    if (choices.colouring !== before) choices.hidden = new Set();
    remember(step);
    return draw();
  }

  await loadPlotly();
  if (!here.isConnected) return null;
  view = MapDrawing.create(plot, data, {svg: true, beside: true, name: () => `${head.name} ${choices.embedding}`});
  view.on({
    pick(row, more) {
      if (more) several.add([row]);
      else panel.pick(row);
    },
    several: (rows) => several.set(rows, true),
    rest: panel.rest,
    hide(name, alone, names) {
      choices.hidden = MapDrawing.hiding(choices.hidden, name, alone, names);
      remember(true);
      draw();
    },
  });
  let wasNarrow = MapDrawing.narrow();
  new ResizeObserver(() => {
    if (MapDrawing.narrow() === wasNarrow || !plot.isConnected) return;
    wasNarrow = MapDrawing.narrow();
    draw();
  }).observe(plot);
  Look.follow(() => plot.isConnected ? draw() : false);

  const paired = take(state);
  await draw();
  mark();
  await paired;
  if (!state.colour && !state.only) {
    ready = true;
    remember(false);
  }

  // What the runs say now comes after the drawing, which need not wait for it.
  ask("members", {run_id: head.run_id}).then((members) => {
    if (!here.isConnected) return;
    panel.link(members.experiments);
    controls.more(members.colourings);
    if (ready) controls.write(choices);
    else {
      ready = true;
      take(given);
      draw();
    }
    remember(false);
    plot.dataset.members = "known";
  }).catch((error) => {
    ready = true;
    controls.tell(`Tags and links are missing: ${error.message}`);
  });

  // Another address of the same map, as Back gives it.
  return async (wanted) => {
    take(wanted);
    await draw();
    mark();
  };
}
