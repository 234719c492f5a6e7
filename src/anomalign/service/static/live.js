/** What happens meanwhile: the service's events, and a mark in the page's head that says whether they come.

    A browser opens six connections to a host and no more, and events keep one: only a page that is seen listens. */
import { byId } from "./dom.js";

/** Calls `heard(kind, data)` for "inspection", "decision" and "bank", and `again()` where some may have been missed:
    when a broken connection is back, and when the page is seen again. */
export function listen(heard, again) {
  const mark = byId("live");
  let source = null;
  let missed = false;

  function open() {
    const opened = (source = new EventSource("/api/events"));
    mark.textContent = "connecting";
    mark.className = "live";
    opened.addEventListener("open", () => {
      mark.textContent = "live";
      mark.className = "live on";
      if (missed) again();
      missed = false;
    });
    opened.addEventListener("error", () => {
      missed = true;
      mark.textContent = "not connected";
      mark.className = "live off";
      if (opened.readyState === EventSource.CLOSED) setTimeout(attend, 5000);
    });
    for (const kind of ["inspection", "decision", "bank"]) {
      opened.addEventListener(kind, (event) => heard(kind, JSON.parse(event.data)));
    }
  }

  function close() {
    source?.close();
    missed = true;
  }

  function attend() {
    if (document.hidden) close();
    else if (!source || source.readyState === EventSource.CLOSED) open();
  }

  mark.hidden = false;
  document.addEventListener("visibilitychange", attend);
  addEventListener("pagehide", close, { once: true });
  addEventListener("pageshow", (event) => event.persisted && location.reload(), { once: true }); // kept aside meanwhile
  attend();
}
