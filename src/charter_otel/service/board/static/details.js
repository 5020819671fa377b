// Details have addresses: #/robots/ID, #/jobs/ID, #/events/ID, #/traces/ID.

import { byId, el, say } from "./dom.js";
import { EventDetails } from "./event.js";
import { JobDetails } from "./job.js";
import { RobotDetails } from "./robot.js";
import { TraceDetails } from "./trace.js";

const KINDS = { robots: RobotDetails, jobs: JobDetails, events: EventDetails, traces: TraceDetails };

/** Return the subject of an address, or null for the board itself. */
export function parse(hash) {
  const [, kind, id] = hash.match(/^#\/([a-z]+)\/(.+)$/) ?? [];
  if (!Object.hasOwn(KINDS, kind ?? "")) return null;
  try {
    return { kind, id: decodeURIComponent(id) };
  } catch {
    return null;
  }
}

/** If the panel covers the board, nothing below it takes the focus. */
const COVERED = matchMedia("(max-width: 640px)");

/** The panel beside the board. */
export class Details {
  /** Title of the window. */
  title = "Charter board";
  #shown = null;
  #opener = null;

  constructor(context) {
    this.context = context;
    window.addEventListener("hashchange", () => this.open());
    COVERED.addEventListener("change", () => (byId("main").inert = COVERED.matches && !byId("details").hidden));
  }

  /** Show the subject of the address. */
  open() {
    const place = parse(location.hash);
    this.#shown?.close?.();
    this.#shown = null;
    const panel = byId("details");
    if (!place) {
      if (!panel.hidden) this.#leave(panel);
      return;
    }
    if (panel.hidden) this.#opener = document.activeElement;
    panel.hidden = false;
    document.body.dataset.details = place.kind;
    say(byId("details-title"), place.id);
    this.title = `${place.id} · Charter board`;
    byId("main").inert = COVERED.matches;
    const body = el("div");
    byId("details-body").replaceChildren(body);
    this.#shown = new KINDS[place.kind](place.id, body, this.context);
    this.render();
    byId("details-title").focus({ preventScroll: false });
  }

  /** Show it again. */
  render() {
    this.#shown?.render();
  }

  #leave(panel) {
    panel.hidden = true;
    delete document.body.dataset.details;
    this.title = "Charter board";
    byId("main").inert = false;
    byId("details-body").replaceChildren();
    if (this.#opener?.isConnected) this.#opener.focus();
  }
}
