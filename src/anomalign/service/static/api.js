/** Requests to the service. What it refuses becomes a Refused, whose message can be shown as it is. */

export class Refused extends Error {
  constructor(message, status, retryAfter) {
    super(message);
    this.status = status;
    this.retryAfter = retryAfter;
  }
}

export const get = (path, options) => ask("GET", path, undefined, options);
export const post = (path, body) => ask("POST", path, body);
export const remove = (path) => ask("DELETE", path);

/** A path of the parts given, each escaped, as in api`/api/banks/${name}`. */
export function api(texts, ...parts) {
  return texts.reduce((path, text, i) => path + encodeURIComponent(parts[i - 1]) + text);
}

/** Parameters that have a value, as "?a=1&b=2". */
export function query(parameters) {
  const given = Object.entries(parameters).filter(([, value]) => value !== "" && value !== null && value !== undefined);
  const text = new URLSearchParams(given).toString();
  return text ? `?${text}` : "";
}

async function ask(method, path, body, options = {}) {
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
    throw new Refused("The service cannot be reached. Is the network there? Nothing was lost; try again.", 0);
  }
  if (response.status === 401) {
    location.assign("/login");
    throw new Refused("You are not signed in any more.", 401);
  }
  const answer = response.status === 204 ? null : await response.json().catch(() => null);
  if (!response.ok) {
    const text = answer?.error ?? `The service answered with error ${response.status}.`;
    throw new Refused(text, response.status, Number(response.headers.get("Retry-After")) || null);
  }
  return answer;
}
