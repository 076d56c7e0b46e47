// Which view the address asks for, and the way back from it.
import {ask, loadPlotly} from "./api.js";
import {announce, el, mlflowRun, notices, problem} from "./elements.js";
import {showExperiment, showExperiments} from "./lists_view.js";
import {showMap} from "./map_view.js";
import {link, read} from "./state.js";

// Views other than the map's, which is the largest, are loaded once they are asked for.
const study = () => import("./study_view.js").then((of) => of.showStudy);
const score = () => import("./score_view.js").then((of) => of.showScore);
const VIEWS = {
  map: async () => showMap,
  trajectory: () => import("./training_view.js").then((of) => of.showTraining),
  monitor: () => import("./monitor_view.js").then((of) => of.showMonitor),
  scale: () => import("./scale_view.js").then((of) => of.showScale),
  lineage: () => import("./lineage_view.js").then((of) => of.showLineage),
  gate: () => import("./gate_view.js").then((of) => of.showGate),
  quantization: study, layers: study, prompts: study, exact: study, score, vectors: score,
};
const content = document.getElementById("content");
let turn = 0, apply = null, shownRun = null;

function trail(...steps) {
  const items = steps.map(([text, href]) => el("li", {}, href ? el("a", {href}, text) : el("span", {"aria-current": "page"}, text)));
  document.getElementById("trail").replaceChildren(steps.length > 1 ? el("ol", {}, items) : "");
}

async function show() {
  const mine = ++turn;
  const state = read();
  [apply, shownRun] = [null, null];
  const here = el("div");
  content.replaceChildren(here);
  content.setAttribute("aria-busy", "true");
  try {
    if (state.run) await showRun(here, state);
    else if (state.experiment) {
      const name = await showExperiment(here, state);
      if (mine === turn) trail(["Experiments", "./"], [name]);
    } else {
      await showExperiments(here);
      trail(["Experiments"]);
    }
  } catch (error) {
    if (!here.querySelector("h1")) {
      here.append(el("h1", {}, "Not shown"));
      if (mine === turn) trail(["Experiments", "./"], ["Not shown"]);
    }
    here.append(problem(error));
  }
  if (mine !== turn) return;
  content.removeAttribute("aria-busy");
  const title = here.querySelector("h1");
  document.title = title ? `${title.textContent} – Model map` : "Model map";
  announce(title ? title.textContent : "");
}

async function showRun(here, state) {
  loadPlotly().catch(() => {}); // while the answer is on its way; most views draw
  const {head, data} = await ask("run", {run_id: state.run});
  if (!here.isConnected) return;
  trail(["Experiments", "./"], [head.experiment.name, link({experiment: head.experiment.id})], [head.name]);
  const about = [];
  if (head.texts) about.push(`${head.texts.toLocaleString("en")} ${head.unit}`);
  if (head.text_set_name) about.push(head.text_set_name);
  if (data.entropy_bound) about.push(`entropy at most ${data.entropy_bound.toFixed(3)} bits/byte`);
  if (data.perplexity) about.push(`t-SNE with perplexity ${Number(data.perplexity).toPrecision(3)}`);
  if (head.status !== "FINISHED") about.push(`the run is ${head.status.toLowerCase()}`);
  here.append(
    el("h1", {}, head.name),
    el("p", {class: "under"}, about.map((part) => `${part} · `),
      el("a", {href: mlflowRun(head.experiment.id, head.run_id)}, "the run in MLflow")),
    notices(head.notices) || "");
  const view = await VIEWS[head.kind]().catch(() => {
    throw new Error("A file of the page could not be loaded; reload the page.");
  });
  const again = await view(here, {head, data, state});
  if (here.isConnected) [apply, shownRun] = [again || null, state.run];
}

// Back within a view goes back one choice, and need not ask the server for all of it again.
function back() {
  const state = read();
  if (apply && state.run === shownRun) apply(state);
  else show();
}

// Links within the page change the view, not the document.
document.addEventListener("click", (event) => {
  const anchor = event.target.closest("a[href]");
  if (!anchor || event.button || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
  const href = anchor.getAttribute("href");
  if (!href.startsWith("?") && href !== "./") return;
  event.preventDefault();
  history.pushState(null, "", href);
  show().then(() => content.focus());
  window.scrollTo(0, 0);
});
// On paper nothing can be opened: what is folded is printed, and folded again.
let unfolded = [];
window.addEventListener("beforeprint", () => {
  unfolded = [...content.querySelectorAll("details:not([open])")];
  unfolded.forEach((details) => {
    details.open = true;
    details.dispatchEvent(new Event("toggle"));
  });
});
window.addEventListener("afterprint", () => unfolded.forEach((details) => { details.open = false; }));
window.addEventListener("popstate", back);
show();
