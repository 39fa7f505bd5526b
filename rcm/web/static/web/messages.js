// Toasts with undo and the announcer for screen readers.
// The server asks for one by the response header  HX-Trigger: {"toast": {"text": "…", "undo": "/url/", "tone": "bad"}}
import {
  csrf
} from "./csrf.js";

const UNDO_SECONDS = 10;

export function announce(text) {
  const region = document.getElementById("announce");
  if (region) region.textContent = text;
}

export function toast({
  text,
  undo = "",
  tone = "",
  label = "Undo"
}) {
  const box = document.createElement("div");
  box.className = tone ? `toast toast--${tone}` : "toast";
  const words = document.createElement("span");
  words.textContent = text;
  box.append(words);
  let timer = 0;
  const close = () => {
    clearTimeout(timer);
    box.remove();
  };
  const wait = () => {
    timer = setTimeout(close, (undo || tone === "bad" ? UNDO_SECONDS : 5) * 1000);
  };
  if (undo) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = label;
    button.addEventListener("click", async () => {
      close();
      const answer = await fetch(undo, {
        method: "POST",
        headers: {
          "X-CSRFToken": csrf(),
          "HX-Request": "true"
        }
      });
      if (answer.ok) location.reload();
      else toast({
        text: "That could not be undone. Reload the page to see what is there now.",
        tone: "bad"
      });
    });
    box.append(button);
  }
  const shut = document.createElement("button");
  shut.type = "button";
  shut.textContent = "Close";
  shut.addEventListener("click", close);
  box.append(shut);
  box.addEventListener("pointerenter", () => clearTimeout(timer));
  box.addEventListener("pointerleave", wait);
  box.addEventListener("focusin", () => clearTimeout(timer));
  box.addEventListener("focusout", wait);
  document.getElementById("toasts")?.append(box);
  wait();
}

document.addEventListener("toast", (event) => toast(event.detail.value ?? event.detail));
