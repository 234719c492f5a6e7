/** The contact sheet of normal images, and those that are chosen from it. */
import { api, get, query } from "./api.js";
import { byId, h, say } from "./dom.js";
import { fileName, oneIn, several } from "./words.js";

const PAGE = 60;

/** Fills the sheet of a bank; `choosable` where images may be removed. `load` draws it anew. */
export class Sheet {
  constructor(bank, choosable) {
    this.bank = bank;
    this.choosable = choosable;
    this.chosen = new Set();
    this.next = 0;
    this.asked = 0; // requests; the answer to any but the latest is dropped
    byId("more").addEventListener("click", () => this.more());
    byId("choose-none").addEventListener("click", () => this.none());
    for (const radio of document.querySelectorAll("input[name=order]"))
      radio.addEventListener("change", () => this.load());
    byId("sheet").addEventListener("change", (event) => {
      const id = Number(event.target.value);
      if (event.target.checked) this.chosen.add(id);
      else this.chosen.delete(id);
      this.#count();
    });
  }

  async load() {
    this.next = 0;
    byId("sheet").replaceChildren();
    await this.more();
  }

  async more() {
    const order = document.querySelector("input[name=order]:checked").value;
    const request = ++this.asked;
    const page = await get(api`/api/banks/${this.bank}/images` + query({ order, after: this.next, limit: PAGE }));
    if (request !== this.asked) return;
    this.next = page.next;
    byId("more").hidden = page.next === null;
    byId("sheet-title").textContent = `${several(page.total, "normal image")}`;
    byId("sheet").append(...page.images.map((image) => this.#tile(image)));
  }

  none() {
    this.chosen.clear();
    for (const box of byId("sheet").querySelectorAll("input:checked")) box.checked = false;
    this.#count();
  }

  #count() {
    const n = this.chosen.size;
    byId("chosen").hidden = n === 0;
    byId("chosen").firstElementChild.textContent = `${several(n, "image")} chosen`;
    if (!n) say("No image chosen");
  }

  #tile(image) {
    const name = fileName(image.name);
    const p =
      image.p_value === null
        ? "not scored"
        : image.p_value > 0.2
          ? "ordinary"
          : `${oneIn(image.p_value)} is as unusual`;
    const inside = [
      h("img", {
        src: api`/api/banks/${this.bank}/images/${image.id}/preview.jpg`,
        alt: "",
        loading: "lazy",
        decoding: "async",
        width: 160,
        height: Math.round((160 * image.height) / image.width),
      }),
      h("span", { class: "sheet-name", title: image.name }, `${image.id}: ${name}`),
      h("span", { class: "quiet" }, p),
      image.contaminated ? h("span", { class: "badge false_alarm" }, "unlike the others") : null,
      image.duplicate ? h("span", { class: "badge" }, image.reasons.split("; ").at(-1)) : null,
      h("span", { class: "quiet" }, image.used ? `used ${several(image.used, "time")}` : "not used yet"),
    ].filter(Boolean);
    if (!this.choosable) return h("li", {}, h("div", { class: "sheet-tile" }, inside));
    const box = h("input", { type: "checkbox", value: image.id, "aria-label": `Choose image ${image.id}, ${name}` });
    box.checked = this.chosen.has(image.id);
    return h("li", {}, h("label", { class: "sheet-tile" }, box, inside));
  }
}
