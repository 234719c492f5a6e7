/** The strip of normal images that the inspected image was compared with. */
import { api } from "./api.js";
import { byId, fill, h } from "./dom.js";
import { shares } from "./matches.js";
import { fileName, share } from "./words.js";

/** Draw the strip. `choose(id)` is called when one is pressed. */
export function drawStrip(bank, matches, choose) {
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
          title: `${normal.name}: best match for ${share(parts[i])} of all places`,
          onclick: () => choose(normal.id),
        },
        h("img", { src: api`/api/banks/${bank}/images/${normal.id}/preview.jpg?part=1`, alt: "", draggable: "false" }),
        h("span", { class: "name" }, fileName(normal.name)),
        h("span", { class: "quiet" }, share(parts[i])),
      ),
    ),
  );
  byId("strip-title").textContent = `Compared with ${matches.neighbours.length} normal images`;
  byId("strip-note").textContent = "most similar first; %: share of places with their best match in this image";
}

/** Mark the image that holds the match of the place under the cross-hair. */
export function markMatch(normal) {
  for (const button of byId("strip").children) button.classList.toggle("matched", Number(button.dataset.id) === normal);
}

/** Mark the only image that is compared with; null: all are compared with. */
export function markOnly(normal) {
  for (const button of byId("strip").children)
    button.setAttribute("aria-pressed", String(Number(button.dataset.id) === normal));
  byId("all").hidden = normal === null;
  byId("there-title").textContent = normal === null ? "Matched with" : "Compared only with";
}
