/** Distance of inspected images to the normal images over time, with the band of the normal images' own distances. */
import { api, get } from "./api.js";
import { across, quantile, text, ticks, upright } from "./axes.js";
import { byId, fill, h, line, s, show } from "./dom.js";
import { bind } from "./keys.js";
import { listen } from "./live.js";
import { count, number, share, verdictName, when } from "./words.js";

const name = document.body.dataset.bank;
const [WIDTH, HEIGHT] = [1080, 400];
const [LEFT, RIGHT, TOP, BASE] = [58, WIDTH - 12, 34, HEIGHT - 48];
const LABELS = 7;

let points = [];
let place = null; // index of the selected point
let down = null; // function: score -> y
const x = (i) => LEFT + ((i + 0.5) / points.length) * (RIGHT - LEFT);

async function load() {
  let drift;
  try {
    drift = await get(api`/api/banks/${name}/drift`);
  } catch (error) {
    show(byId("state"), error.message);
    return;
  }
  show(byId("state"), "");
  points = drift.points.filter((point) => point.score !== null);
  const verdict = byId("verdict");
  verdict.hidden = false;
  verdict.classList.toggle("yes", drift.test?.kind === "drift");
  verdict.classList.toggle("no", drift.test?.kind === "none" && drift.test.detectable <= 1);
  verdict.querySelector("strong").textContent = drift.summary;
  byId("after-drift").hidden = drift.test?.kind !== "drift";
  byId("after-shift").hidden = drift.test?.kind !== "shift";
  byId("after-batch").hidden = drift.test?.kind !== "new batch";
  byId("plot-part").hidden = points.length === 0;
  if (points.length) plot(drift);
  drawTests(drift.test);
}

function plot({ band, test, summary }) {
  const scores = points.map((point) => point.score);
  const block = Math.min(points.length, Math.max(10, Math.floor(points.length / 40)));
  const medians = blockMedians(scores, block);
  const [bottom, top] = scale(scores, [band.low, band.high, ...medians.map((median) => median.value)]);
  down = (score) => BASE - ((Math.min(score, top) - bottom) / (top - bottom)) * (BASE - TOP);
  const radius = Math.min(Math.max(40 / Math.sqrt(points.length), 1.6), 4);
  const firstTested = test ? Math.max(0, points.length - test.window) : points.length;
  const testedX = LEFT + (firstTested / points.length) * (RIGHT - LEFT);
  const start = medians[0].value;
  const end = medians.at(-1).value;
  const path = [[LEFT, start], ...medians.map((median) => [x(median.place), median.value]), [RIGHT, end]];
  const svg = byId("chart");
  svg.setAttribute("viewBox", `0 0 ${WIDTH} ${HEIGHT}`);
  byId("plot").setAttribute("aria-description", summary);
  byId("block").textContent = block;
  byId("beyond-key").hidden = !scores.some((score) => score > top);
  fill(
    svg,
    test
      ? s("rect", {
          class: "tested",
          x: testedX.toFixed(1),
          y: TOP,
          width: (RIGHT - testedX).toFixed(1),
          height: BASE - TOP,
        })
      : null,
    ticks(bottom, top, 6).flatMap((tick) => [
      across(LEFT, RIGHT, down(tick), "grid"),
      text(LEFT - 6, down(tick) + 4, "end", number(tick)),
    ]),
    s("rect", {
      class: "band",
      x: LEFT,
      y: down(band.high).toFixed(1),
      width: RIGHT - LEFT,
      height: Math.max(1, down(band.low) - down(band.high)).toFixed(1),
    }),
    points.map((point, i) => dot(point, i, radius, point.score > top)),
    across(LEFT, RIGHT, down(band.middle), "middle-line"),
    s("polyline", {
      class: "median",
      points: path.map(([px, score]) => `${px.toFixed(1)},${down(score).toFixed(1)}`).join(" "),
    }),
    test
      ? [
          across(testedX, RIGHT, TOP, "tested-line"),
          text(RIGHT, TOP - 9, "tested-text end", `tested: the latest ${points.length - firstTested}`),
        ]
      : [],
    across(LEFT, RIGHT, BASE, "axis"),
    dates().flatMap(([i, label]) => [upright(x(i), BASE, BASE + 5, "axis"), text(x(i), BASE + 19, "middle", label)]),
    text((LEFT + RIGHT) / 2, BASE + 40, "middle", "inspections in order of time, evenly spaced"),
    s(
      "g",
      { id: "pointer", visibility: "hidden" },
      s("line", { class: "pointer-line", y1: TOP, y2: BASE }),
      s("circle", { class: "pointer-dot", r: 8 }),
    ),
  );
  if (place !== null) selectPoint(Math.min(place, points.length - 1));
}

function dot(point, i, radius, beyond) {
  if (beyond) {
    const [px, py] = [x(i), down(point.score)];
    return s("path", {
      class: "beyond",
      d: `M${(px - radius - 1.5).toFixed(1)} ${(py + 2 * radius + 3).toFixed(1)}h${(2 * radius + 3).toFixed(1)}l-${(radius + 1.5).toFixed(1)} -${(2 * radius + 2).toFixed(1)}z`,
    });
  }
  return s("circle", {
    class: point.verdict === "anomalous" ? "dot over-dot" : "dot",
    cx: x(i).toFixed(1),
    cy: down(point.score).toFixed(1),
    r: radius.toFixed(1),
  });
}

/** Medians of consecutive blocks. The blocks end at the newest score, so only the first can be incomplete. */
export function blockMedians(scores, block) {
  const medians = [];
  for (let end = scores.length; end > 0; end -= block) {
    const begin = Math.max(0, end - block);
    if (end - begin < block / 2 && medians.length) break;
    const sorted = scores.slice(begin, end).sort((a, b) => a - b);
    medians.unshift({ place: (begin + end - 1) / 2, value: quantile(sorted, 0.5) });
  }
  return medians;
}

/** Ends of the vertical axis. A few very distant defects must not flatten the rest of the plot. */
function scale(scores, required) {
  const sorted = [...scores].sort((a, b) => a - b);
  const topOfAll = 1.06 * Math.max(...required, sorted.at(-1));
  const topOfMost = 1.25 * Math.max(...required, quantile(sorted, 0.9));
  const top = (topOfAll <= 1.4 * topOfMost ? topOfAll : topOfMost) || 1;
  const bottom = 0.96 * Math.min(...required, sorted[0]);
  return [bottom < 0.4 * top ? 0 : bottom, top];
}

function dates() {
  const places = [
    ...new Set(
      Array.from({ length: LABELS }, (_, k) => Math.max(0, Math.round(((k + 0.5) / LABELS) * points.length - 0.5))),
    ),
  ];
  const labels = places.map((i) => when(points[i].time));
  return places.map((i, k) => [i, labels[k]]).filter(([, label], k) => label !== labels[k - 1]);
}

function drawTests(test) {
  byId("how").hidden = !test;
  if (!test) return;
  const p = (value) => (value < 0.0001 ? "less than 0.0001" : number(value));
  fill(
    byId("rows"),
    line("tested images", `the latest ${count(test.window)} that were compared with the current normal images`),
    line(
      "distance test: are recent images farther from the normal images, or nearer, than expected?",
      `p-value ${p(test.distance_p)}; farther in ${share(test.farther)} of comparisons (50\u00a0% means no shift)`,
    ),
    line(
      "the same: by more than images of another day may be?",
      `p-value ${p(test.drift_p)}; ${share(test.beyond)} of the recent images lie beyond 95\u00a0% of the normal images; from a half on the shift is too large, whatever the p-value`,
    ),
    line(
      "use test: do recent images look like other normal images than expected?",
      test.use_p === null
        ? "not defined: all of them are farther away than 95\u00a0% of the normal images"
        : `p-value ${p(test.use_p)}`,
    ),
    test.groups === null
      ? line(
          "drift, if the second or the third p-value is at most",
          `${number(test.level / 2)}; a small shift, if only the first is`,
        )
      : [
          line(
            `distance of recent images beside that of ${count(test.groups)} groups of normal images, if they are one group more`,
            `p-value ${p(test.distance_batch_p)}; ${number(test.groups_as_far)} groups differ as much`,
          ),
          line(
            "the same for the use test",
            test.use_batch_p === null ? "not defined" : `p-value ${p(test.use_batch_p)}`,
          ),
          line(
            "new batch or drift, if the second or the third p-value is at most",
            `${number(test.level / 2)}; a small shift, if only the first is. It is drift if the same is true of that test's p-value beside the groups, and there are enough groups`,
          ),
        ],
  );
}

/* Selection of a point. */

function selectPoint(i) {
  place = i;
  const { id, time, score, verdict } = points[i];
  const mark = byId("pointer");
  mark.setAttribute("visibility", "visible");
  const [hair, ring] = mark.children;
  hair.setAttribute("x1", x(i));
  hair.setAttribute("x2", x(i));
  ring.setAttribute("cx", x(i));
  ring.setAttribute("cy", down(score));
  fill(
    byId("selected-point"),
    h("img", { src: `/api/inspections/${id}/thumbnail.jpg`, alt: "", width: 64, height: 64 }),
    h(
      "span",
      {},
      h("a", { href: `/inspections/${id}` }, `Inspection ${id}`),
      h("span", { class: "quiet" }, ` ${when(time)}, distance ${number(score)}`),
    ),
    h("span", { class: `pill ${verdict}` }, verdictName(verdict)),
  );
}

function nearestPoint(event) {
  const box = byId("chart").getBoundingClientRect();
  const px = ((event.clientX - box.left) / box.width) * WIDTH;
  const py = ((event.clientY - box.top) / box.height) * HEIGHT;
  const distance = (i) => Math.hypot(x(i) - px, (down(points[i].score) - py) / 3);
  return points.reduce((best, _, i) => (distance(i) < distance(best) ? i : best), 0);
}

byId("plot").addEventListener("pointermove", (event) => points.length && selectPoint(nearestPoint(event)));
byId("plot").addEventListener("pointerdown", (event) => points.length && selectPoint(nearestPoint(event)));
byId("plot").addEventListener("click", (event) => {
  if (event.detail && matchMedia("(pointer: fine)").matches) open();
});
const open = () => place !== null && location.assign(`/inspections/${points[place].id}`);
const moveBy = (by) => (event) => {
  if (!points.length || !event.target.closest("#plot")) return false;
  selectPoint(Math.min(Math.max((place ?? points.length) + by, 0), points.length - 1));
};
bind(
  { keys: ["ArrowLeft"], run: moveBy(-1), labels: ["\u2190", "\u2192"], does: "from one inspection to the next" },
  { keys: ["ArrowRight"], run: moveBy(1) },
  { keys: ["Enter"], does: "open it", run: (event) => (event.target.closest("#plot") ? void open() : false) },
);

let reloadTimer = 0;
const reloadSoon = () => (reloadTimer ||= setTimeout(() => ((reloadTimer = 0), load()), 3000));
listen((kind) => kind !== "decision" && reloadSoon(), load);
await load();
