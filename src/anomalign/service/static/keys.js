/** One key for one thing, and a list of them for who asks with "?". */
import { byId, h } from "./dom.js";

const bound = new Map();

/** Bind keys: `{keys: ["d"], does: "defect", run}`. `shown` is what the list says instead of the keys. */
export function bind(...bindings) {
  const list = byId("help").querySelector("dl");
  for (const binding of bindings) {
    for (const key of binding.keys) bound.set(key, binding.run);
    const shown = binding.shown ?? binding.keys;
    if (binding.does)
      list.append(
        h(
          "div",
          {},
          h(
            "dt",
            {},
            shown.map((key) => h("kbd", {}, key)),
          ),
          h("dd", {}, binding.does),
        ),
      );
  }
}

const UNTYPED = ["range", "file", "checkbox", "radio", "button", "submit"];

function typing(target) {
  if (target.matches("textarea, select, [contenteditable]")) return true;
  return target.matches("input") && !UNTYPED.includes(target.type);
}

/** A slider and a choice of several move by arrow keys themselves. */
const moves = (event) => event.key.startsWith("Arrow") && event.target.matches("input[type=range], input[type=radio]");

document.addEventListener("keydown", (event) => {
  if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
  if (document.querySelector("dialog[open]") || typing(event.target) || moves(event)) return;
  const run = bound.get(event.key) ?? bound.get(event.key.toLowerCase());
  if (run && run(event) !== false) event.preventDefault();
});

const help = byId("help");
const open = byId("help-open");
if (open) {
  open.hidden = false;
  open.addEventListener("click", () => help.showModal());
  bind({ keys: ["?"], does: "this list", run: () => help.showModal() });
}
