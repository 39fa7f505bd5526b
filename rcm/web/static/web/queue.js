// Row cursor, selection and single keys. Keys are off while typing and can be switched off (WCAG 2.1.4).
// Any other letter presses the element with data-key="<letter>": in the cursor's row, else in the panel, else on the page.
import {
  openPalette,
  openShortcuts
} from "./palette.js";

const on = () => document.documentElement.dataset.hotkeys !== "off";
const typing = (event) => {
  const dialog = event.target.closest?.("dialog");
  if (dialog) return dialog.open; // focus leaves a closed dialog a moment later
  return event.target.closest?.(
    "input:not([type=checkbox], [type=radio]), textarea, select, [contenteditable]");
};
const rows = () => [...document.querySelectorAll("tr[data-row]")];
const current = () => document.querySelector("tr.cursor") ?? document.querySelector(
  "tr[data-open]");
const panel = () => document.getElementById("panel");
const beside = () => panel() && getComputedStyle(panel()).display !== "none";
let jumping = -Infinity;
let loading = 0;

function move(step) {
  const all = rows();
  if (!all.length) return;
  const now = all.indexOf(document.querySelector("tr.cursor") ?? null);
  const from = now < 0 ? all.findIndex((row) => row.hasAttribute("data-open") && beside()) : now;
  const row = all[Math.max(0, Math.min(from + step, all.length - 1))] ?? all[0];
  all.forEach((other) => other.classList.toggle("cursor", other === row));
  const link = row.querySelector("[data-row-link]");
  link?.focus({
    preventScroll: true
  });
  row.scrollIntoView({
    block: "nearest"
  });
  // while the panel is in sight the row under the cursor loads into it, so the eyes stay where they are
  clearTimeout(loading);
  if (beside() && link) loading = setTimeout(() => link.click(), 120);
}
const box = (row) => row?.querySelector(".pick input");

function sync() {
  const all = rows();
  const picked = all.filter((row) => box(row)?.checked);
  all.forEach((row) => row.setAttribute("aria-selected", String(picked.includes(row))));
  const every = document.querySelector("[data-pick-all]");
  if (every) {
    every.checked = picked.length > 0 && picked.length === all.length;
    every.indeterminate = picked.length > 0 && picked.length < all.length;
  }
  const words = document.querySelector("[data-bulk-count]");
  if (!words) return;
  const cents = picked.reduce((sum, row) => sum + Math.round(parseFloat(row.dataset.amount ?? "0") *
    100), 0);
  const dollars = picked.some((row) => row.dataset.amount) ?
    `, ${(cents / 100).toLocaleString("en-US", { style: "currency", currency: "USD" })}` : "";
  words.textContent = `${picked.length} selected${dollars}`;
}

function press(key) {
  clearTimeout(loading); // a row that would load now would lie over what the key does
  const wanted = `[data-key="${CSS.escape(key)}"]`;
  const found = [current(), panel(), document.getElementById("main")].map((place) => place
    ?.querySelector(wanted)).find(Boolean);
  if (!found) return false;
  if (found.matches("input, textarea, select")) found.focus();
  else found.click();
  return true;
}

function close() {
  const side = panel();
  if (!side?.hasAttribute("data-opened")) return false;
  side.removeAttribute("data-opened");
  history.replaceState(history.state, "", side.dataset.close || location.pathname);
  document.querySelector("tr.cursor [data-row-link], tr[data-open] [data-row-link]")?.focus();
  return true;
}
const keys = {
  j: () => move(1),
  k: () => move(-1),
  x: () => {
    const input = box(current());
    if (input) {
      input.checked = !input.checked;
      sync();
    }
  },
  Enter: (event) => {
    clearTimeout(loading);
    if (!event.target.closest("a, button, summary, input, [role=option]")) current()
      ?.querySelector("[data-row-link]")?.click();
  },
  "/": (event) => {
    const search = document.querySelector(".filters [name=q], [data-search]");
    if (search) {
      event.preventDefault();
      search.focus();
      search.select();
    }
  },
  "?": () => openShortcuts(),
  Escape: () => close(),
};
document.addEventListener("keydown", (event) => {
  if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "k") {
    event.preventDefault();
    openPalette();
    return;
  }
  if (event.key === "Escape" && event.target.matches?.(".filters [name=q]")) {
    event.target.blur();
    return;
  }
  if (event.ctrlKey || event.metaKey || event.altKey || typing(event)) return;
  if (event.key === "Escape") {
    close();
    return;
  }
  if (!on() && event.key !== "Enter") return;
  if (event.timeStamp - jumping < 1500 && event.key.length === 1) {
    jumping = -Infinity;
    const link = document.querySelector(`[data-jump="${CSS.escape(event.key)}"]`);
    if (link) {
      event.preventDefault();
      link.click();
      return;
    }
  }
  if (event.key === "g") {
    jumping = event.timeStamp;
    return;
  }
  if (keys[event.key]) keys[event.key](event);
  else if (event.key.length === 1 && press(event.key)) event.preventDefault();
});
document.addEventListener("change", (event) => {
  if (event.target.matches("[data-pick-all]")) rows().forEach((row) => {
    const input = box(row);
    if (input) input.checked = event.target.checked;
  });
  if (event.target.matches(".pick input")) sync();
});
document.addEventListener("click", (event) => {
  if (event.target.closest("[data-pick-none]")) {
    rows().forEach((row) => {
      const input = box(row);
      if (input) input.checked = false;
    });
    sync();
  }
  if (event.target.closest(".panel-close")) {
    event.preventDefault();
    close();
  }
  const link = event.target.closest("[data-row-link]");
  if (!link || event.ctrlKey || event.metaKey || !panel()) return;
  const row = link.closest("tr");
  rows().forEach((other) => {
    other.classList.toggle("cursor", other === row);
    other.toggleAttribute("data-open", other === row);
    other.querySelector("[data-row-link]")?.removeAttribute("aria-current");
  });
  link.setAttribute("aria-current", "true");
  panel().setAttribute("data-opened", "");
});
document.addEventListener("htmx:afterSettle", (event) => {
  if (event.detail.target?.id === "rows") sync();
});
sync();

// Back from a row's page leads to the row: the list remembers which one was opened.
const place = `row:${location.pathname}${location.search}`;
document.addEventListener("click", (event) => {
  const link = event.target.closest("tr[data-row] a[href]");
  if (link && !panel()) sessionStorage.setItem(place, link.closest("tr").querySelector(
    "[data-row-link]")?.getAttribute("href") ?? "");
});
if (performance.getEntriesByType("navigation")[0]?.type === "back_forward") {
  const href = sessionStorage.getItem(place);
  const row = href && rows().find((each) => each.querySelector("[data-row-link]")?.getAttribute(
    "href") === href);
  if (row) {
    row.classList.add("cursor");
    row.querySelector("[data-row-link]").focus();
  }
}
