// The contract with the server: 422 is the form again, 409 the conflict, both are shown; other failures get a sentence.
import {
  announce,
  toast
} from "./messages.js";

const SHOWN = [409, 422];
const SENTENCES = {
  0: "The server cannot be reached. What you typed is still here; try again in a moment.",
  403: "You are not allowed to do that, or you have been signed out. Reload the page.",
  404: "That is no longer there. Reload the list.",
  413: "That file is too large.",
  429: "Too many requests. Wait a minute.",
  503: "The system is busy. Try again in a moment.",
};

document.addEventListener("htmx:beforeSwap", (event) => {
  if (SHOWN.includes(event.detail.xhr.status) && event.detail.serverResponse) {
    event.detail.shouldSwap = true;
    event.detail.isError = false;
  }
});
for (const name of ["htmx:responseError", "htmx:sendError", "htmx:timeout"]) {
  document.addEventListener(name, (event) => {
    const status = event.detail.xhr?.status ?? 0;
    if (SHOWN.includes(status)) return;
    if (status === 401) {
      location.reload();
      return;
    }
    toast({
      text: SENTENCES[status] ?? "Something went wrong on our side. Nothing was changed.",
      tone: "bad"
    });
  });
}
document.addEventListener("htmx:beforeRequest", (event) => event.detail.target?.setAttribute?.(
  "aria-busy", "true"));
document.addEventListener("htmx:afterRequest", (event) => event.detail.target?.removeAttribute?.(
  "aria-busy"));
document.addEventListener("htmx:afterSettle", (event) => {
  const said = event.detail.target?.querySelector?.("[data-announce]");
  if (said) announce(said.textContent.trim());
  event.detail.target?.querySelector?.("[data-focus]")?.focus();
  focusField(document);
});

// what a partner refused is corrected in its field: the cursor goes there, unless somebody is typing
function focusField(root) {
  const typing = document.activeElement?.matches?.("input, textarea, select");
  const place = root.querySelector("[data-focus-on]")?.dataset.focusOn;
  if (place && !typing) document.getElementById(place)?.focus();
}
focusField(document);
