/** Images from this device to the service: one after the other, patient where the service is busy. */
import { api, post, Refused } from "./api.js";

const pause = (seconds) => new Promise((done) => setTimeout(done, 1000 * seconds));

/** Inspect a file; returns the record. Waits while the queue is full, and says so by `waiting(seconds)`. */
export async function inspect(bank, file, waiting = () => {}) {
  for (;;) {
    const form = new FormData();
    form.append("files", file, file.name);
    try {
      const { results } = await post(api`/api/banks/${bank}/inspections`, form);
      if (results[0].error) throw new Refused(results[0].error, 422);
      return results[0];
    } catch (error) {
      if (!(error instanceof Refused) || error.status !== 429) throw error;
      const seconds = Math.min(error.retryAfter ?? 2, 60);
      waiting(seconds);
      await pause(seconds);
    }
  }
}
