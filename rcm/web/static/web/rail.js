// The figures of the rail come after the page, so that no page waits for them.
const rail = document.querySelector("[data-counts]");
if (rail) {
  const answer = await fetch(rail.dataset.counts, {
    headers: {
      Accept: "application/json"
    }
  });
  if (answer.ok) {
    for (const [name, count] of Object.entries(await answer.json())) {
      const place = rail.querySelector(`[data-count="${CSS.escape(name)}"]`);
      if (place) place.textContent = Number(count).toLocaleString("en-US");
    }
  }
}
