// Ctrl-K: the server finds pages, patients, claims; arrows choose, Enter opens. Also the list of shortcuts.
const palette = document.getElementById("palette");
const box = document.getElementById("palette-q");
const hits = () => [...document.querySelectorAll("#palette-results .palette-hit")];

export function openPalette() {
  if (!palette || palette.open) return;
  palette.showModal();
  box.select();
  palette.dispatchEvent(new Event("open"));
}
export function openShortcuts() {
  const sheet = document.getElementById("shortcuts");
  if (!sheet || sheet.open) return;
  fill(sheet.querySelector("[data-jumps]"), [...document.querySelectorAll("[data-jump]")].map((
    a) => [`g ${a.dataset.jump}`, a.firstElementChild.textContent]));
  // a key that every row has is said once
  const keys = new Map([...document.querySelectorAll("[data-key][data-key-label]")].map((b) => [b
    .dataset.key, b.dataset.keyLabel
  ]));
  fill(sheet.querySelector("[data-page-keys]"), [...keys]);
  sheet.showModal();
}

function fill(list, pairs) {
  list.replaceChildren(...pairs.flatMap(([keys, words]) => {
    const term = document.createElement("dt");
    term.append(...keys.split(" ").flatMap((key, i) => {
      const k = document.createElement("kbd");
      k.textContent = key;
      return i ? [" ", k] : [k];
    }));
    const text = document.createElement("dd");
    text.textContent = words;
    return [term, text];
  }));
}

function choose(step) {
  const all = hits();
  if (!all.length) return;
  const now = all.findIndex((hit) => hit.getAttribute("aria-selected") === "true");
  const next = (now + step + all.length) % all.length;
  all.forEach((hit, i) => hit.setAttribute("aria-selected", String(i === next)));
  box.setAttribute("aria-activedescendant", all[next].id);
  all[next].scrollIntoView({
    block: "nearest"
  });
}
box?.addEventListener("keydown", (event) => {
  if (event.key === "ArrowDown" || event.key === "ArrowUp") {
    event.preventDefault();
    choose(event.key === "ArrowDown" ? 1 : -1);
  }
  if (event.key === "Enter") {
    event.preventDefault();
    hits().find((hit) => hit.getAttribute("aria-selected") === "true")?.click();
  }
});
for (const dialog of document.querySelectorAll("dialog")) {
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog) dialog.close();
  });
}
document.addEventListener("click", (event) => {
  if (event.target.closest("[data-palette]")) openPalette();
  if (event.target.closest("[data-shortcuts]")) openShortcuts();
});
