// The lists: experiments with runs of mlflow-modelmap, and an experiment's maps and studies.
import {ask} from "./api.js";
import {day, el, sentence, verdict} from "./elements.js";
import {link} from "./state.js";

const counted = (kinds, titles) => Object.entries(titles).filter(([kind]) => kinds[kind])
  .map(([kind, title]) => `${title.toLowerCase()}: ${kinds[kind]}`).join(" · ");

export async function showExperiments(here) {
  const {experiments, titles, empty} = await ask("experiments");
  here.append(el("h1", {}, "Experiments with model maps"));
  if (!experiments.length) {
    here.append(sentence(empty, {class: "nothing"}));
    return;
  }
  here.append(el("ul", {class: "list", id: "experiments"}, experiments.map((of) => el("li", {},
    el("a", {href: link({experiment: of.id})}, of.name),
    el("p", {class: "under"}, [counted(of.kinds, titles) || "scored models, no map yet", of.latest ? `last ${day(of.latest)}` : ""].filter(Boolean).join(" · "))))));
}

export async function showExperiment(here, state) {
  const {experiment, runs, titles, empty} = await ask("experiment", {experiment_id: state.experiment});
  here.append(el("h1", {}, experiment.name));
  if (!runs.length) here.append(sentence(empty, {class: "nothing"}));
  for (const [kind, title] of Object.entries(titles)) {
    const own = runs.filter((run) => run.kind === kind);
    if (!own.length) continue;
    here.append(el("h2", {}, title), el("ul", {class: "list"}, own.map((run) => el("li", {},
      el("a", {href: link({run: run.run_id})}, run.name), run.verdict ? [" ", verdict(run.verdict)] : null,
      el("p", {class: "under"}, [run.note, day(run.start_time), run.status === "FINISHED" ? "" : run.status.toLowerCase()]
        .filter(Boolean).join(" · "))))));
  }
  here.append(el("p", {class: "under"},
    el("a", {href: `../#/experiments/${encodeURIComponent(experiment.id)}/runs`}, "the experiment in MLflow")));
  return experiment.name;
}
