// The lineage: who descends from whom, KL to the parent, and what is nearer than it should be.
import {withError} from "./charts.js";
import {el} from "./elements.js";
import {measured, table} from "./table.js";

const kl = (value, se) => withError(value, se) + (value === null ? "" : " bits/byte");

export function showLineage(here, {data}) {
  const rows = data.rows;
  const children = new Map();
  const placed = new Set();
  for (const row of rows) {
    const parent = row.parent || "";
    if (!children.has(parent)) children.set(parent, []);
    children.get(parent).push(row);
  }
  const known = new Set(rows.map((row) => row.child));
  // A parent that is no row itself, and whoever is its own ancestor, begins a tree of its own.
  const roots = [...(children.get("") || []),
    ...[...children.keys()].filter((parent) => parent && !known.has(parent)).map((parent) => ({child: parent, parent: null, absent: true}))];
  const tree = el("ul", {class: "tree", id: "lineage"});
  const alone = roots.filter((root) => !root.absent && !children.has(root.child));
  for (const root of roots) if (!alone.includes(root)) tree.append(branch(root));
  for (const root of alone) placed.add(root.child);
  for (const row of rows) if (!placed.has(row.child)) tree.append(branch(row));

  function branch(row) {
    const item = el("li", {}, el("strong", {}, called(row)), told(row));
    if (placed.has(row.child)) return item;
    placed.add(row.child);
    const below = (children.get(row.child) || []).filter((child) => child.child !== row.child);
    if (below.length) item.append(el("ul", {}, below.map(branch)));
    return item;
  }

  function called(row) {
    return row.also ? `${row.child} = ${row.also}` : row.child;
  }

  function told(row) {
    if (row.absent) return el("p", {class: "under"}, "not among the models");
    if (!row.parent) return el("p", {class: "under"}, "no parent known");
    const there = row.kl !== null;
    const parts = [there ? `KL to ${row.parent}: ${kl(row.kl, row.se)}` : `from ${row.parent}`];
    if (row.relation) parts.push(row.relation);
    if (row.generation !== null) parts.push(`generation ${row.generation}`);
    // Whoever has a score has a nearest model too.
    if (!there) parts.push(`KL to that not measured, as ${row.nearest ? row.parent : row.child} has no score`);
    const flagged = row.verdict === "another is nearer";
    const gap = row.gap ? `, ${withError(row.gap, row.gap_se)} nearer, of ${row.candidates} candidates` : "";
    const near = row.nearest && row.nearest !== row.parent ? `: ${row.nearest}, ${kl(row.nearest_kl, null)}${gap}` : "";
    return [el("p", {class: "under"}, parts.join(" · ")),
      row.verdict && there ? el("p", {class: flagged ? "flag under" : "under"}, `${flagged ? "⚠ " : ""}${row.verdict}${near}`) : null];
  }

  const rest = alone.length ? el("details", {}, el("summary", {}, `${alone.length} without a parent or child`),
    el("ul", {}, alone.map((root) => el("li", {}, called(root))))) : "";
  here.append(el("h2", {}, "Tree"), tree, rest, el("h2", {}, "All parents"), table("Lineage", [
    {title: "Model", name: true, of: called},
    {title: "Parent", name: true, of: (row) => row.parent || ""},
    {title: "Generation", number: true, of: (row) => row.generation === null ? "" : String(row.generation)},
    measured("KL ± standard error", (row) => row.kl, (row) => row.se, (value, se) => value === null ? "" : withError(value, se)),
    {title: "Nearest", name: true, of: (row) => row.nearest || ""},
    {title: "Verdict", of: (row) => row.verdict || ""},
    {title: "Source", of: (row) => row.source || ""},
  ], rows));
}
