// What is typed outlives a lapse of the session. It is kept in this tab for its reader until it is saved, and given
// back when the form is there again; signing out, or somebody else's sign-in, takes it away.
const reader = document.documentElement.dataset.reader;
const PREFIX = "draft:";
const LIVES = 8 * 3600 * 1000;

const storedKeys = () => Object.keys(sessionStorage).filter((key) => key.startsWith(PREFIX));
// by attribute: a form with a field called "action" has that field in its place
const keyOf = (form) =>
  `${PREFIX}${reader}:${new URL(form.getAttribute("action") || "", location.href).pathname}`;
const read = (key) => JSON.parse(sessionStorage.getItem(key) ?? "null");
const write = (key, draft) => sessionStorage.setItem(key, JSON.stringify(draft));
const kept = (form) => reader && form.matches("main form[method=post]") && !form.dataset.sent;
const refused = (form) => form.querySelector(".summary, [aria-invalid=true]") !== null;

function fields(form) {
  return [...form.elements].filter((field) => field.name && field.type !== "hidden" &&
    !["password", "file", "submit", "button", "fieldset"].includes(field.type));
}

function changed(field) {
  if (field.type === "checkbox" || field.type === "radio") {
    return field.checked !== field.defaultChecked;
  }
  if (field.tagName !== "SELECT") return field.value !== field.defaultValue;
  return [...field.options].some((option) => option.selected !== option.defaultSelected);
}

function keep(form) {
  const values = fields(form).filter(changed).map((field) =>
    field.type === "checkbox" || field.type === "radio" ? {
      name: field.name,
      box: field.value,
      on: field.checked
    } : {
      name: field.name,
      value: field.value
    });
  if (values.length) write(keyOf(form), {
    at: Date.now(),
    values
  });
  else sessionStorage.removeItem(keyOf(form));
}

function put(form, saved) {
  for (const field of fields(form).filter((each) => each.name === saved.name)) {
    if (!("box" in saved)) field.value = saved.value;
    else if (field.value === saved.box) field.checked = saved.on;
  }
}

function say(form, key) {
  const note = document.createElement("p");
  note.className = "draft-note";
  note.setAttribute("role", "status");
  note.append("What you typed is back. ");
  const discard = document.createElement("button");
  discard.type = "button";
  discard.className = "linkish";
  discard.textContent = "Discard it";
  discard.addEventListener("click", () => {
    sessionStorage.removeItem(key);
    form.reset();
    note.remove();
  });
  note.append(discard);
  form.prepend(note);
}

function restore(root) {
  for (const form of root.querySelectorAll("form[method=post]")) {
    if (!kept(form) || form.querySelector(".draft-note")) continue;
    const key = keyOf(form);
    const draft = read(key);
    if (!draft || refused(form) || Date.now() - draft.at > LIVES) continue;
    draft.values.forEach((saved) => put(form, saved));
    say(form, key);
  }
}

// A form that was sent has done its work when another page than the sign-in follows.
function settle() {
  for (const key of storedKeys()) {
    if (reader && !key.startsWith(`${PREFIX}${reader}:`)) {
      sessionStorage.removeItem(key);
      continue;
    }
    const draft = read(key);
    if (!draft?.sent) continue;
    const failed = document.querySelector("[data-failed]") !== null;
    if (reader && !failed) sessionStorage.removeItem(key);
    else write(key, {
      ...draft,
      sent: false
    });
  }
}

document.addEventListener("input", (event) => {
  const form = event.target.form;
  if (form && kept(form)) keep(form);
});
document.addEventListener("submit", (event) => {
  if (event.target.matches("[data-signs-out]")) storedKeys().forEach((key) => sessionStorage.removeItem(key));
  if (!reader || event.target.hasAttribute("hx-post")) return;
  const draft = read(keyOf(event.target));
  if (draft) write(keyOf(event.target), {
    ...draft,
    sent: true
  });
});
document.addEventListener("htmx:afterRequest", (event) => {
  const form = event.detail.elt;
  if (form.matches?.("form[hx-post]") && event.detail.successful) sessionStorage.removeItem(keyOf(form));
});
document.addEventListener("htmx:afterSettle", (event) => restore(event.detail.target ?? document));
settle();
restore(document);

// The answer to a form that was refused stands in the history as a page that can be opened again: Back finds it.
if (document.querySelector("main form[method=post] .summary")) {
  history.replaceState(history.state, "", location.href);
}
