/** The strip of normal images that an image was compared with. */
import { api } from "./api.js";
import { byId, fill, h } from "./dom.js";
import { shares } from "./matches.js";
import { fileName, share } from "./words.js";

/** Draw it; `choose(id)` is called with the one that is pressed. */
export function strip(bank, matches, choose) {
  const parts = shares(matches);
  fill(
    byId("strip"),
    matches.neighbours.map((normal, i) =>
      h(
        "button",
        {
          type: "button",
          "data-id": normal.id,
          "aria-pressed": "false",
          title: `${normal.name}: the best match of ${share(parts[i])} of all places`,
          onclick: () => choose(normal.id),
        },
        h("img", { src: api`/api/banks/${bank}/images/${normal.id}/preview.jpg`, alt: "", draggable: "false" }),
        h("span", { class: "name" }, fileName(normal.name)),
        h("span", { class: "quiet" }, share(parts[i])),
      ),
    ),
  );
  byId("strip-title").textContent = `Compared with ${matches.neighbours.length} normal images`;
  byId("strip-note").textContent = "nearest first; the share of all places that each matches best";
}

/** Show in which the place under the cross-hair was found. */
export function found(normal) {
  for (const button of byId("strip").children) button.classList.toggle("matched", Number(button.dataset.id) === normal);
}

/** Show with which alone it is compared; null: with all. */
export function chosen(normal) {
  for (const button of byId("strip").children)
    button.setAttribute("aria-pressed", String(Number(button.dataset.id) === normal));
  byId("all").hidden = normal === null;
  byId("there-title").textContent = normal === null ? "Matched with" : "Compared alone with";
}
