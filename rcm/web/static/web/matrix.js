// Arrow keys walk over the cells of a matrix; Tab walks over them too, one after the other.
const steps = {
  ArrowLeft: [0, -1],
  ArrowRight: [0, 1],
  ArrowUp: [-1, 0],
  ArrowDown: [1, 0]
};

document.addEventListener("keydown", (event) => {
  const step = steps[event.key];
  const here = event.target.closest?.("[data-matrix] [data-square]");
  if (!step || !here || event.ctrlKey || event.metaKey || event.altKey || event.shiftKey) return;
  const lines = [...here.closest("[data-matrix]").querySelectorAll("tr")]
    .map((row) => [...row.querySelectorAll("[data-square]")])
    .filter((cells) => cells.length);
  const line = lines.findIndex((cells) => cells.includes(here));
  const place = lines[line].indexOf(here);
  const next = lines[line + step[0]]?.[place + step[1]];
  if (!next) return;
  event.preventDefault();
  next.focus();
});
