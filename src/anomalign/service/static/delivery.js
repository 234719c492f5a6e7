/** The receivers of verdicts: what waits for each, and how the latest attempts went. */
import { get } from "./api.js";
import { byId, fill, h, show } from "./dom.js";
import "./keys.js";

const EVERY_MS = 2000;
const STATES = {
  delivering: ["delivers", "pill normal"],
  failing: ["fails", "pill anomalous"],
  elsewhere: ["another service delivers", "badge"],
  "not configured": ["not configured", "badge"],
};

async function refresh() {
  try {
    const { receivers } = await get("/api/delivery");
    fill(byId("rows"), receivers.map(row));
    byId("table").hidden = !receivers.length;
    show(byId("state"), receivers.length ? "" : "No receiver is configured, and no verdict waits.");
  } catch (error) {
    show(byId("state"), error.message);
  }
}

function row(one) {
  const [word, kind] = STATES[one.state];
  return h(
    "tr",
    {},
    h("td", { class: "name" }, one.receiver, problem(one)),
    h("td", {}, h("span", { class: kind }, word)),
    h("td", { class: "count" }, one.pending.toLocaleString("en-GB")),
    h("td", { class: "nowrap" }, moment(one.oldest)),
    h("td", { class: "count" }, one.delivered.toLocaleString("en-GB")),
    h("td", { class: "nowrap" }, moment(one.delivered_at)),
  );
}

/** Why it fails, since when, and when it is tried again. */
function problem({ state, error, failing_since, next_try }) {
  if (state === "not configured") {
    return h("div", { class: "quiet" }, "What waits is kept. ", h("kbd", {}, "anomalign delivery drop"), " deletes it.");
  }
  if (!error) return null;
  const next = next_try ? ["; next try ", moment(next_try)] : [];
  return h("div", { class: "problem" }, error, h("div", { class: "quiet" }, "since ", moment(failing_since), next));
}

/** A time; without the day if it is today. */
function moment(time) {
  if (!time) return "\u2013";
  const date = new Date(time);
  const isToday = date.toDateString() === new Date().toDateString();
  return h("time", { datetime: time }, isToday ? date.toLocaleTimeString("en-GB") : date.toLocaleString("en-GB"));
}

await refresh();
setInterval(() => document.hidden || refresh(), EVERY_MS);
