/** Magnified crops of pictures, with a ring around the place. */

const SHARE = 1 / 6; // side of the square, as a share of the inspected part; the reports use the same
const RING = 0.14;

/** Side of the crop in pixels of the image; never larger than the image. */
function sideOf({ height, width, seen: [top, left, bottom, right] }) {
  return Math.min(Math.max(Math.sqrt((bottom - top) * (right - left)) * SHARE, 8), height, width);
}

/** The crop around a place (fractions of a picture), as [top, left, bottom, right] in pixels of the image. */
export function cropOf(picture, { fy, fx }) {
  const side = sideOf(picture);
  const top = Math.min(Math.max(fy * picture.height - side / 2, 0), picture.height - side);
  const left = Math.min(Math.max(fx * picture.width - side / 2, 0), picture.width - side);
  return [top, left, top + side, left + side];
}

/** Draw the surroundings of a place from pieces of a photograph, the sharpest on top. */
export function magnify(canvas, pieces, picture, place) {
  const sidePx = Math.round(canvas.clientWidth * devicePixelRatio) || canvas.width;
  if (canvas.width !== sidePx) canvas.width = canvas.height = sidePx;
  const context = canvas.getContext("2d");
  context.clearRect(0, 0, sidePx, sidePx);
  const drawn = pieces.filter((piece) => piece?.image.complete && piece.image.naturalWidth);
  if (!drawn.length) return;
  const crop = cropOf(picture, place);
  context.imageSmoothingQuality = "high";
  for (const piece of drawn.sort((a, b) => perPixel(a) - perPixel(b))) drawPiece(context, piece, crop, sidePx);
  drawRing(context, picture, crop, place, sidePx);
}

const perPixel = ({ image, box: [, left, , right] }) => image.naturalWidth / (right - left);

/** What lies outside of the piece is left as it is. */
function drawPiece(context, { image, box }, [top, left, bottom, right], sidePx) {
  const down = image.naturalHeight / (box[2] - box[0]);
  const across = image.naturalWidth / (box[3] - box[1]);
  const source = [(left - box[1]) * across, (top - box[0]) * down, (right - left) * across, (bottom - top) * down];
  context.drawImage(image, ...source, 0, 0, sidePx, sidePx);
}

function drawRing(context, { height, width }, [top, left, bottom], { fy, fx }, sidePx) {
  const side = bottom - top;
  const ring = (thickness, style) => {
    context.beginPath();
    context.arc(
      ((fx * width - left) / side) * sidePx,
      ((fy * height - top) / side) * sidePx,
      RING * sidePx,
      0,
      2 * Math.PI,
    );
    context.lineWidth = thickness * devicePixelRatio;
    context.strokeStyle = style;
    context.stroke();
  };
  ring(4.5, "rgb(0 0 0 / 0.5)");
  ring(2, "rgb(255 255 255 / 0.9)");
}
