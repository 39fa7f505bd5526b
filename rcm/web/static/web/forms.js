// Focus goes to the error summary, its links to the input; dangerous buttons ask once; a form is sent once.
document.querySelector("[data-focus]:not([data-example] *)")?.focus();

document.addEventListener("click", (event) => {
  const link = event.target.closest(".summary a[href^='#']");
  if (!link) return;
  const input = document.getElementById(link.getAttribute("href").slice(1));
  if (!input) return;
  event.preventDefault();
  input.focus();
  (input.closest(".field") ?? input).scrollIntoView({
    block: "start"
  });
});
document.addEventListener("submit", (event) => {
  const words = event.submitter?.dataset.confirm;
  if (words && !window.confirm(words)) {
    event.preventDefault();
    return;
  }
  const form = event.target;
  if (form.method !== "post" || form.hasAttribute("hx-post") || form.matches(
      "[data-preferences]")) return;
  if (form.dataset.sent) {
    event.preventDefault();
    return;
  }
  form.dataset.sent = "yes";
  event.submitter?.setAttribute("aria-busy", "true");
});
window.addEventListener("pageshow", () => document.querySelectorAll("form[data-sent]").forEach((
  form) => delete form.dataset.sent));
