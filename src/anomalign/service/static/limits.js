/** Scores of normals and of recent images under one axis, and what each limit would call anomalous. */
import { across, text, ticks, upright } from "./axes.js";
import { fill, s } from "./dom.js";
import { count, number, several, share } from "./words.js";

const BINS = 40;
const WIDTH = 900;
const [LEFT, RIGHT] = [52, 14];
const [TOP, PANEL, GAP] = [44, 72, 40];
const HEIGHT = TOP + 3 * PANEL + 2 * GAP + 46;

/** What would change if the limit of the score were another, told from the scores that recent images had. */
export function changes(recent, threshold) {
  const known = recent.filter((image) => image.score !== null);
  const becomes = (verdict) =>
    known.filter((image) => image.verdict !== verdict && image.score > threshold === (verdict === "anomalous")).length;
  return {
    tried: known.length,
    anomalous: known.filter((image) => image.verdict === "anomalous").length,
    toAnomalous: becomes("anomalous"),
    toNormal: becomes("normal"),
    older: known.filter((image) => !image.current).length,
  };
}

/** Counts of scores in bins, each as [at or below the limit, above it]; what lies beyond the ends counts at the ends. */
export function binned(scores, low, high, limit) {
  const bins = Array.from({ length: BINS }, () => [0, 0]);
  for (const score of scores) {
    const bin = Math.min(Math.max(Math.floor(((score - low) / (high - low)) * BINS), 0), BINS - 1);
    bins[bin][score > limit ? 1 : 0] += 1;
  }
  return bins;
}

/** Draw the chart of `scores` (as /scores answers) with the rate that is tried. */
export function chart(svg, scores, tried) {
  const recent = scores.recent.filter((image) => image.score !== null).map((image) => image.score);
  const [low, high] = ends(scores.normal_scores, recent, scores.rates);
  const x = (score) => LEFT + Math.min(Math.max((score - low) / (high - low), 0), 1) * (WIDTH - LEFT - RIGHT);
  const base = (panel) => TOP + panel * (PANEL + GAP) + PANEL;
  svg.setAttribute("viewBox", `0 0 ${WIDTH} ${HEIGHT}`);
  const inForce = x(scores.threshold);
  const now = x(tried.threshold);
  const moved = tried.threshold !== scores.threshold;
  const end = now > WIDTH * 0.7;
  fill(
    svg,
    bars(scores.normal_scores, low, high, tried.threshold, x, base(0), "over-normal"),
    text(
      LEFT,
      TOP - 10,
      "series",
      `${several(scores.normal_scores.length, "normal image")}, each compared with the others`,
    ),
    bars(recent, low, high, tried.threshold, x, base(1), "over"),
    text(LEFT, base(0) + GAP - 10, "series", `the latest ${several(recent.length, "inspected image")}`),
    curve(scores, tried, x, base(2)),
    text(LEFT, base(1) + GAP - 10, "series", "false alarms to expect at each limit"),
    ticks(low, high, 8).map((tick) => text(x(tick), base(2) + 17, "middle", number(tick))),
    text(
      (LEFT + WIDTH - RIGHT) / 2,
      base(2) + 37,
      "middle",
      "image score (higher: less like the normal images); bars: share of the images",
    ),
    moved ? upright(inForce, TOP - 24, base(2), "limit in-force") : null,
    upright(now, 6, base(2), "limit"),
    text(
      now + (end ? -7 : 7),
      16,
      end ? "limit-text end" : "limit-text",
      `limit ${number(tried.threshold)}; anomalous beyond`,
    ),
  );
}

/** The axis: all normals, and as far beyond them again; farther images stand at its end. */
function ends(normals, recent, rates) {
  const limits = rates.map((rate) => rate.threshold);
  const low = Math.min(...normals, ...limits);
  const most = Math.max(...normals, ...limits);
  const high = Math.min(Math.max(most, ...recent), most + 0.6 * (most - low));
  return [low, high > low ? high : low + 1];
}

function bars(values, low, high, limit, x, base, over) {
  const bins = binned(values, low, high, limit);
  const tallest = Math.max(1, ...bins.map(([under, above]) => under + above));
  const width = (x(high) - x(low)) / BINS;
  const marks = ticks(0, tallest / Math.max(1, values.length), 3).filter((part) => part > 0);
  const up = (part) => base - ((part * Math.max(1, values.length)) / tallest) * PANEL;
  const shapes = bins.flatMap(([under, above], i) => {
    const height = (n) => (n ? Math.max(2, (n / tallest) * PANEL) : 0);
    const rect = (n, y, name) =>
      n
        ? s("rect", {
            class: name,
            x: (x(low) + i * width).toFixed(1),
            y: y.toFixed(1),
            width: (width - 1).toFixed(1),
            height: height(n).toFixed(1),
          })
        : null;
    return [rect(under, base - height(under), "bar"), rect(above, base - height(under) - height(above), over)];
  });
  return s(
    "g",
    {},
    marks.flatMap((part) => [
      across(LEFT, WIDTH - RIGHT, up(part), "grid"),
      text(LEFT - 6, up(part) + 4, "end", share(part)),
    ]),
    shapes,
    across(LEFT, WIDTH - RIGHT, base, "axis"),
  );
}

/** The calibration curve: the share of normal images to expect above each limit, on a scale of powers. */
function curve({ rates }, tried, x, base) {
  const [least, most] = [rates[0].target_fpr, rates.at(-1).target_fpr].map(Math.log10);
  const up = (rate) => base - ((Math.log10(rate) - least) / (most - least || 1)) * PANEL;
  const marks = [0.001, 0.01, 0.1, 0.5].filter(
    (rate) => Math.log10(rate) >= least - 1e-9 && Math.log10(rate) <= most + 1e-9,
  );
  const points = rates.map((rate) => `${x(rate.threshold).toFixed(1)},${up(rate.target_fpr).toFixed(1)}`);
  return s(
    "g",
    {},
    marks.flatMap((rate) => [
      across(LEFT, WIDTH - RIGHT, up(rate), "grid"),
      text(LEFT - 6, up(rate) + 4, "end", share(rate)),
    ]),
    across(LEFT, WIDTH - RIGHT, base, "axis"),
    s("polyline", { class: "curve", points: points.join(" ") }),
    s("circle", { class: "curve-dot", cx: x(tried.threshold).toFixed(1), cy: up(tried.target_fpr).toFixed(1), r: 6 }),
  );
}

/** The same in a sentence. */
export function told(scores, tried) {
  const { tried: n, anomalous, toAnomalous, toNormal, older } = changes(scores.recent, tried.threshold);
  if (!n) return "No image was inspected yet.";
  if (tried.threshold === scores.threshold)
    return `In force. Of the latest ${several(n, "image")}, ${count(anomalous)} ${anomalous === 1 ? "was" : "were"} called anomalous.`;
  const roughly = older ? ` Roughly: ${count(older)} of them met other normal images than there are now.` : "";
  const total = toAnomalous + toNormal;
  if (!total) return `None of the latest ${several(n, "image")} would change.${roughly}`;
  const parts = [
    toAnomalous ? `${count(toAnomalous)} would become anomalous` : "",
    toNormal ? `${count(toNormal)} would become normal` : "",
  ];
  return `${count(total)} of the latest ${several(n, "image")} would change: ${parts.filter(Boolean).join(", ")}.${roughly}`;
}
