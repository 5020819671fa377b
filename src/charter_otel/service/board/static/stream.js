// The event stream as Server-Sent Events. EventSource cannot send a token, so this reads the response itself;
// it reconnects with Last-Event-ID after each outage, for ever, and reports the connection's state.

import { Refused, request } from "./api.js";

/** The service sends a comment every 15 s: a connection that is silent for longer is dead. */
const SILENT_AT_MOST = 35_000;
const FIRST_PAUSE = 500;
const LONGEST_PAUSE = 5_000;

/** Follows the events until the page goes away. */
export class Follower {
  #lastId = null;
  #pause = FIRST_PAUSE;
  #wake = null;
  #watch = null;

  /** `onEvent(envelope)`, `onOpen()`, `onLost(error)`: the last one with Refused if a token is required. */
  constructor({ onEvent, onOpen, onLost }) {
    this.handlers = { onEvent, onOpen, onLost };
  }

  async run() {
    for (;;) {
      let error = new Error("the service ended the connection");
      try {
        await this.#read();
      } catch (raised) {
        error = raised;
      }
      this.handlers.onLost(error);
      await this.#wait(error);
    }
  }

  /** Try again now. */
  retry() {
    this.#pause = FIRST_PAUSE;
    this.#wake?.();
  }

  /** End the connection: a page that the browser keeps for later would hold it open. */
  hangUp() {
    this.#watch?.stop();
  }

  async #read() {
    const watch = (this.#watch = new Watchdog(SILENT_AT_MOST));
    try {
      const headers = { Accept: "text/event-stream" };
      if (this.#lastId) headers["Last-Event-ID"] = this.#lastId;
      const response = await request("api/events/stream", { headers, signal: watch.signal });
      if (!response.headers.get("content-type")?.startsWith("text/event-stream")) {
        throw new Refused(response.status, "the answer is not an event stream");
      }
      this.#pause = FIRST_PAUSE;
      this.handlers.onOpen();
      await this.#parse(response.body.getReader(), watch);
    } finally {
      watch.stop();
    }
  }

  async #parse(reader, watch) {
    const decoder = new TextDecoder();
    let rest = "";
    let event = {};
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      watch.seen();
      const lines = (rest + decoder.decode(value, { stream: true })).split(/\r\n|\n|\r/);
      rest = lines.pop();
      for (const line of lines) event = this.#line(line, event);
    }
  }

  #line(line, event) {
    if (line === "") {
      if (event.data !== undefined) this.#dispatch(event);
      return {};
    }
    const [name, value] = line.match(/^([^:]*):? ?(.*)$/s).slice(1);
    if (name === "data") event.data = event.data === undefined ? value : `${event.data}\n${value}`;
    else if (name === "id") event.id = value;
    return event;
  }

  #dispatch(event) {
    if (event.id) this.#lastId = event.id;
    let envelope;
    try {
      envelope = JSON.parse(event.data);
    } catch {
      return;
    }
    this.handlers.onEvent(envelope);
  }

  async #wait(error) {
    const forToken = error instanceof Refused && error.wantsToken;
    const pause = forToken ? 2 ** 31 - 1 : this.#pause * (0.5 + Math.random() / 2);
    this.#pause = Math.min(this.#pause * 2, LONGEST_PAUSE);
    await new Promise((resolve) => {
      const timer = setTimeout(resolve, pause);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
    this.#wake = null;
  }
}

/** Aborts a request that has been silent for too long. */
class Watchdog {
  #controller = new AbortController();
  #timer = null;

  constructor(limit) {
    this.limit = limit;
    this.signal = this.#controller.signal;
    this.seen();
  }

  seen() {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(
      () => this.#controller.abort(new Error("the service has gone silent")),
      this.limit,
    );
  }

  /** End the request as well, if it still runs. */
  stop() {
    clearTimeout(this.#timer);
    this.#controller.abort();
  }
}
