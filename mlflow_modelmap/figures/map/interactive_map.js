"use strict";
// The controls of the self-contained page around its map.
(function () {
  const data = JSON.parse(document.getElementById("data").textContent);
  const byId = (id) => document.getElementById(id);
  const choice = (name) => document.querySelector(`input[name=${name}]:checked`).value;
  const view = MapDrawing.create(byId("plot"), data, {name: () => data.title});

  function tell(row) {
    const of = HoverText.facts(data, row);
    const near = HoverText.nearest(data, row).map(([name, value]) => `${name} (${value})`).join("; ");
    const known = [data.names[row], of.where, of.kind, of.bits, `run ${data.run_id[row]}`].filter(Boolean);
    byId("details").textContent = `${known.join(" · ")} · nearest, KL in bits/byte: ${near}`;
  }

  function matching() {
    const wanted = byId("find").value.trim().toLowerCase();
    if (!wanted) {
      byId("found").textContent = "";
      return null;
    }
    const found = data.names.map((name) => name.toLowerCase().includes(wanted));
    byId("found").textContent = `${found.filter(Boolean).length} of ${found.length}`;
    return found;
  }

  function dimensions() {
    const possible = MapDrawing.can3d(data, choice("embedding"));
    byId("three").disabled = !possible;
    document.querySelector("label[for=three]").title = MapDrawing.no3d(data, choice("embedding"));
    if (!possible) byId("two").checked = true;
    return Number(choice("dimensions"));
  }

  let hidden = new Set(), colouring = null;

  function draw() {
    const chosen = data.colourings[Number(byId("colour").value)];
    if (chosen !== colouring) hidden = new Set();
    colouring = chosen;
    return view.draw({
      embedding: choice("embedding"), dimensions: dimensions(), colouring, hidden,
      lines: byId("lines").checked, found: matching(),
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
  let waiting = null;
  byId("controls").addEventListener("submit", (event) => event.preventDefault());
  byId("controls").addEventListener("change", draw);
  byId("find").addEventListener("input", () => {
    clearTimeout(waiting);
    waiting = setTimeout(draw, 120);
  });
  let wasNarrow = MapDrawing.narrow();
  window.addEventListener("resize", () => {
    if (MapDrawing.narrow() !== wasNarrow) {
      wasNarrow = MapDrawing.narrow();
      draw();
    }
  });
  view.on({pick: tell, hide(name, alone, names) {
    hidden = MapDrawing.hiding(hidden, name, alone, names);
    draw();
  }});
  Look.follow(draw);
  draw();
})();
