/** Live tiles of all cameras. */
import { api, get } from "./api.js";
import { CameraTile } from "./camera_tile.js";
import { byId, fill, show } from "./dom.js";
import { listen } from "./live.js";
import { sentence, several } from "./words.js";

const tiles = new Map();

async function load() {
  let cameras;
  try {
    ({ cameras } = await get(api`/api/cameras`));
  } catch (error) {
    show(byId("state"), sentence(error.message));
    return;
  }
  show(byId("state"), cameras.length ? "" : "No camera is configured. `anomalign serve --camera NAME=ADDRESS` adds one.");
  for (const camera of cameras) {
    if (!tiles.has(camera.name)) tiles.set(camera.name, new CameraTile(update));
    tiles.get(camera.name).update(camera);
  }
  fill(
    byId("cameras"),
    cameras.map((camera) => tiles.get(camera.name).element),
  );
  summarise();
}

function update(camera) {
  tiles.get(camera.name)?.update(camera);
  summarise();
}

function summarise() {
  const cameras = [...tiles.values()].map((tile) => tile.camera);
  const lost = cameras.filter((camera) => camera.state === "lost").length;
  const paused = cameras.filter((camera) => camera.paused).length;
  const parts = [several(cameras.length, "camera"), lost ? `${lost} lost` : "", paused ? `${paused} paused` : ""];
  byId("summary").textContent = cameras.length ? parts.filter(Boolean).join(", ") : "";
}

listen((_, camera) => update(camera), load, ["camera"]);
await load();
