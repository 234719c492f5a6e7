/** Images from this device to the service, one at a time. A busy service is asked again later. */
import { api, post, RequestError } from "./api.js";

const pause = (seconds) => new Promise((resolve) => setTimeout(resolve, 1000 * seconds));

/** Inspect a file under a name, which may have folders, and return its record. While the service is busy, calls
    `onWait(seconds)` and tries again. */
export async function inspect(bank, file, name, onWait = () => {}) {
  for (;;) {
    const form = new FormData();
    form.append("files", file, name);
    try {
      const { results } = await post(api`/api/banks/${bank}/inspections`, form);
      if (results[0].error) throw new RequestError(results[0].error, 422);
      return results[0];
    } catch (error) {
      if (!(error instanceof RequestError) || error.status !== 429) throw error;
      const seconds = Math.min(error.retryAfter ?? 2, 60);
      onWait(seconds);
      await pause(seconds);
    }
  }
}
