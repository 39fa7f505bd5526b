// Theme, density and shortcuts change at once and are kept by the server; without script the same form reloads the page.
document.addEventListener("submit", async (event) => {
  const form = event.target.closest("form[data-preferences]");
  if (!form || !event.submitter) return;
  event.preventDefault();
  const {
    name,
    value
  } = event.submitter;
  document.documentElement.dataset[name] = value;
  for (const button of form.querySelectorAll(`button[name="${name}"]`)) button.setAttribute(
    "aria-pressed", String(button === event.submitter));
  const body = new FormData(form);
  body.set(name, value);
  await fetch(form.action, {
    method: "POST",
    body,
    headers: {
      "HX-Request": "true"
    }
  });
});
