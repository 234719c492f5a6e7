/** What happens meanwhile: the service's events, and a mark in the page's head that says whether they come. */
import { byId } from "./dom.js";

/** Calls `heard(kind, data)` for "inspection", "decision" and "bank", and `again()` when a broken connection is back. */
export function listen(heard, again = () => {}) {
  const mark = byId("live");
  let broken = false;
  const source = new EventSource("/api/events");
  mark.hidden = false;
  mark.textContent = "connecting";
  source.addEventListener("open", () => {
    mark.textContent = "live";
    mark.className = "live on";
    if (broken) again();
    broken = false;
  });
  source.addEventListener("error", () => {
    broken = true;
    mark.textContent = "not connected";
    mark.className = "live off";
    if (source.readyState === EventSource.CLOSED) setTimeout(() => retry(heard, again), 5000);
  });
  for (const kind of ["inspection", "decision", "bank"]) {
    source.addEventListener(kind, (event) => heard(kind, JSON.parse(event.data)));
  }
  addEventListener("pagehide", () => source.close(), { once: true });
  addEventListener("pageshow", (event) => event.persisted && location.reload(), { once: true }); // kept aside meanwhile
}

function retry(heard, again) {
  again();
  listen(heard, again);
}
