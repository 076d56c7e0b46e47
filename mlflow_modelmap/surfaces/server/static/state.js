// What is shown, as the page's address says it: a link to it shows the same.
const NAMES = ["experiment", "run", "embedding", "dimensions", "colour", "lines", "find", "a", "b"];

export function read() {
  const given = new URLSearchParams(location.search);
  return Object.fromEntries(NAMES.filter((name) => given.get(name)).map((name) => [name, given.get(name)]));
}

export function link(state) {
  const query = new URLSearchParams();
  for (const name of NAMES) if (state[name]) query.set(name, state[name]);
  const text = query.toString();
  return text ? `?${text}` : "./";
}

export const change = (state) => history.replaceState(null, "", link(state));
