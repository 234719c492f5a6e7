/** Keyboard shortcuts, and the list of them that "?" opens. */
import { byId, h } from "./dom.js";

const actions = new Map();

/** Bind keys: `{keys: ["d"], does: "defect", run}`. The list shows `labels` instead of `keys`, if they are given. */
export function bind(...bindings) {
  const list = byId("help").querySelector("dl");
  for (const binding of bindings) {
    for (const key of binding.keys) actions.set(key, binding.run);
    const labels = binding.labels ?? binding.keys;
    if (binding.does)
      list.append(
        h(
          "div",
          {},
          h(
            "dt",
            {},
            labels.map((key) => h("kbd", {}, key)),
          ),
          h("dd", {}, binding.does),
        ),
      );
  }
}

const NOT_TYPED_INTO = ["range", "file", "checkbox", "radio", "button", "submit"];

function isTextField(target) {
  if (target.matches("textarea, select, [contenteditable]")) return true;
  return target.matches("input") && !NOT_TYPED_INTO.includes(target.type);
}

/** Sliders and radio buttons use the arrow keys themselves. */
const usesArrows = (event) =>
  event.key.startsWith("Arrow") && event.target.matches("input[type=range], input[type=radio]");

document.addEventListener("keydown", (event) => {
  if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
  if (document.querySelector("dialog[open]") || isTextField(event.target) || usesArrows(event)) return;
  const run = actions.get(event.key) ?? actions.get(event.key.toLowerCase());
  if (run && run(event) !== false) event.preventDefault();
});

const help = byId("help");
const open = byId("help-open");
if (open) {
  open.hidden = false;
  open.addEventListener("click", () => help.showModal());
  bind({ keys: ["?"], does: "show this list", run: () => help.showModal() });
}
