/** The tile of one camera: its picture, its state, its last verdict and a bar of the last hundred. */
import { api, post } from "./api.js";
import { fill, h, say, show } from "./dom.js";
import { VerdictBar } from "./verdict_bar.js";
import { count, number, sentence, unusual, verdictName, when } from "./words.js";

const STATES = { connecting: "connecting", live: "live", lost: "lost", ended: "ended" };

/** Local time to the second; with the date where it is not today's. */
export function clock(iso) {
  const time = new Date(iso);
  const seconds = String(time.getSeconds()).padStart(2, "0");
  return `${when(iso)}:${seconds}`;
}

export class CameraTile {
  /** `onChange(camera)` is called with the state that the service answers with. */
  constructor(onChange) {
    this.onChange = onChange;
    this.camera = null;
    this.shownFrame = 0;
    this.isLoading = false;
    this.bar = new VerdictBar();
    this.name = h("h2", {});
    this.state = h("span", { class: "camera-state" });
    this.picture = h("img", { alt: "", hidden: true });
    this.noPicture = h("span", { class: "quiet" }, "no picture yet");
    this.link = h("a", { class: "camera-picture" }, this.picture, this.noPicture);
    this.trouble = h("p", { class: "camera-trouble", hidden: true });
    this.verdict = h("p", { class: "camera-verdict" });
    this.facts = h("p", { class: "camera-facts quiet" });
    this.problem = h("p", { class: "bad", role: "status", hidden: true });
    this.pause = h("button", { type: "button", class: "button", onclick: () => this.togglePause() });
    this.trigger = h("button", { type: "button", class: "button", onclick: () => this.inspect() }, "Inspect now");
    this.element = h(
      "li",
      { class: "camera card" },
      h("div", { class: "camera-head" }, this.name, this.state),
      h("div", { class: "camera-view" }, this.link, this.trouble),
      this.verdict,
      this.bar.element,
      this.facts,
      this.problem,
      h("div", { class: "camera-buttons" }, this.trigger, this.pause),
    );
  }

  update(camera) {
    this.camera = camera;
    this.name.textContent = camera.name;
    this.element.dataset.camera = camera.name;
    this.element.dataset.state = camera.state;
    this.element.classList.toggle("paused", camera.paused);
    this.state.textContent = camera.paused ? `${STATES[camera.state]}, paused` : STATES[camera.state];
    this.state.title = `since ${clock(camera.since)}`;
    show(this.trouble, trouble(camera));
    show(this.problem, camera.problem ? `Last trigger: ${camera.problem}` : "");
    this.pause.textContent = camera.paused ? "Resume" : "Pause";
    this.pause.title = camera.paused ? `paused by ${camera.paused_by} at ${clock(camera.paused_at)}` : "";
    this.pause.setAttribute("aria-label", `${this.pause.textContent} ${camera.name}`);
    this.trigger.setAttribute("aria-label", `Inspect a frame of ${camera.name} now`);
    this.trigger.disabled = camera.paused || camera.state !== "live";
    this.bar.update(camera);
    this.showVerdict(camera.verdicts.at(-1));
    this.showPicture();
    const facts = [
      camera.bank,
      camera.every_s ? `every ${number(camera.every_s)} s` : "",
      camera.topic ? `by topic ${camera.topic}` : camera.every_s ? "" : "by trigger",
      `${count(camera.inspected)} inspected`,
      camera.dropped ? `${count(camera.dropped)} dropped` : "",
      camera.missed ? `${count(camera.missed)} missed while lost` : "",
      camera.failed ? `${count(camera.failed)} failed` : "",
    ];
    this.facts.textContent = facts.filter(Boolean).join(" \u00b7 ");
    this.facts.title = `${camera.address}; ${count(camera.frames)} frames read`;
  }

  showVerdict(last) {
    if (!last) {
      this.link.removeAttribute("href");
      this.link.removeAttribute("aria-label");
      fill(this.verdict, h("span", { class: "quiet" }, "not inspected yet"));
      return;
    }
    this.link.href = `/inspections/${last.record}`;
    this.link.setAttribute("aria-label", `Open the last inspection of ${this.camera.name}`);
    const when = h("time", { class: "quiet", datetime: last.time }, clock(last.time));
    const pill = h("span", { class: `pill ${last.verdict}` }, verdictName(last.verdict));
    const score = h("span", { title: unusual(last.p_value) }, `score ${number(last.image_score)}`);
    fill(this.verdict, pill, score, when);
  }

  /** Load the newest picture, one at a time; the one before stays until it is there. */
  showPicture() {
    const { frames, name } = this.camera;
    if (!frames || frames === this.shownFrame || this.isLoading) return;
    this.isLoading = true;
    const next = new Image();
    const done = () => {
      this.isLoading = false;
      if (this.camera.frames !== frames) this.showPicture();
    };
    next.addEventListener("load", () => {
      this.shownFrame = frames;
      this.picture.src = next.src;
      this.picture.hidden = false;
      this.noPicture.hidden = true;
      done();
    });
    next.addEventListener("error", () => (this.isLoading = false)); // the next event tries again
    next.src = `${api`/api/cameras/${name}/picture.jpg`}?frame=${frames}`;
  }

  async togglePause() {
    const wasPaused = this.camera.paused;
    const ok = await this.send(wasPaused ? "resume" : "pause");
    if (ok) say(`${this.camera.name} ${wasPaused ? "resumed" : "paused"}`);
  }

  async inspect() {
    this.trigger.disabled = true;
    await this.send("trigger");
    this.trigger.disabled = this.camera.paused || this.camera.state !== "live";
  }

  async send(action) {
    try {
      const answer = await post(`${api`/api/cameras/${this.camera.name}`}/${action}`);
      show(this.problem, "");
      if (action !== "trigger") this.onChange(answer); // a trigger is told as an event
      return true;
    } catch (error) {
      show(this.problem, sentence(error.message));
      return false;
    }
  }
}

function trouble({ state, since, reason }) {
  if (state === "lost") return `Lost since ${clock(since)}: ${reason}. The service goes on trying.`;
  if (state === "ended") return `Ended at ${clock(since)}: ${reason}.`;
  return "";
}
