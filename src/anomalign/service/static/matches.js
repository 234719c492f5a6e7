/** From a place of the inspected image to its match in a normal image: arithmetic on the answer of /matches.

    Places are fractions of a picture's height and width, so they are valid for every resolution of the picture. */

/** Whether a cell counts: cells outside the mask of a region of interest do not. */
export const counts = (matches, { row, column }) => !matches.counted || matches.counted[row * matches.w + column];

/** Cell of the grid under a place, or null outside the part that counts. */
export function cellAt(matches, picture, fy, fx) {
  const [top, left, bottom, right] = picture.seen;
  const row = Math.floor(((fy * picture.height - top) * matches.h) / (bottom - top));
  const column = Math.floor(((fx * picture.width - left) * matches.w) / (right - left));
  const inside =
    fy >= 0 && fy < 1 && fx >= 0 && fx < 1 && row >= 0 && row < matches.h && column >= 0 && column < matches.w;
  return inside && counts(matches, { row, column }) ? { row, column } : null;
}

/** Centre of a cell, as a place of a picture. */
export function placeOf(matches, picture, { row, column }) {
  const [top, left, bottom, right] = picture.seen;
  return {
    fy: (top + ((row + 0.5) * (bottom - top)) / matches.h) / picture.height,
    fx: (left + ((column + 0.5) * (right - left)) / matches.w) / picture.width,
  };
}

/** Match of a cell: the normal image, the place in it, the distance (total and per level), the distances that are
    usual there (null: not known) and the p-value. */
export function matchOf(matches, { row, column }) {
  const cell = row * matches.w + column;
  const index = matches.image[cell];
  const normal = matches.neighbours[index];
  const there = { row: matches.y[cell], column: matches.x[cell] };
  const start = cell * matches.levels;
  return {
    index,
    normal,
    ...placeOf(matches, normal, there),
    distance: matches.distance[cell],
    usual: matches.usual && matches.usual.slice(2 * cell, 2 * cell + 2),
    perLevel: matches.per_level.slice(start, start + matches.levels),
    p: matches.p[cell],
  };
}

/** The cell with the highest place score. Where there are none (records of earlier versions) or all are 0: that with the
    smallest p-value, or of equal ones the largest distance. */
export function mostUnusual(matches) {
  const cells = counted(matches);
  const rarer = (a, b) => matches.p[a] - matches.p[b] || matches.distance[b] - matches.distance[a];
  let best = cells.reduce((a, b) => (rarer(b, a) < 0 ? b : a));
  if (matches.place_score) {
    const highest = cells.reduce((a, b) => (matches.place_score[b] > matches.place_score[a] ? b : a));
    if (matches.place_score[highest] > 0) best = highest;
  }
  return { row: Math.floor(best / matches.w), column: best % matches.w };
}

/** Numbers of the cells that count. */
const counted = (matches) => [...matches.image.keys()].filter((cell) => !matches.counted || matches.counted[cell]);

/** For each neighbour, the share of cells whose best match lies in it. */
export function shares(matches) {
  const cells = counted(matches);
  const numbers = matches.neighbours.map(() => 0);
  for (const cell of cells) numbers[matches.image[cell]] += 1;
  return numbers.map((n) => n / cells.length);
}
