/** Magnified crops of pictures, with a ring around the place. */

const SHARE = 1 / 6; // side of the square, as a share of the inspected part; the reports use the same
const RING = 0.14;

/** Side of the crop in pixels of the image; never larger than the image. */
export function sideOf({ height, width, seen: [top, left, bottom, right] }) {
  return Math.min(Math.max(Math.sqrt((bottom - top) * (right - left)) * SHARE, 8), height, width);
}

/** Draw the surroundings of a place (fractions of a picture). The image element may have any resolution. */
export function magnify(canvas, image, picture, { fy, fx }) {
  const sidePx = Math.round(canvas.clientWidth * devicePixelRatio) || canvas.width;
  if (canvas.width !== sidePx) canvas.width = canvas.height = sidePx;
  const context = canvas.getContext("2d");
  context.clearRect(0, 0, sidePx, sidePx);
  if (!image?.complete || !image.naturalWidth) return;
  const side = sideOf(picture);
  const top = Math.min(Math.max(fy * picture.height - side / 2, 0), picture.height - side);
  const left = Math.min(Math.max(fx * picture.width - side / 2, 0), picture.width - side);
  const scaleX = image.naturalWidth / picture.width;
  const scaleY = image.naturalHeight / picture.height;
  context.imageSmoothingQuality = "high";
  context.drawImage(image, left * scaleX, top * scaleY, side * scaleX, side * scaleY, 0, 0, sidePx, sidePx);
  const ring = (width, style) => {
    context.beginPath();
    context.arc(
      ((fx * picture.width - left) / side) * sidePx,
      ((fy * picture.height - top) / side) * sidePx,
      RING * sidePx,
      0,
      2 * Math.PI,
    );
    context.lineWidth = width * devicePixelRatio;
    context.strokeStyle = style;
    context.stroke();
  };
  ring(4.5, "rgb(0 0 0 / 0.5)");
  ring(2, "rgb(255 255 255 / 0.9)");
}
