// A searchable list that works by keyboard: type, arrows, Enter, Escape (the ARIA combobox pattern).
import {el} from "./elements.js";

const MOST = 50;

// label: its words; options: names; onChoose(index or null). Returns {element, show(index or null)}.
export function combobox({id, label, options, onChoose}) {
  const lower = options.map((name) => name.toLowerCase());
  let matches = [], active = -1, chosen = null;
  const list = el("ul", {class: "options", id: `${id}-list`, role: "listbox", "aria-label": label, hidden: true});
  const input = el("input", {
    id, type: "text", role: "combobox", autocomplete: "off", spellcheck: "false", placeholder: "part of a name",
    "aria-expanded": "false", "aria-controls": `${id}-list`, "aria-autocomplete": "list",
  });
  const clear = el("button", {type: "button", "aria-label": `Clear ${label}`, onclick: () => choose(null)}, "×");

  function close() {
    list.hidden = true;
    active = -1;
    input.setAttribute("aria-expanded", "false");
    input.removeAttribute("aria-activedescendant");
  }

  function open() {
    const wanted = input.value.trim().toLowerCase();
    const every = !wanted || (chosen !== null && wanted === lower[chosen]);
    const all = [];
    lower.forEach((name, k) => { if (every || name.includes(wanted)) all.push(k); });
    matches = all.slice(0, MOST);
    active = matches.length ? 0 : -1;
    const items = matches.map((k, at) => el("li", {
      id: `${id}-${at}`, role: "option", "aria-selected": at === active, onpointerdown: (event) => {
        event.preventDefault();
        choose(k);
      },
    }, options[k]));
    if (!all.length) items.push(el("li", {class: "more", role: "presentation"}, "no such point"));
    if (all.length > MOST) items.push(el("li", {class: "more", role: "presentation"}, `and ${all.length - MOST} more; type on`));
    list.replaceChildren(...items);
    list.hidden = false;
    input.setAttribute("aria-expanded", "true");
    mark();
  }

  function mark() {
    matches.forEach((_, at) => list.children[at].setAttribute("aria-selected", String(at === active)));
    if (active < 0) return;
    input.setAttribute("aria-activedescendant", `${id}-${active}`);
    list.children[active].scrollIntoView({block: "nearest"});
  }

  function choose(k) {
    show(k);
    onChoose(k);
  }

  function show(k) {
    chosen = k;
    input.value = k === null ? "" : options[k];
    close();
  }

  input.addEventListener("input", open);
  input.addEventListener("click", open);
  input.addEventListener("blur", () => show(chosen));
  input.addEventListener("keydown", (event) => {
    const steps = {ArrowDown: 1, ArrowUp: -1}[event.key];
    if (steps) {
      event.preventDefault();
      if (list.hidden) open();
      else if (matches.length) {
        active = (active + steps + matches.length) % matches.length;
        mark();
      }
    } else if (event.key === "Enter" && !list.hidden && active >= 0) {
      event.preventDefault();
      choose(matches[active]);
    } else if (event.key === "Escape" && !list.hidden) {
      event.preventDefault();
      show(chosen);
    }
  });
  const element = el("div", {class: "pick"}, el("label", {for: id}, label), el("div", {class: "row"}, input, clear), list);
  return {element, show};
}
