/** The strip of normal images that the inspected image was compared with. */
import { api } from "./api.js";
import { byId, fill, h } from "./dom.js";
import { shares } from "./matches.js";
import { fileName, share } from "./words.js";

/** Draw the strip, images with the most matches first. `choose(id)` is called when one is pressed. Returns the ids in
    this order. */
export function drawStrip(bank, matches, choose) {
  const parts = shares(matches);
  const order = parts.map((_, i) => i).sort((a, b) => parts[b] - parts[a]); // equal ones: the most similar first
  fill(
    byId("strip"),
    order.map((i) => {
      const normal = matches.neighbours[i];
      return h(
        "button",
        {
          type: "button",
          "data-id": normal.id,
          "aria-pressed": "false",
          title: `${normal.name}: best match for ${share(parts[i])} of all places`,
          onclick: () => choose(normal.id),
        },
        h("img", { src: api`/api/banks/${bank}/images/${normal.id}/preview.jpg?part=1&width=208&height=160`, alt: "", draggable: "false" }),
        h("span", { class: "name" }, fileName(normal.name)),
        h("span", { class: "quiet" }, share(parts[i])),
      );
    }),
  );
  byId("strip-title").textContent = `Compared with ${matches.neighbours.length} normal images`;
  byId("strip-note").textContent = "%: share of places with their best match in this image; highest first";
  return order.map((i) => matches.neighbours[i].id);
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
