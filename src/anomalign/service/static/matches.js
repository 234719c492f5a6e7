/** From a place of the inspected image to its match in a normal image: arithmetic on the answer of /matches.

    Places are fractions of a picture's height and width, so they are valid for every resolution of the picture. */

/** Cell of the grid under a place, or null outside the inspected part. */
export function cellAt(matches, picture, fy, fx) {
  const [top, left, bottom, right] = picture.seen;
  const row = Math.floor(((fy * picture.height - top) * matches.h) / (bottom - top));
  const column = Math.floor(((fx * picture.width - left) * matches.w) / (right - left));
  const inside =
    fy >= 0 && fy < 1 && fx >= 0 && fx < 1 && row >= 0 && row < matches.h && column >= 0 && column < matches.w;
  return inside ? { row, column } : null;
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
  let best = 0;
  const highest = matches.place_score ? matches.place_score.reduce((a, b) => Math.max(a, b), 0) : 0;
  if (highest > 0) {
    best = matches.place_score.indexOf(highest);
    return { row: Math.floor(best / matches.w), column: best % matches.w };
  }
  for (let cell = 1; cell < matches.p.length; cell += 1) {
    const rarer = matches.p[cell] - matches.p[best];
    if (rarer < 0 || (rarer === 0 && matches.distance[cell] > matches.distance[best])) best = cell;
  }
  return { row: Math.floor(best / matches.w), column: best % matches.w };
}

/** For each neighbour, the share of cells whose best match lies in it. */
export function shares(matches) {
  const counts = matches.neighbours.map(() => 0);
  for (const index of matches.image) counts[index] += 1;
  return counts.map((n) => n / matches.image.length);
}
