/** The strip of normal images that the inspected image was compared with. */
import { api, query } from "./api.js";
import { closeUp, sameIn } from "./close_up.js";
import { byId, fill, h } from "./dom.js";
import { shares } from "./matches.js";
import { fileName, share } from "./words.js";

/** Draw the strip, images with the most matches first. `choose(id)` is called when one is pressed. Returns the ids in
    this order. */
export function drawStrip(record, matches, choose) {
  const part = closeUp(record);
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
        h("img", { src: pictureOf(normal, record, part), alt: "", draggable: "false" }),
        h("span", { class: "name" }, fileName(normal.name)),
        h("span", { class: "quiet" }, share(parts[i])),
      );
    }),
  );
  byId("strip-title").textContent = `Compared with ${matches.neighbours.length} normal images`;
  byId("strip-note").textContent = "%: share of places with their best match in this image; highest first";
  return order.map((i) => matches.neighbours[i].id);
}

/** Of a long image the part where the inspected one is worst. */
function pictureOf(normal, record, part) {
  const isGone = record.neighbours.some(({ id, gone }) => id === normal.id && gone);
  const box = part && !isGone ? sameIn(normal, record, part).join() : null;
  return api`/api/banks/${record.bank}/images/${normal.id}/preview.jpg` + query({ part: 1, box, width: 208, height: 160 });
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
