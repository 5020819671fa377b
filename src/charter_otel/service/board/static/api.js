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
export async function request(path, { query = {}, signal = null, headers = {}, also = [] } = {}) {
  const address = new URL(path, ROOT);
  for (const [name, value] of Object.entries(query)) address.searchParams.set(name, value);
  const response = await fetch(address, {
    headers: { ...headers, ...(token && { Authorization: `Bearer ${token}` }) },
    signal,
    cache: "no-store",
    credentials: "same-origin",
  });
  if (!response.ok && !also.includes(response.status)) {
    throw new Refused(response.status, await detail(response));
  }
  return response;
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
