/** Requests to the service. An error answer is thrown as a RequestError; its message is written for people. */

export class RequestError extends Error {
  constructor(message, status, retryAfter) {
    super(message);
    this.status = status;
    this.retryAfter = retryAfter;
  }
}

export const get = (path, options) => request("GET", path, undefined, options);
export const post = (path, body, options) => request("POST", path, body, options);
export const remove = (path) => request("DELETE", path);

/** A path; each part is escaped, as in api`/api/banks/${name}`. */
export function api(texts, ...parts) {
  return texts.reduce((path, text, i) => path + encodeURIComponent(parts[i - 1]) + text);
}

/** Parameters that have a value, as "?a=1&b=2". */
export function query(parameters) {
  const entries = Object.entries(parameters).filter(
    ([, value]) => value !== "" && value !== null && value !== undefined,
  );
  const text = new URLSearchParams(entries).toString();
  return text ? `?${text}` : "";
}

async function request(method, path, body, options = {}) {
  const isForm = body instanceof FormData;
  const send = options.onSent ? fetchCounted : fetch;
  const headers = body === undefined || isForm ? {} : { "Content-Type": "application/json" };
  let response;
  try {
    response = await send(path, {
      method,
      headers,
      body: isForm || body === undefined ? body : JSON.stringify(body),
      ...options,
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new RequestError("The service cannot be reached. Check the network and try again. Nothing was lost.", 0);
  }
  if (response.status === 401) {
    location.assign("/login");
    throw new RequestError("You are no longer signed in.", 401);
  }
  const answer = response.status === 204 ? null : await response.json().catch(() => null);
  if (!response.ok) {
    const text = answer?.error ?? `The service answered with error ${response.status}.`;
    throw new RequestError(text, response.status, Number(response.headers.get("Retry-After")) || null);
  }
  return answer;
}

const PROGRESS_MS = 250; // a browser says 100 ms later, at most, that all is sent

/** As `fetch` of a form, but calls `onSent(bytes)` while it is sent, which `fetch` cannot. An abort stops the sending;
    what was sent whole is still answered. */
function fetchCounted(path, { method, body, signal, onSent }) {
  return new Promise((resolve, reject) => {
    const link = new XMLHttpRequest();
    let isSent = false;
    const abort = () => setTimeout(() => isSent || link.abort(), PROGRESS_MS);
    signal?.addEventListener("abort", abort, { once: true });
    link.upload.addEventListener("progress", ({ loaded }) => onSent(loaded));
    link.upload.addEventListener("load", () => (isSent = true));
    link.addEventListener("load", () => {
      const headers = { "Retry-After": link.getResponseHeader("Retry-After") ?? "" };
      resolve(new Response(link.response, { status: link.status, headers }));
    });
    link.addEventListener("error", () => reject(new TypeError("no answer")));
    link.addEventListener("abort", () => reject(signal.reason));
    link.open(method, path);
    link.send(body);
  });
}
