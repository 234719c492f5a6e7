/** Images from this device to the service, one at a time. A busy service is asked again later. */
import { api, post, RequestError } from "./api.js";

/** Inspect a file under a name, which may have folders, and return its record. Calls `onSent(bytes)` while it is sent.
    While the service is busy, calls `onWait(seconds)` and tries again. An abort through `signal` stops the sending and
    the waiting; what was sent whole is still answered. */
export async function inspect(bank, file, name, { onWait = () => {}, onSent = () => {}, signal = null } = {}) {
  for (;;) {
    const form = new FormData();
    form.append("files", file, name);
    try {
      const { results } = await post(api`/api/banks/${bank}/inspections`, form, { onSent, signal });
      if (results[0].error) throw new RequestError(results[0].error, 422);
      return results[0];
    } catch (error) {
      if (!(error instanceof RequestError) || error.status !== 429) throw error;
      const seconds = Math.min(error.retryAfter ?? 2, 60);
      onWait(seconds);
      await pause(seconds, signal);
    }
  }
}

function pause(seconds, signal) {
  return new Promise((resolve, reject) => {
    signal?.throwIfAborted();
    signal?.addEventListener("abort", () => reject(signal.reason), { once: true });
    setTimeout(resolve, 1000 * seconds);
  });
}
