/** What a person zoomed in on goes along from image to image, in one tab, while the images have the same size. */

const KEY = "anomalign.view";

const sizeOf = ({ height, width, shown }) => [height, width, ...shown].join();

/** Zoom in on what was seen of the image before, if it had the same size, else on `start`; keep what is seen of this one
    for the next, unless nobody has moved it. */
export function keepView(zoom, record, start) {
  const before = JSON.parse(sessionStorage.getItem(KEY));
  const isKept = before?.size === sizeOf(record);
  zoom.show(isKept ? before : start);
  const viewOf = () => JSON.stringify({ size: sizeOf(record), scale: zoom.scale, centre: zoom.centre });
  const first = viewOf();
  addEventListener("pagehide", () => {
    if (isKept || viewOf() !== first) sessionStorage.setItem(KEY, viewOf());
    else sessionStorage.removeItem(KEY);
  });
}
