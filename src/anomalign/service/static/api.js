/** Requests to the service. An error answer is thrown as a RequestError; its message is written for people. */

export class RequestError extends Error {
  constructor(message, status, retryAfter) {
    super(message);
    this.status = status;
    this.retryAfter = retryAfter;
  }
}

export const get = (path, options) => request("GET", path, undefined, options);
export const post = (path, body) => request("POST", path, body);
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
  const headers = body === undefined || isForm ? {} : { "Content-Type": "application/json" };
  let response;
  try {
    response = await fetch(path, {
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
