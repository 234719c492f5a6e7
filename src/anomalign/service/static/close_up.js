/** The part of a long image that a small picture shows, since little is seen of all of it. */

export const LONG = 2.5; // from these proportions on

const SHAPE = 1.25; // of the part, along the image

/** A part around the worst place of a long image, or its middle, as [top, left, bottom, right]; null for other images. */
export function closeUp({ shown, regions }) {
  const [top, left, bottom, right] = shown.map(Math.round);
  const sides = [bottom - top, right - left];
  const [shorter, longer] = [Math.min(...sides), Math.max(...sides)];
  if (longer < LONG * shorter) return null;
  const along = Math.min(longer, Math.round(SHAPE * shorter));
  const axis = sides[0] > sides[1] ? 0 : 1;
  const start = [top, left][axis];
  const middle = regions?.[0]?.peak[axis] ?? start + longer / 2;
  const first = Math.round(Math.min(Math.max(middle - along / 2, start), start + longer - along));
  return axis ? [top, first, bottom, first + along] : [first, left, first + along, right];
}

/** The same part of another image, whose size may be another. */
export const sameIn = ({ height, width }, of, [top, left, bottom, right]) => {
  const [down, across] = [height / of.height, width / of.width];
  const [first, start] = [Math.floor(top * down), Math.floor(left * across)];
  return [first, start, Math.max(first + 1, Math.floor(bottom * down)), Math.max(start + 1, Math.floor(right * across))];
};
