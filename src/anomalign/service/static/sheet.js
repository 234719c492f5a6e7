/** The contact sheet of normal images, and the selection of some of them. */
import { api, get, query } from "./api.js";
import { byId, h, say } from "./dom.js";
import { fileName, oneIn, several } from "./words.js";

const PAGE = 60;

/** The sheet of a bank. Images can be selected where `selectable`. `load` draws it again from the start. */
export class Sheet {
  constructor(bank, selectable) {
    this.bank = bank;
    this.selectable = selectable;
    this.selectedIds = new Set();
    this.next = 0;
    this.latestRequest = 0; // an answer to an older request is dropped
    byId("more").addEventListener("click", () => this.more());
    byId("clear-selection").addEventListener("click", () => this.clearSelection());
    for (const radio of document.querySelectorAll("input[name=order]"))
      radio.addEventListener("change", () => this.load());
    byId("sheet").addEventListener("change", (event) => {
      const id = Number(event.target.value);
      if (event.target.checked) this.selectedIds.add(id);
      else this.selectedIds.delete(id);
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
    const request = ++this.latestRequest;
    const page = await get(api`/api/banks/${this.bank}/images` + query({ order, after: this.next, limit: PAGE }));
    if (request !== this.latestRequest) return;
    this.next = page.next;
    byId("more").hidden = page.next === null;
    byId("sheet-title").textContent = `${several(page.total, "normal image")}`;
    byId("sheet").append(...page.images.map((image) => this.#tile(image)));
  }

  clearSelection() {
    this.selectedIds.clear();
    for (const box of byId("sheet").querySelectorAll("input:checked")) box.checked = false;
    this.#count();
  }

  #count() {
    const n = this.selectedIds.size;
    byId("selection").hidden = n === 0;
    byId("selection").firstElementChild.textContent = `${several(n, "image")} selected`;
    if (!n) say("No image selected");
  }

  #tile(image) {
    const name = fileName(image.name);
    const p =
      image.p_value === null ? "not scored" : image.p_value > 0.2 ? "typical" : `rarity ${oneIn(image.p_value)}`;
    const content = [
      h("img", {
        src: api`/api/banks/${this.bank}/images/${image.id}/preview.jpg?part=1&width=320&height=320`,
        alt: "",
        loading: "lazy",
        decoding: "async",
        width: 160,
        height: Math.round((160 * image.height) / image.width),
      }),
      h("span", { class: "sheet-name", title: image.name }, `${image.id}: ${name}`),
      h("span", { class: "quiet" }, p),
      image.contaminated ? h("span", { class: "badge false_alarm" }, "mislabelled?") : null,
      image.duplicate ? h("span", { class: "badge" }, image.reasons.split("; ").at(-1)) : null,
      h("span", { class: "quiet" }, image.used ? `used in ${several(image.used, "inspection")}` : "not used yet"),
    ].filter(Boolean);
    if (!this.selectable) return h("li", {}, h("div", { class: "sheet-tile" }, content));
    const box = h("input", { type: "checkbox", value: image.id, "aria-label": `Select image ${image.id}, ${name}` });
    box.checked = this.selectedIds.has(image.id);
    return h("li", {}, h("label", { class: "sheet-tile" }, box, content));
  }
}
