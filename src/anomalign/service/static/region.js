/** The card of the region of interest: which part of the images counts, and a rectangle to draw for a new bank. */
import { api, get, query } from "./api.js";
import { byId, fill, h, s, say } from "./dom.js";

const LEAST = 2; // pixels of the screen; less is a click, not a rectangle
const HIGHEST = 420; // pixels of the screen
const WIDEST = 640;

export class RegionCard {
  #bank;
  #place = byId("region");
  #image = null; // the oldest normal image, which is drawn on
  #drawnFor = ""; // the bank's region and image that the card shows
  #shade = s("path", { class: "shade", "fill-rule": "evenodd" });
  #frame = s("rect", { class: "frame-line" });
  #numbers = null;
  #command = null;

  constructor(bank) {
    this.#bank = bank;
  }

  /** Show the region of a bank, and its oldest image. */
  async load({ region }) {
    const page = await get(api`/api/banks/${this.#bank}/images` + query({ order: "id", limit: 1 }));
    const [image] = page.images;
    const now = JSON.stringify([region, image.id]);
    if (now === this.#drawnFor) return;
    this.#drawnFor = now;
    this.#image = image;
    fill(this.#place, this.#picture(), this.#words(region));
    this.#show(region);
  }

  #picture() {
    const { id, height, width } = this.#image;
    const preview = api`/api/banks/${this.#bank}/images/${id}/preview.jpg`;
    const drawing = s("svg", { viewBox: `0 0 ${width} ${height}`, "aria-hidden": "true" }, this.#shade, this.#frame);
    const image = h("img", { src: preview, alt: "", draggable: "false" });
    const picture = h("div", { class: "region-picture" }, image, drawing);
    picture.style.aspectRatio = `${width} / ${height}`;
    picture.style.width = `${Math.min(Math.round((HIGHEST * width) / height), WIDEST)}px`;
    this.#follow(picture);
    return picture;
  }

  #words(region) {
    this.#numbers = h("input", {
      type: "text",
      id: "region-numbers",
      autocomplete: "off",
      placeholder: "y,x,h,w",
      "aria-describedby": "region-help",
      oninput: () => this.#typed(),
    });
    this.#command = h("code", { class: "region-command", hidden: true });
    return h(
      "div",
      {},
      h("p", {}, describe(region)),
      h(
        "p",
        { class: "quiet", id: "region-help" },
        "The region of a bank never changes. For a new bank, draw a rectangle around the part, or type the first row, the first column, the height and the width in pixels. Nothing is saved here: give the option to the command that makes the bank.",
      ),
      h("label", { class: "field" }, "Region ", this.#numbers),
      this.#command,
    );
  }

  /** Draw with a pointer: from the place where it goes down to where it goes up. */
  #follow(picture) {
    let start = null;
    const place = (event) => {
      const box = picture.getBoundingClientRect();
      const share = (value, from, length) => Math.min(Math.max((value - from) / length, 0), 1);
      return [share(event.clientY, box.top, box.height), share(event.clientX, box.left, box.width)];
    };
    const draw = (event) => {
      const [[y1, x1], [y2, x2]] = [start, place(event)];
      const box = picture.getBoundingClientRect();
      if (Math.abs(y2 - y1) * box.height < LEAST || Math.abs(x2 - x1) * box.width < LEAST) return;
      const { height, width } = this.#image;
      const [top, bottom] = [y1, y2].sort((a, b) => a - b).map((y) => Math.round(y * height));
      const [left, right] = [x1, x2].sort((a, b) => a - b).map((x) => Math.round(x * width));
      if (bottom > top && right > left)
        this.#propose({ y: top, x: left, height: bottom - top, width: right - left }, true);
    };
    picture.addEventListener("pointerdown", (event) => {
      if (!event.isPrimary || event.button !== 0) return;
      picture.setPointerCapture(event.pointerId);
      start = place(event);
    });
    picture.addEventListener("pointermove", (event) => {
      if (start && event.isPrimary) draw(event);
    });
    picture.addEventListener("pointerup", (event) => {
      if (!start || !event.isPrimary) return;
      draw(event);
      start = null;
      if (!this.#command.hidden) say(this.#command.textContent);
    });
    picture.addEventListener("pointercancel", () => {
      start = null;
    });
  }

  #typed() {
    const found = this.#numbers.value.match(/^\s*(\d+)\s*,\s*(\d+)\s*,\s*(\d+)\s*,\s*(\d+)\s*$/);
    const [y, x, height, width] = found ? found.slice(1).map(Number) : [];
    const fits = found && height > 0 && width > 0 && y + height <= this.#image.height && x + width <= this.#image.width;
    this.#numbers.setAttribute("aria-invalid", String(!fits && this.#numbers.value !== ""));
    this.#propose(fits ? { y, x, height, width } : null, false);
  }

  #propose(rectangle, isDrawn) {
    this.#show(rectangle);
    const numbers = rectangle && [rectangle.y, rectangle.x, rectangle.height, rectangle.width].join(",");
    if (isDrawn) {
      this.#numbers.value = numbers;
      this.#numbers.setAttribute("aria-invalid", "false");
    }
    this.#command.hidden = !rectangle;
    this.#command.textContent = rectangle ? `anomalign fit NEW.bank NORMALS --region ${numbers}` : "";
  }

  /** Draw a rectangle { y, x, height, width }, in pixels of the image; what lies outside is shaded. Null: none. */
  #show(rectangle) {
    const { height: H, width: W } = this.#image;
    this.#frame.toggleAttribute("hidden", !rectangle);
    this.#shade.setAttribute("d", "");
    if (!rectangle) return;
    const { y, x, height, width } = rectangle;
    this.#shade.setAttribute("d", `M0 0H${W}V${H}H0ZM${x} ${y}h${width}v${height}h${-width}Z`);
    for (const [name, value] of Object.entries({ x, y, width, height })) this.#frame.setAttribute(name, value);
  }
}

function describe(region) {
  if (!region) return "This bank compares whole images.";
  const { y, x, height, width, mask } = region;
  const rows = `rows ${y} to ${y + height - 1}, columns ${x} to ${x + width - 1}`;
  return mask
    ? `In this bank a mask counts, within ${rows} of each image. What lies outside counts for nothing.`
    : `In this bank ${rows} of each image count (${[y, x, height, width].join(",")}). What lies outside counts for nothing.`;
}
