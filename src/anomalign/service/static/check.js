/** The card that says which synthetic defects a bank finds. */
import { api, get, post } from "./api.js";
import { byId, fill, h, s, say } from "./dom.js";
import { count, share, when } from "./words.js";

const POLL_MS = 1000;
const RETRY_MS = 5000; // when the service cannot be reached

export class CheckCard {
  #path;
  #place = byId("check");
  #timer = 0;
  #drawn = ""; // the answer that the card shows

  constructor(bank) {
    this.#path = api`/api/banks/${bank}/check`;
  }

  async load() {
    this.#draw(await get(this.#path));
  }

  async #start() {
    byId("check-title").focus(); // the button goes away
    try {
      this.#draw(await post(this.#path));
    } catch (error) {
      this.#draw({ state: "failed", error: error.message });
    }
  }

  async #poll() {
    try {
      await this.load();
      if (JSON.parse(this.#drawn).state !== "running") say("The check has ended");
    } catch {
      this.#wait(RETRY_MS);
    }
  }

  #wait(ms) {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#poll(), ms);
  }

  #draw(check) {
    clearTimeout(this.#timer);
    if (check.state === "running") this.#wait(POLL_MS);
    const answer = JSON.stringify(check);
    if (answer === this.#drawn) return;
    this.#drawn = answer;
    fill(this.#place, this.#content(check));
  }

  #content(check) {
    if (check.state === "done") return result(check);
    if (check.state === "running") return progress(check);
    const failed = check.state === "failed";
    return [
      failed ? h("p", { class: "bad", role: "alert" }, check.error) : null,
      h(
        "p",
        { class: "quiet" },
        "Small defects are drawn into normal images. Each such image is inspected as if its normal image were not in the bank. ",
        "This takes a minute or longer; inspections come first.",
      ),
      h(
        "button",
        { type: "button", class: "button", onclick: () => this.#start() },
        failed ? "Try again" : "Check this bank",
      ),
    ];
  }
}

function progress({ done, total }) {
  if (!total) return h("p", { class: "working" }, "The check begins\u2026");
  const words = `${count(done)} of ${count(total)} defects are judged\u2026`;
  return [
    h("p", { class: "check-progress" }, h("progress", { max: total, value: done, "aria-label": "Check" }), words),
    h("p", { class: "quiet" }, "You may leave this page. The check is abandoned if the bank or its target rate changes."),
  ];
}

function result({ power, time }) {
  return [
    h("div", { class: "check-result" }, table(power), h("ul", {}, power.findings.map((text) => h("li", {}, text)))),
    power.notes.map((text) => h("p", { class: "quiet" }, text)),
    h(
      "p",
      { class: "quiet" },
      "Time of the check: ",
      h("time", { datetime: time }, when(time)),
      ". No real defect was seen.",
    ),
  ];
}

function table({ table: cells, target_fpr }) {
  const kinds = [...new Map(cells.map((cell) => [cell.kind, cell.name]))];
  const sizes = [...new Map(cells.map((cell) => [cell.size, cell.size_px]))];
  const head = sizes.map(([size, px]) => h("th", { scope: "col" }, `${Math.round(px)}\u00a0px`, h("br"), share(size)));
  const rows = kinds.map(([kind, name]) =>
    h("tr", {}, h("th", { scope: "row" }, name), cells.filter((cell) => cell.kind === kind).map(cellOf)),
  );
  return h(
    "div",
    { class: "check-table", tabindex: 0, role: "region", "aria-labelledby": "check-caption" },
    h(
      "table",
      {},
      h("caption", { id: "check-caption" }, `Share of synthetic defects found, at ${share(target_fpr)} false alarms`),
      h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "size", h("br"), "of the shorter side"), head)),
      h("tbody", {}, rows),
    ),
  );
}

function cellOf({ found, defects, interval: [low, high] }) {
  if (!defects) return h("td", { title: "none could be drawn so that it is seen" }, "\u2013");
  const percent = Math.round((100 * found) / defects);
  return h(
    "td",
    { title: `${found} of ${defects}; 95\u00a0% interval ${share(low)} to ${share(high)}` },
    `${percent}\u00a0%`,
    s(
      "svg",
      { viewBox: "0 0 100 6", preserveAspectRatio: "none", "aria-hidden": "true" },
      s("rect", { width: 100, height: 6 }),
      s("rect", { class: "part", width: percent, height: 6 }),
    ),
  );
}
