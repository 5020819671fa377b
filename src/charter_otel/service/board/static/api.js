// The service's REST API. The token lives in this module's memory and nowhere else.

/** Base address of the service: the page may lie below a prefix. */
export const ROOT = new URL("..", import.meta.url);

const WITHIN = 10_000;

let token = null;

/** An answer other than the requested one. */
export class Refused extends Error {
  constructor(status, detail) {
    super(detail || `HTTP ${status}`);
    this.status = status;
  }
  /** Whether another token would help. */
  get wantsToken() {
    return this.status === 401 || this.status === 403;
  }
}

export function setToken(text) {
  token = text;
}

export function hasToken() {
  return token !== null;
}

/** Send a request; an answer other than 2xx raises Refused with the problem's own text. */
export async function request(path, options = {}) {
  const { query = {}, signal = null, headers = {}, also = [] } = options;
  const address = new URL(path, ROOT);
  for (const [name, value] of Object.entries(query)) address.searchParams.set(name, value);
  const sent = token;
  const response = await fetch(address, {
    headers: { ...headers, ...(token && { Authorization: `Bearer ${token}` }) },
    signal,
    cache: "no-store",
    credentials: "same-origin",
  });
  if (response.ok || also.includes(response.status)) return response;
  const refused = new Refused(response.status, await detail(response));
  // A refusal of the token before says nothing about the one that was given meanwhile.
  if (refused.wantsToken && token !== sent) return request(path, options);
  throw refused;
}

/** Return the JSON of an answer. */
export async function get(path, options = {}) {
  const response = await request(path, { ...options, signal: AbortSignal.timeout(WITHIN) });
  return response.json();
}

async function detail(response) {
  try {
    return (await response.json()).detail;
  } catch {
    return null;
  }
}
