// Asks for a token if the service requires one. It is kept in memory only: a reload forgets it.

import { hasToken, setToken } from "./api.js";
import { byId, say } from "./dom.js";

/** Prepare the dialog; `onToken` is called with each token that was given. */
export function setUp(onToken) {
  const dialog = byId("token");
  byId("sign-in").addEventListener("click", () => dialog.showModal());
  dialog.addEventListener("close", () => {
    const field = dialog.querySelector("input");
    if (dialog.returnValue !== "use" || !field.value.trim()) return;
    setToken(field.value.trim());
    field.value = "";
    dialog.returnValue = "";
    onToken();
  });
}

/** Ask for a token, and show why the last one was refused, if it was. */
export function ask(error) {
  const dialog = byId("token");
  byId("sign-in").hidden = false;
  if (dialog.open) return;
  say(byId("token-why"), hasToken() ? error.message : "Robots, jobs and events are shown to those who may read.");
  dialog.showModal();
}
