/** The queue as it was left, so that an inspection's page knows what comes before and after it, and the way back. */
import { get, query } from "./api.js";

const KEY = "anomalign.queue";

/** `filters`: what was asked for; `ids`: what was shown, in order; `next`: where the rest begins. */
export function leave(filters, ids, next) {
  sessionStorage.setItem(KEY, JSON.stringify({ filters, ids, next }));
}

function left() {
  try {
    return JSON.parse(sessionStorage.getItem(KEY)) ?? null;
  } catch {
    return null;
  }
}

/** Address of the queue, filtered as it was. */
export function wayBack() {
  return `/${query(left()?.filters ?? {})}`;
}

/** Inspections before and after one, each an id or null, and its place: `{previous, next, place, total, more}`. */
export async function around(id) {
  let trail = left();
  if (!trail?.ids.includes(id)) trail = await fresh();
  let place = trail.ids.indexOf(id);
  if (place === trail.ids.length - 1 && trail.next) trail = await further(trail);
  place = trail.ids.indexOf(id);
  if (place < 0)
    return {
      previous: null,
      next: trail.ids[0] ?? null,
      place: null,
      total: trail.ids.length,
      more: Boolean(trail.next),
    };
  return {
    previous: trail.ids[place - 1] ?? null,
    next: trail.ids[place + 1] ?? null,
    place: place + 1,
    total: trail.ids.length,
    more: Boolean(trail.next),
  };
}

async function fresh() {
  const page = await get(`/api/inspections${query({ order: "newest", limit: 100 })}`);
  return { filters: {}, ids: page.records.map((record) => record.id), next: page.next };
}

async function further(trail) {
  const page = await get(`/api/inspections${query({ ...asked(trail.filters), after: trail.next, limit: 48 })}`);
  const longer = { ...trail, ids: [...trail.ids, ...page.records.map((record) => record.id)], next: page.next };
  leave(longer.filters, longer.ids, longer.next);
  return longer;
}

/** Filters of the page -> parameters of the REST interface: days of this place become instants. */
export function asked({ since, until, order, reviewed, ...rest }) {
  const decision = ["true", "false"].includes(reviewed) ? { reviewed } : { kind: reviewed };
  const day = (text, add) => {
    const [year, month, date] = text.split("-").map(Number);
    return new Date(year, month - 1, date + add).toISOString();
  };
  return {
    ...rest,
    ...decision,
    order: order || "newest",
    since: since ? day(since, 0) : "",
    until: until ? day(until, 1) : "",
  };
}
