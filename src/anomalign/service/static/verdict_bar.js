/** A bar of the last hundred verdicts: anomalous ones are red and high, normal ones green and low. */
import { fill, h, s } from "./dom.js";
import { number, verdictName } from "./words.js";

const [SLOTS, SLOT, HEIGHT, LOW] = [100, 4, 44, 16];

export class VerdictBar {
  constructor() {
    this.verdicts = [];
    this.place = null; // index of the selected verdict
    this.svg = s("svg", { viewBox: `0 0 ${SLOTS * SLOT} ${HEIGHT}`, preserveAspectRatio: "none", "aria-hidden": "true" });
    this.plot = h(
      "div",
      {
        class: "verdict-bar",
        tabindex: 0,
        role: "application",
        onpointermove: (event) => this.select(this.placeAt(event)),
        onpointerleave: () => this.select(null),
        onclick: (event) => this.open(this.placeAt(event)),
        onkeydown: (event) => this.onKey(event),
        onblur: () => this.select(null),
      },
      this.svg,
    );
    this.text = h("p", { class: "verdict-text quiet", role: "status" });
    this.element = h("div", {}, this.plot, this.text);
  }

  update({ name, verdicts }) {
    const selected = this.verdicts[this.place]?.record;
    this.verdicts = verdicts;
    this.plot.setAttribute(
      "aria-label",
      `Last verdicts of ${name}, ${this.summary()}. The left and right arrow keys select one, Enter opens it.`,
    );
    const place = verdicts.findIndex((verdict) => verdict.record === selected);
    this.select(place < 0 ? null : place);
  }

  summary() {
    const anomalous = this.verdicts.filter(({ verdict }) => verdict === "anomalous").length;
    if (!this.verdicts.length) return "no verdict yet";
    return `${this.verdicts.length === 1 ? "1 image" : `last ${this.verdicts.length} images`}: ${anomalous} anomalous`;
  }

  draw() {
    const first = SLOTS - this.verdicts.length;
    fill(
      this.svg,
      this.verdicts.map(({ verdict }, i) => {
        const height = verdict === "anomalous" ? HEIGHT : LOW;
        const is = this.place === i ? " selected" : "";
        return s("rect", { class: verdict + is, x: (first + i) * SLOT, y: HEIGHT - height, width: SLOT - 1, height });
      }),
    );
  }

  select(place) {
    this.place = place;
    const chosen = this.verdicts[place];
    this.draw();
    this.text.textContent = chosen
      ? `${verdictName(chosen.verdict)}, score ${number(chosen.image_score)}, ${new Date(chosen.time).toLocaleTimeString("en-GB")}`
      : this.summary();
  }

  placeAt(event) {
    const box = this.plot.getBoundingClientRect();
    const slot = Math.min(SLOTS - 1, Math.floor(((event.clientX - box.left) / box.width) * SLOTS));
    const place = slot - (SLOTS - this.verdicts.length);
    return place >= 0 ? place : null;
  }

  open(place) {
    const chosen = this.verdicts[place];
    if (chosen) location.assign(`/inspections/${chosen.record}`);
  }

  onKey(event) {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (step && this.verdicts.length) {
      const last = this.verdicts.length - 1;
      this.select(this.place === null ? last : Math.min(last, Math.max(0, this.place + step)));
    } else if (event.key === "Enter") this.open(this.place);
    else return;
    event.preventDefault();
  }
}
