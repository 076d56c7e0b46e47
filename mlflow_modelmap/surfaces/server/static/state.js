// What is shown, as the page's address says it: a link to it shows the same.
const NAMES = ["experiment", "run", "embedding", "dimensions", "colour", "lines", "names", "find", "only", "upto", "steps", "a", "b"];
const LISTS = ["hide", "point"];

export function read() {
  const given = new URLSearchParams(location.search);
  const found = Object.fromEntries(NAMES.filter((name) => given.get(name)).map((name) => [name, given.get(name)]));
  for (const name of LISTS) found[name] = given.getAll(name);
  return found;
}

export function link(state) {
  const query = new URLSearchParams();
  for (const name of NAMES) if (state[name]) query.set(name, state[name]);
  for (const name of LISTS) for (const value of state[name] || []) query.append(name, value);
  const text = query.toString();
  return text ? `?${text}` : "./";
}

// A choice is a step that Back goes back; what was not chosen, or is still being typed, is none.
export function change(state, {step = false} = {}) {
  const to = link(state);
  if (to === (location.search || "./")) return;
  if (step) history.pushState(null, "", to);
  else history.replaceState(null, "", to);
}
