// Numbers and times as people read them. Ages go by the service's clock, not by the browser's.

let ahead = 0;

/** Record the time of the service's clock. */
export function setClock(seconds) {
  ahead = seconds - Date.now() / 1000;
}

/** Return the service's time, in Unix seconds. */
export function now() {
  return Date.now() / 1000 + ahead;
}

/** Return a length of time in its two largest units. */
export function duration(seconds) {
  if (!Number.isFinite(seconds)) return "–";
  const value = Math.max(0, seconds);
  if (value < 0.00995) return `${(value * 1000).toFixed(1)} ms`;
  if (value < 0.9995) return `${Math.round(value * 1000)} ms`;
  if (value < 10) return `${value.toFixed(1)} s`;
  if (value < 60) return `${Math.floor(value)} s`;
  if (value < 3600) return `${Math.floor(value / 60)} min ${Math.floor(value % 60)} s`;
  if (value < 86400) return `${Math.floor(value / 3600)} h ${Math.floor((value % 3600) / 60)} min`;
  return `${Math.floor(value / 86400)} d ${Math.floor((value % 86400) / 3600)} h`;
}

/** Return how long ago a moment was, in whole seconds at the finest. */
export function age(seconds) {
  const passed = now() - seconds;
  return passed < 1 ? "now" : duration(passed < 10 ? Math.floor(passed) : passed).replace(/\.0 s$/, " s");
}

/** Return how long until a moment, in whole seconds at the finest. */
export function left(seconds) {
  return duration(Math.max(1, Math.ceil(seconds - now()))).replace(/\.0 s$/, " s");
}

/** Return the time of day. */
export function clock(seconds) {
  return new Date(seconds * 1000).toLocaleTimeString([], { hour12: false });
}

/** Return the date and time, in UTC, as logs have it. */
export function stamp(seconds) {
  const date = new Date(seconds * 1000);
  return Number.isNaN(date.getTime()) ? String(seconds) : date.toISOString();
}

/** Return a number with separators. */
export function count(value) {
  return value.toLocaleString("en");
}

/** Return a measured value with its unit. */
export function measure(value, unit) {
  if (!Number.isFinite(value)) return "–";
  return `${value >= 100 || Number.isInteger(value) ? Math.round(value) : value.toFixed(1)} ${unit}`;
}

/** Return "1 robot", "2 robots". */
export function plural(value, one, many = `${one}s`) {
  return `${count(value)} ${value === 1 ? one : many}`;
}
