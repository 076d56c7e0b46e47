// A training that is monitored: drawn as a trajectory is, and drawn again while it goes on.
import {ask} from "./api.js";
import {announce, el, sentence} from "./elements.js";
import {read} from "./state.js";
import {showTraining} from "./training_view.js";

const AGAIN_MS = 30_000;

export async function showMonitor(here, {head, data, state}) {
  const body = el("div");
  here.append(body);
  await showTraining(body, {data, state});
  if (head.status !== "RUNNING") return;
  const going = sentence("The training goes on; new checkpoints appear here every half minute.", {class: "under"});
  here.append(going);
  const again = setInterval(async () => {
    if (!here.isConnected) {
      clearInterval(again);
      return;
    }
    try {
      const fresh = await ask("run", {run_id: head.run_id});
      if (JSON.stringify(fresh.data) === JSON.stringify(data)) return;
      data = fresh.data;
      const next = el("div");
      body.replaceChildren(next);
      await showTraining(next, {data, state: read()});
      announce("A new checkpoint was recorded.");
    } catch (error) {
      going.textContent = error.message;
    }
  }, AGAIN_MS);
}
