import re
from importlib.resources import files

import pytest

from anomalign.service.pages.assets import ASSETS, VERSION

PAGES = ["/", "/inspections/3", "/banks/parts", "/banks/parts/drift", "/audit"]
SIZES = [(1440, 900), (1024, 768), (768, 1024)]

# Of every text that is seen: the contrast of its colour with the nearest background that is painted behind it.
CONTRASTS = """() => {
  const parse = (text) => text.match(/[\\d.]+/g).map(Number);
  const linear = (v) => (v / 255 <= 0.04045 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4);
  const light = ([r, g, b]) => 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
  const behind = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const colour = parse(getComputedStyle(at).backgroundColor);
      if (colour.length < 4 || colour[3] === 1) return colour;
    }
    return [255, 255, 255];
  };
  const left = 'svg, [disabled], [aria-disabled=true], .only-heard, .skip, option';
  const found = [];
  for (const element of document.querySelectorAll('body *')) {
    const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
    if (!own || !element.checkVisibility() || element.closest(left)) continue;
    const [a, b] = [light(parse(getComputedStyle(element).color)), light(behind(element))];
    found.push([(Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05), element.outerHTML.slice(0, 100)]);
  }
  return found;
}"""

# What is touched, and how high it is; links within text, and in tables, are left out.
TARGETS = """() => {
  const left = 'table, p, details:not([open]) > :not(summary), .skip';
  return [...document.querySelectorAll('a[href], button, select, textarea, input, summary')]
    .filter((e) => e.checkVisibility() && !e.closest(left) && getComputedStyle(e).opacity !== '0')
    .map((e) => [(e.closest('label') ?? e).getBoundingClientRect().height, e.outerHTML.slice(0, 90)]);
}"""

# Controls that a screen reader could not name.
UNNAMED = """() => {
  const labels = (e) => [...(e.labels ?? [])].some((label) => label.innerText.trim());
  return [...document.querySelectorAll('a[href], button, select, textarea, input')]
    .filter((e) => e.checkVisibility() && !(e.getAttribute('aria-label') || e.innerText?.trim() || labels(e)))
    .map((e) => e.outerHTML.slice(0, 100));
}"""


@pytest.fixture(scope="module")
def service(kept_service):
    """One for all tests here: none changes it."""
    return kept_service


@pytest.fixture(scope="module")
def client(kept_client):
    return kept_client


@pytest.fixture(scope="module")
def records(kept_records):
    return kept_records


def settled(page, address):
    page.goto(address)
    page.wait_for_load_state("load")
    page.wait_for_function("() => document.querySelector('#state')?.textContent !== 'Loading\u2026'")
    page.wait_for_timeout(300)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_all_text_can_be_read(browse, service, records, scheme):
    """WCAG 2 AA: 4.5 to 1."""
    with browse(service.url, color_scheme=scheme) as page:
        for address in PAGES:
            settled(page, address)
            assert [(ratio, text) for ratio, text in page.evaluate(CONTRASTS) if ratio < 4.5] == []
        paper = page.evaluate("() => getComputedStyle(document.body).backgroundColor")
        assert (max(map(int, re.findall(r"\d+", paper))) < 60) == (scheme == "dark")


# Controls whose middle is covered by another element when they have been scrolled into view.
COVERED = """async () => {
  const found = [];
  for (const e of document.querySelectorAll('main :is(a[href], button, select, textarea, summary, input, #here)')) {
    if (!e.checkVisibility() || getComputedStyle(e).opacity === '0') continue;
    e.scrollIntoView({ block: 'nearest', inline: 'nearest' });
    await new Promise(requestAnimationFrame);
    const box = e.getBoundingClientRect();
    const top = document.elementFromPoint(box.x + box.width / 2, box.y + box.height / 2);
    if (!top || !(e.contains(top) || top.contains(e)))
      found.push([e.outerHTML.slice(0, 90), top?.outerHTML.slice(0, 90)]);
  }
  return found;
}"""


@pytest.mark.parametrize("size", [(820, 1100), (820, 600), (1280, 800)])
def test_nothing_covers_a_control(browse, service, records, size):
    """Wherever the page is scrolled to."""
    viewport = dict(zip(("width", "height"), size, strict=True))
    with browse(service.url, viewport=viewport, reduced_motion="reduce") as page:
        for address in PAGES:
            settled(page, address)
            assert page.evaluate(COVERED) == []
            page.evaluate("() => scrollTo(0, document.body.scrollHeight)")
            assert page.evaluate(COVERED) == []


@pytest.mark.parametrize("size", SIZES)
def test_nothing_hangs_over_the_edge_and_fingers_hit(browse, service, records, size):
    """Also of a tablet: no page is wider than the screen, and what is touched is 40 px high at least."""
    with browse(service.url, viewport=dict(zip(("width", "height"), size, strict=True)), has_touch=True) as page:
        for address in PAGES:
            settled(page, address)
            assert page.evaluate("() => document.documentElement.scrollWidth <= innerWidth"), address
            assert [(height, text) for height, text in page.evaluate(TARGETS) if height < 40] == []


def test_every_control_has_a_name(browse, service, records):
    with browse(service.url) as page:
        for address in PAGES:
            settled(page, address)
            assert page.evaluate(UNNAMED) == []
            assert page.locator("h1").count() == 1
            assert page.evaluate("() => document.documentElement.lang") == "en"


def test_nothing_moves_for_those_who_want_it_still(browse, service, records):
    with browse(service.url, reduced_motion="reduce") as page:
        for address in PAGES:
            settled(page, address)
            assert page.evaluate("() => document.getAnimations().length") == 0


def test_without_scripts_a_page_says_what_it_needs(browse, service):
    with browse(service.url, java_script_enabled=False) as page:
        page.goto("/")
        assert "needs JavaScript" in page.locator("main").inner_text()


def test_files_are_kept_by_the_browser_for_good(client):
    for name, asset in ASSETS.items():
        answer = client.get(f"/static/{VERSION}/{name}")
        assert answer.content == asset.content
        assert "immutable" in answer.headers["cache-control"]
        assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    "path", ["/static/0000/dom.js", f"/static/{VERSION}/../router.py", f"/static/{VERSION}/%2e%2e%2f%2e%2e%2fapp.py"]
)
def test_no_name_is_a_path(client, path):
    assert client.get(path).status_code == 404


def test_nothing_is_written_into_the_pages_that_the_policy_forbids():
    """No inline script, style or handler, and no address of another host."""
    service = files("anomalign.service")
    for template in service.joinpath("templates").iterdir():
        html = template.read_text("utf-8")
        assert not re.search(r"<style|\sstyle=|\son\w+=|javascript:|https?://", html), template.name
        assert all("src=" in tag for tag in re.findall(r"<script[^>]*>", html)), template.name
    for name, asset in ASSETS.items():
        assert not re.search(rb"https?://(?!www\.w3\.org/)|\beval\(|innerHTML|new Function", asset.content), name
