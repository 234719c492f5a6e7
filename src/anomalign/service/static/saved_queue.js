/** The queue as last shown. An inspection's page takes the previous and the next image from it, and the link back. */
import { api, get, query } from "./api.js";

const KEY = "anomalign.queue";

/** `filters`: filters of the queue; `records`: inspections in the order shown; `next`: cursor of the next page. */
export function saveQueue(filters, records, next) {
  save({ filters, ...idsOf(records), next });
}

const save = (queue) => sessionStorage.setItem(KEY, JSON.stringify(queue));

const idsOf = (records) => ({
  ids: records.map((record) => record.id),
  decided: records.filter((record) => record.decision).map((record) => record.id),
});

function savedQueue() {
  try {
    return JSON.parse(sessionStorage.getItem(KEY)) ?? null;
  } catch {
    return null;
  }
}

/** Address of the queue with its filters. */
export function queueAddress() {
  return `/${query(savedQueue()?.filters ?? {})}`;
}

/** Whether an inspection is one of the queue as last shown. */
export const isInQueue = (id) => Boolean(savedQueue()?.ids.includes(id));

/** Note in the saved queue whether an inspection has a decision. */
export function markDecided(id, isDecided) {
  const queue = savedQueue();
  if (!queue) return;
  const others = queue.decided.filter((other) => other !== id);
  save({ ...queue, decided: isDecided ? [...others, id] : others });
}

/** The next inspection of the queue without a decision, after the last one from its start; null: none is left. In a
    queue of decided images it is the one that follows. */
export async function nextUndecided(id) {
  let queue = savedQueue();
  const start = queue.ids.indexOf(id);
  if (!["false", undefined].includes(queue.filters.reviewed)) return (await positionOf(id)).next;
  const isUndecided = async (other) =>
    !queue.decided.includes(other) && !(await get(api`/api/inspections/${other}`)).decision;
  for (let place = start + 1; ; place += 1) {
    if (place === queue.ids.length && queue.next) queue = await withNextPage(queue);
    if (place >= queue.ids.length) break;
    if (await isUndecided(queue.ids[place])) return queue.ids[place];
  }
  for (const earlier of queue.ids.slice(0, start)) if (await isUndecided(earlier)) return earlier;
  return null;
}

/** Neighbours of an inspection in the queue and its place: `{previous, next, place, total, more}`. */
export async function positionOf(id) {
  let queue = savedQueue();
  if (!queue?.ids.includes(id)) queue = await newestQueue();
  let place = queue.ids.indexOf(id);
  if (place === queue.ids.length - 1 && queue.next) queue = await withNextPage(queue);
  place = queue.ids.indexOf(id);
  if (place < 0)
    return {
      previous: null,
      next: queue.ids[0] ?? null,
      place: null,
      total: queue.ids.length,
      more: Boolean(queue.next),
    };
  return {
    previous: queue.ids[place - 1] ?? null,
    next: queue.ids[place + 1] ?? null,
    place: place + 1,
    total: queue.ids.length,
    more: Boolean(queue.next),
  };
}

async function newestQueue() {
  const page = await get(`/api/inspections${query({ order: "newest", limit: 100 })}`);
  return { filters: {}, ...idsOf(page.records), next: page.next };
}

async function withNextPage(queue) {
  const page = await get(
    `/api/inspections${query({ ...filterParameters(queue.filters), after: queue.next, limit: 48 })}`,
  );
  const { ids, decided } = idsOf(page.records);
  const longer = {
    ...queue,
    ids: [...queue.ids, ...ids],
    decided: [...queue.decided, ...decided],
    next: page.next,
  };
  save(longer);
  return longer;
}

/** Filters of the page -> parameters of the REST interface. A local day becomes the times of its start and end. */
export function filterParameters({ since, until, order, reviewed, ...rest }) {
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
