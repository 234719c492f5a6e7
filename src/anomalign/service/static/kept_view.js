/** What a person zoomed in on goes along from image to image, in one tab, while the images have the same size. */

const KEY = "anomalign.view";

const sizeOf = ({ height, width, shown }) => [height, width, ...shown].join();

/** Zoom in on what was seen of the image before, if it had the same size; keep what is seen of this one for the next. */
export function keepView(zoom, record) {
  const before = JSON.parse(sessionStorage.getItem(KEY));
  if (before?.size === sizeOf(record)) zoom.show(before);
  addEventListener("pagehide", () => {
    sessionStorage.setItem(KEY, JSON.stringify({ size: sizeOf(record), scale: zoom.scale, centre: zoom.centre }));
  });
}
