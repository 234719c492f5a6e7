/** Scores of normal and of recent images on one axis, and which verdicts another threshold would change. */
import { across, text, ticks, upright } from "./axes.js";
import { fill, s } from "./dom.js";
import { count, number, several, share } from "./words.js";

const BINS = 40;
const WIDTH = 900;
const [LEFT, RIGHT] = [60, 14];
const [TOP, PANEL, GAP] = [48, 72, 40];
const HEIGHT = TOP + 3 * PANEL + 2 * GAP + 46;

/** Count the recent images whose verdict another threshold would change, from their scores. */
export function verdictChanges(recent, threshold) {
  const images = recent.filter((image) => image.score !== null);
  const becomes = (verdict) =>
    images.filter((image) => image.verdict !== verdict && image.score > threshold === (verdict === "anomalous")).length;
  return {
    total: images.length,
    anomalous: images.filter((image) => image.verdict === "anomalous").length,
    toAnomalous: becomes("anomalous"),
    toNormal: becomes("normal"),
    outdated: images.filter((image) => !image.current).length,
  };
}

/** Counts of scores in bins, each as [normal, anomalous]. A score beyond the axis counts in the outermost bin. */
export function histogram(scores, low, high, threshold) {
  const bins = Array.from({ length: BINS }, () => [0, 0]);
  for (const score of scores) {
    const bin = Math.min(Math.max(Math.floor(((score - low) / (high - low)) * BINS), 0), BINS - 1);
    bins[bin][score > threshold ? 1 : 0] += 1;
  }
  return bins;
}

/** Draw the chart of `scores` (the answer of /scores) with the threshold of one of its rates. */
export function chart(svg, scores, rate) {
  const recent = scores.recent.filter((image) => image.score !== null).map((image) => image.score);
  const [low, high] = ends(scores.normal_scores, recent, scores.rates);
  const x = (score) => LEFT + Math.min(Math.max((score - low) / (high - low), 0), 1) * (WIDTH - LEFT - RIGHT);
  const base = (panel) => TOP + panel * (PANEL + GAP) + PANEL;
  svg.setAttribute("viewBox", `0 0 ${WIDTH} ${HEIGHT}`);
  const currentX = x(scores.threshold);
  const selectedX = x(rate.threshold);
  const moved = rate.threshold !== scores.threshold;
  const atRight = selectedX > WIDTH / 2; // the longer side has room for the text
  fill(
    svg,
    bars(scores.normal_scores, low, high, rate.threshold, x, base(0), "over-normal"),
    text(
      LEFT,
      TOP - 10,
      "series",
      `${several(scores.normal_scores.length, "normal image")}, each compared with the others`,
    ),
    bars(recent, low, high, rate.threshold, x, base(1), "over"),
    text(
      LEFT,
      base(0) + GAP - 10,
      "series",
      recent.length ? `the latest ${several(recent.length, "inspected image")}` : "no inspected image yet",
    ),
    curve(scores, rate, x, base(2)),
    text(LEFT, base(1) + GAP - 10, "series", "expected false alarms at each threshold"),
    ticks(low, high, 8).map((tick) => text(x(tick), base(2) + 17, "middle", number(tick))),
    text(
      (LEFT + WIDTH - RIGHT) / 2,
      base(2) + 37,
      "middle",
      "image score (higher: less like the normal images); height of a bar: share of the images",
    ),
    moved ? upright(currentX, TOP - 24, base(2), "threshold current") : null,
    upright(selectedX, 6, base(2), "threshold"),
    text(
      selectedX + (atRight ? -7 : 7),
      16,
      atRight ? "threshold-text end" : "threshold-text",
      `threshold ${number(rate.threshold)}: higher scores are anomalous`,
    ),
  );
}

/** Ends of the axis: it holds all normal scores and some room beyond; higher scores are drawn at its end. */
function ends(normals, recent, rates) {
  const thresholds = rates.map((rate) => rate.threshold);
  const low = Math.min(...normals, ...thresholds);
  const most = Math.max(...normals, ...thresholds);
  const high = Math.min(Math.max(most, ...recent), most + 0.6 * (most - low));
  return [low, high > low ? high : low + 1];
}

function bars(values, low, high, threshold, x, base, anomalousClass) {
  const bins = histogram(values, low, high, threshold);
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
    return [
      rect(under, base - height(under), "bar"),
      rect(above, base - height(under) - height(above), anomalousClass),
    ];
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

/** The calibration curve: the expected share of normal images above each threshold, on a logarithmic scale. */
function curve({ rates }, selected, x, base) {
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
    s("circle", {
      class: "curve-dot",
      cx: x(selected.threshold).toFixed(1),
      cy: up(selected.target_fpr).toFixed(1),
      r: 6,
    }),
  );
}

/** What a rate would change, in a sentence. */
export function changeSummary(scores, rate) {
  const { total: n, anomalous, toAnomalous, toNormal, outdated } = verdictChanges(scores.recent, rate.threshold);
  if (!n) return "No image has been inspected yet.";
  if (rate.threshold === scores.threshold)
    return `Current setting. Of the latest ${several(n, "image")}, ${count(anomalous)} ${anomalous === 1 ? "was" : "were"} called anomalous.`;
  const note = outdated
    ? ` This is approximate: ${count(outdated)} of them were compared with an older version of the bank.`
    : "";
  const changed = toAnomalous + toNormal;
  if (!changed) return `None of the latest ${several(n, "image")} would change.${note}`;
  const parts = [
    toAnomalous ? `${count(toAnomalous)} would become anomalous` : "",
    toNormal ? `${count(toNormal)} would become normal` : "",
  ];
  return `${count(changed)} of the latest ${several(n, "image")} would change: ${parts.filter(Boolean).join(", ")}.${note}`;
}
