"""The real browser of the suite: one Chromium a run, a person signed in through the form, and what
axe says of a page.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

CHROMIUM = Path("/usr/bin/chromium")
ARGS = [
    "--no-sandbox",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-gpu",
    "--disable-extensions",
]


@pytest.fixture(scope="session")
def chromium() -> Iterator[object]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=str(CHROMIUM), args=ARGS)
        yield browser
        browser.close()


@pytest.fixture
def enter(chromium, live_server, cast_committed):
    """A page of somebody signed in through the sign-in form, at a width and in a theme; refused
    content fails the test.
    """
    opened, refused = [], []

    def go(path: str, who: str = "mia", width: int = 1560, scheme: str = "light"):
        context = chromium.new_context(
            viewport={"width": width, "height": 940}, color_scheme=scheme
        )
        opened.append(context)
        page = context.new_page()
        page.on(
            "console",
            lambda m: refused.append(m.text) if "Content Security Policy" in m.text else None,
        )
        page.on("pageerror", lambda e: refused.append(str(e)))
        page.goto(f"{live_server.url}/accounts/login/?next={path}")
        page.fill("[name=login]", f"{who}@cana.test")
        page.fill("[name=password]", "correct-horse-9")
        page.click("button:has-text('Sign in')")
        page.wait_for_url(f"**{path}")
        return page

    yield go
    for context in opened:
        context.close()
    assert refused == []


# what the colours and the width of a page can change; the rest of it reads the same at any of them
LOOKS = (
    "{runOnly: {type: 'rule', values: ['color-contrast', 'link-in-text-block', 'target-size',"
    " 'scrollable-region-focusable']}}"
)
WCAG = "{runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa']}"
THEMES = (("light", "{}"), ("dark", LOOKS))
SETTLED = """new Promise(done => {
  const until = performance.now() + 5000;
  const look = () => {
    const busy = document.readyState !== 'complete' || document.querySelector('.htmx-request')
      || document.fonts.status !== 'loaded' || document.getAnimations().some(a => a.playState === 'running');
    busy && performance.now() < until ? setTimeout(look, 20) : done(true);
  };
  requestAnimationFrame(() => setTimeout(look, 0));
})"""

# Codes, money, dates and identifiers are read whole at every width, and no text lies on another.
# Names, payers and sentences may end in an ellipsis.
LAYOUT = """(() => {
  const found = [];
  const seen = e => {
    const box = e.getBoundingClientRect(), style = getComputedStyle(e);
    return box.width > 1 && box.height > 1 && style.visibility !== 'hidden'
      && !e.closest('.vh, dialog:not([open]), [popover]:not(:popover-open)')
      && !(e.closest('details:not([open])') && !e.closest('summary'));
  };
  const words = node => node.textContent.trim().replace(/\\s+/g, ' ').slice(0, 40);
  const whole = 'td.k-code, td.k-money, td.k-day, td.k-mdy, td.k-moment, td.k-deadline, .id, .code, .num, time';
  // a drawer or a menu lies over the page on purpose: texts are compared within one layer
  const layer = e => {
    for (let p = e; p && p !== document.body; p = p.parentElement) {
      if (['fixed', 'absolute', 'sticky'].includes(getComputedStyle(p).position)) return p;
    }
    return null;
  };
  const clips = e => getComputedStyle(e).overflowX !== 'visible';
  for (const e of document.querySelectorAll('main :is(' + whole + ')')) {
    if (!seen(e) || getComputedStyle(e).display === 'none') continue;
    for (let p = e; p && p.tagName !== 'MAIN'; p = p.parentElement) {
      if (getComputedStyle(p).overflowX === 'auto' || getComputedStyle(p).overflowX === 'scroll') break;
      if (clips(p) && p.scrollWidth > p.clientWidth + 1
          && e.getBoundingClientRect().right > p.getBoundingClientRect().right + 1) {
        found.push('cut: ' + words(e)); break;
      }
    }
  }
  const texts = document.createTreeWalker(
    document.querySelector('main') || document.body, NodeFilter.SHOW_TEXT);
  const boxes = [];
  for (let n; (n = texts.nextNode());) {
    if (!n.textContent.trim() || !seen(n.parentElement)) continue;
    if (n.parentElement.closest('.bulk, .sticky, textarea, select')) continue;
    const range = document.createRange();
    range.selectNodeContents(n);
    for (const r of range.getClientRects()) {
      let [left, right, top, bottom] = [r.left, r.right, r.top, r.bottom];
      for (let p = n.parentElement; p && p !== document.body; p = p.parentElement) {
        if (!clips(p)) continue;
        const b = p.getBoundingClientRect();
        [left, right, top, bottom] = [Math.max(left, b.left), Math.min(right, b.right),
          Math.max(top, b.top), Math.min(bottom, b.bottom)];
      }
      if (right - left > 1 && bottom - top > 2) boxes.push([n, left, right, top, bottom, layer(n.parentElement)]);
    }
  }
  boxes.sort((a, b) => a[3] - b[3]);
  for (let i = 0; i < boxes.length; i++) {
    for (let j = i + 1; j < boxes.length && boxes[j][3] < boxes[i][4] - 4; j++) {
      const [a, b] = [boxes[i], boxes[j]];
      const across = Math.min(a[2], b[2]) - Math.max(a[1], b[1]);
      if (a[0] !== b[0] && a[5] === b[5] && across > 2) found.push('over: ' + words(a[0]) + ' / ' + words(b[0]));
    }
  }
  if (document.documentElement.scrollWidth > window.innerWidth) found.push('scrolls sideways');
  return [...new Set(found)].slice(0, 8);
})()"""


@cache
def axe_source() -> str:
    import axe_playwright_python

    return (Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text()


class Inspector:
    """Scripts of ours in a page: through the debugger, which the page's own content policy does not
    bind.
    """

    def __init__(self, page) -> None:
        self.session = page.context.new_cdp_session(page)

    def run(self, script: str):
        answer = self.session.send(
            "Runtime.evaluate", {"expression": script, "awaitPromise": True, "returnByValue": True}
        )
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def settle(self) -> None:
        """Wait until what the page asked for by itself is there: fonts, fragments, the end of every
        movement.
        """
        self.run(SETTLED)

    def violations(self, rules: str = "{}") -> list[str]:
        """What axe finds, rule by rule with the elements; `rules` limits what it looks for."""
        self.settle()
        if not self.run("typeof axe === 'object'"):
            self.run(axe_source())
        found, passed = self.run(
            f"axe.run(document, {rules}).then(r => [r.violations.map(v => v.id + ': ' +"
            " v.nodes.map(n => n.html.slice(0, 140)).slice(0, 5).join(' | ')), r.passes.length])"
        )
        assert passed > (0 if rules == LOOKS else 10)
        return found

    def faults_of_layout(self) -> list[str]:
        """What is cut, lies on something else or makes the page scroll sideways."""
        self.settle()
        return self.run(LAYOUT)


def violations(page) -> list[str]:
    """What axe finds in a page as it stands, by every rule."""
    return Inspector(page).violations()


def violations_in_both_themes(page) -> list[str]:
    """What axe finds by every rule in the light, and by those of colour and size in the dark."""
    inspector, found = Inspector(page), []
    for scheme, rules in THEMES:
        page.emulate_media(color_scheme=scheme)
        found += [f"{scheme}: {v}" for v in inspector.violations(rules)]
    return found
