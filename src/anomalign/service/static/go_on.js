/** After a decision: on to the next undecided inspection of the queue. A setting, kept in the browser. */
import { byId, h } from "./dom.js";
import { isInQueue, markDecided, nextUndecided } from "./saved_queue.js";

const OFF = "anomalign.stay"; // set: a decision stays on its page
const DECIDED = "anomalign.decided"; // what the page before this one decided

/** Show the setting, if the inspection is one of the queue, and what was decided on the page before. */
export function offerGoingOn(id) {
  const box = byId("go-on");
  box.closest("label").hidden = !isInQueue(id);
  box.checked = localStorage.getItem(OFF) === null;
  box.addEventListener("change", () => {
    if (box.checked) localStorage.removeItem(OFF);
    else localStorage.setItem(OFF, "1");
  });
  const before = JSON.parse(sessionStorage.getItem(DECIDED));
  sessionStorage.removeItem(DECIDED);
  if (before?.next !== id) return;
  const link = h("a", { href: `/inspections/${before.id}` }, "Back to it");
  byId("before").replaceChildren(h("span", { class: "name" }, before.text), " ", link);
  byId("before").hidden = false;
}

/** Go to the next undecided inspection, where that is wanted. `text` says there what was decided here. */
export async function goOn(id, text) {
  markDecided(id, true);
  if (!byId("go-on").checked || !isInQueue(id)) return;
  const next = await nextUndecided(id);
  if (next === null) {
    byId("before").textContent = "No undecided image is left in this queue.";
    byId("before").hidden = false;
    return;
  }
  sessionStorage.setItem(DECIDED, JSON.stringify({ id, next, text }));
  location.assign(`/inspections/${next}`);
}
