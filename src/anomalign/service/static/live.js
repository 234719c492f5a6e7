/** Events of the service, and a mark in the page's header that shows whether the page is connected.

    A browser opens at most six connections to a host, and each event stream keeps one: only a visible page listens. */
import { byId } from "./dom.js";

/** Calls `onEvent(kind, data)` for events of these kinds; "camera" is a further one. Calls `onReconnect()` when events may have been
    missed: after a broken connection, and when the page becomes visible again. */
export function listen(onEvent, onReconnect, kinds = ["inspection", "decision", "bank"]) {
  const mark = byId("live");
  let source = null;
  let mayHaveMissed = false;

  function open() {
    const stream = (source = new EventSource("/api/events"));
    mark.textContent = "connecting";
    mark.className = "live";
    stream.addEventListener("open", () => {
      mark.textContent = "live";
      mark.className = "live on";
      if (mayHaveMissed) onReconnect();
      mayHaveMissed = false;
    });
    stream.addEventListener("error", () => {
      mayHaveMissed = true;
      mark.textContent = "not connected";
      mark.className = "live off";
      if (stream.readyState === EventSource.CLOSED) setTimeout(openIfVisible, 5000);
    });
    for (const kind of kinds) {
      stream.addEventListener(kind, (event) => onEvent(kind, JSON.parse(event.data)));
    }
  }

  function close() {
    source?.close();
    mayHaveMissed = true;
  }

  function openIfVisible() {
    if (document.hidden) close();
    else if (!source || source.readyState === EventSource.CLOSED) open();
  }

  mark.hidden = false;
  document.addEventListener("visibilitychange", openIfVisible);
  addEventListener("pagehide", close, { once: true });
  // The browser may restore a page from its cache, with old data.
  addEventListener("pageshow", (event) => event.persisted && location.reload(), { once: true });
  openIfVisible();
}
