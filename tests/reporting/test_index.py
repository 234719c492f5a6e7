"""The index of a report: every inspected image with a picture, to filter, to sort and to open."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from anomalign.detection.inspection import Inspection
from anomalign.errors import InputError
from anomalign.images.decoding import read_image
from anomalign.reporting import Report
from anomalign.reporting.highest import Highest
from tests.browser import open_chromium
from tests.reporting.conftest import HEIGHT, WIDTH, Run
from tests.reporting.test_report import Page, picture

COUNT = 160
NOISE = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)  # the largest thumbnails
LONG = f"{'long-name_' * 20}.png"


def many(run: Run) -> list[Inspection]:
    """160 inspections: 40 anomalous with different scores, 120 normal of which 10 are borderline."""
    bad, fine = run.anomalous()[0], run.inspections[3]
    anomalous = [replace(bad, name=f"part_{i}.png", image_score=1000.0 + i * 7 % 40) for i in range(40)]
    normal = [
        replace(fine, name=f"part_{i}.png", image_score=-float(i), borderline=i < 50, p_value=0.1)
        for i in range(40, COUNT)
    ]
    return [*normal, *anomalous]


def write(run: Run, path: Path, inspections: list[Inspection], **options: int) -> Page:
    report = Report(run.detector, **options)
    bad = read_image(run.anomalous()[0].name)
    for inspection in inspections:
        report.add(inspection, bad if inspection.verdict == "anomalous" else NOISE)
    report.write(path)
    return Page(path.read_text("utf-8"))


@pytest.fixture(scope="module")
def path(run: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("index") / "report.html"
    write(run, path, many(run))
    return path


@pytest.fixture(scope="module")
def page(path: Path) -> Page:
    return Page(path.read_text("utf-8"))


def entries(page: Page) -> list[dict[str, str]]:
    return [attributes for _, attributes in page.tags if "entry" in attributes.get("class", "").split()]


def test_every_image_has_an_entry_highest_score_first(run: Run, page: Page) -> None:
    expected = sorted(many(run), key=lambda i: -i.image_score)
    assert [entry["data-name"] for entry in entries(page)] == [i.name for i in expected]
    assert [entry["data-kinds"].split()[1:] for entry in entries(page)] == [
        [i.verdict, "borderline"] if i.borderline else [i.verdict] for i in expected
    ]


def test_details_of_many_images_are_closed_and_those_of_three_are_open(run: Run, page: Page, html: str) -> None:
    assert len(page.all("details")) == 40 + 2  # and the table, and the settings
    assert not [details for details in page.all("details") if "open" in details]
    assert len([details for details in Page(html).all("details") if "open" in details]) == 3


def test_pictures_are_small(run: Run, page: Page, path: Path, tmp_path: Path) -> None:
    write(run, tmp_path / "without.html", many(run), most_thumbnails=0)
    size = path.stat().st_size - (tmp_path / "without.html").stat().st_size
    assert size / COUNT < 12_000  # noise; photographs take a quarter of it
    assert max(picture(page.all("img")[-1]["src"]).size) == 96  # the last image is normal: it has no other picture


def test_heat_is_drawn_into_pictures_of_anomalous_images_only(run: Run, tmp_path: Path) -> None:
    bad = run.anomalous()[0]
    images = []
    for verdict in ("anomalous", "normal"):
        report = Report(run.detector, most_detailed=0)
        report.add(replace(bad, verdict=verdict), read_image(bad.name))
        report.write(tmp_path / "report.html")
        (thumbnail,) = Page((tmp_path / "report.html").read_text("utf-8")).all("img")
        images.append(np.asarray(picture(thumbnail["src"])).astype(int))
    with Image.open(bad.name) as image:
        plain = np.asarray(image.resize((96, 72))).astype(int)
    assert np.abs(images[1] - plain).mean() < 3  # JPEG
    assert np.abs(images[0] - plain).max() > 60


def test_only_the_highest_scores_have_pictures_and_the_rest_is_counted(run: Run, tmp_path: Path) -> None:
    inspections = [i for i in many(run) if i.verdict == "normal"]
    page = write(run, tmp_path / "capped.html", inspections, most_thumbnails=5, most_detailed=0)
    assert len(page.all("img")) == 5
    assert "The 5 images with the highest scores have a picture here, the other 115 have none." in page.text
    assert len(entries(page)) == 120
    with pytest.raises(InputError, match="most_thumbnails is -1"):
        Report(run.detector, most_thumbnails=-1)


def test_an_index_needs_no_pictures(run: Run, tmp_path: Path) -> None:
    report = Report(run.detector)
    for i in many(run)[:120]:
        report.add(i)
    report.write(tmp_path / "report.html")
    page = Page((tmp_path / "report.html").read_text("utf-8"))
    assert len(entries(page)) == 120
    assert not page.all("img")
    assert "have a picture here" not in page.text


def test_the_highest_are_those_of_a_sort_and_the_first_of_equals() -> None:
    scores = np.random.default_rng(1).integers(0, 20, 200).tolist()
    highest = Highest[int](30)
    made = []
    for key, score in enumerate(scores):
        highest.offer(score, key, lambda key=key: made.append(key) or key)
    expected = sorted(range(200), key=lambda key: (-scores[key], key))[:30]
    assert highest.by_key() == {key: key for key in expected}
    assert highest.offered == 200
    assert len(made) < 200


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with open_chromium() as browser:
        yield browser


@pytest.fixture
def browse(chromium: Any) -> Iterator[Any]:
    """Opens an address in a window of its own; an error that the page logs fails the test."""
    contexts, problems = [], []

    def visit(address: str, **options: Any) -> Any:
        contexts.append(chromium.new_context(viewport={"width": 1280, "height": 900}, **options))
        shown = contexts[-1].new_page()
        shown.on("console", lambda message: problems.append(message.text))
        shown.on("pageerror", lambda error: problems.append(str(error)))
        shown.goto(address)
        return shown

    yield visit
    for context in contexts:
        context.close()
    assert not problems


def visible(shown: Any) -> list[str]:
    return shown.eval_on_selector_all(".entry:not([hidden])", "all => all.map(one => one.dataset.name)")


def test_160_images_take_a_few_screens(browse: Any, path: Path) -> None:
    assert browse(path.as_uri()).evaluate("document.documentElement.scrollHeight") < 7 * 900


def seen(shown: Any) -> list[str]:
    return shown.eval_on_selector_all(
        ".entry", "all => all.filter(one => one.checkVisibility()).map(one => one.dataset.name)"
    )


@pytest.fixture(scope="module")
def long(run: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report of 450 images, part_449 with the highest score; the 40 highest are anomalous."""
    path = tmp_path_factory.mktemp("long") / "report.html"
    bad, fine = run.anomalous()[0], run.inspections[3]
    write(
        run,
        path,
        [replace(bad if i >= 410 else fine, name=f"part_{i}.png", image_score=float(i)) for i in range(450)],
        most_thumbnails=300,
    )
    return path


def test_of_many_images_the_first_200_are_shown_and_more_when_asked_for(browse: Any, long: Path) -> None:
    shown = browse(long.as_uri())
    assert seen(shown) == [f"part_{i}.png" for i in range(449, 249, -1)]
    assert shown.inner_text("#shown") == "450 of 450 images"
    assert shown.inner_text("#more span") == "200 of 450 are shown."
    more = shown.get_by_role("button", name="Show more")
    more.click()
    assert len(seen(shown)) == 400
    more.click()
    assert len(seen(shown)) == 450
    assert not more.is_visible()


def test_the_first_200_are_those_after_filter_and_sort(browse: Any, long: Path) -> None:
    shown = browse(long.as_uri())
    shown.check("input[value=anomalous]")
    assert seen(shown) == [f"part_{i}.png" for i in range(449, 409, -1)]
    assert not shown.locator("#more").is_visible()
    shown.check("input[value=all]")
    shown.get_by_role("button", name="Show more").click()
    shown.fill("#search", "PART_44")
    assert seen(shown) == [*(f"part_{i}.png" for i in range(449, 439, -1)), "part_44.png"]
    shown.fill("#search", "")
    assert len(seen(shown)) == 200
    shown.select_option("#order", "name")
    assert seen(shown) == [f"part_{i}.png" for i in range(200)]


def test_links_lead_to_images_that_are_not_shown_yet(browse: Any, long: Path) -> None:
    shown = browse(f"{long.as_uri()}#image-42")
    assert seen(shown)[200:] == ["part_42.png"]


def test_a_print_and_a_page_without_scripts_show_all_images(browse: Any, long: Path) -> None:
    shown = browse(long.as_uri())
    shown.emulate_media(media="print")
    assert len(seen(shown)) == 450
    assert not shown.locator("#more").is_visible()
    assert len(seen(browse(long.as_uri(), java_script_enabled=False))) == 450


def test_pictures_of_the_index_are_decoded_when_they_are_seen(page: Page) -> None:
    thumbnails = [image for image in page.all("img") if image.get("loading")]
    assert [image["loading"] for image in thumbnails] == ["lazy"] * COUNT


def test_entries_are_filtered_and_sorted(browse: Any, path: Path) -> None:
    shown = browse(path.as_uri())
    everything = visible(shown)
    for kind, count in (("anomalous", 40), ("borderline", 10), ("normal", 120), ("all", COUNT)):
        shown.check(f"input[value={kind}]")
        assert len(visible(shown)) == count
        assert shown.inner_text("#shown") == f"{count} of {COUNT} images"
    shown.fill("#search", "PART_15")
    assert set(visible(shown)) == {"part_15.png", *(f"part_{i}.png" for i in range(150, 160))}
    shown.fill("#search", "")
    shown.select_option("#order", "name")
    assert visible(shown) == [f"part_{i}.png" for i in range(COUNT)]  # 2 before 10
    shown.select_option("#order", "score")
    assert visible(shown) == everything


def test_an_entry_opens_by_click_by_key_and_by_link(browse: Any, path: Path) -> None:
    shown = browse(path.as_uri())
    first, second, last = (shown.locator("details.entry").nth(n) for n in (0, 1, -1))
    assert not first.locator(".pictures").is_visible()
    first.locator("summary").click()
    assert first.locator(".pictures").is_visible()
    second.locator("summary").focus()
    shown.keyboard.press("Enter")
    assert second.locator(".pictures").is_visible()
    link = f"#{last.get_attribute('id')}"
    shown.locator(".table summary").first.click()
    for _ in range(2):  # again after it was closed
        shown.click(f"a[href='{link}']")
        last.locator(".pictures").wait_for()
        last.locator("summary").click()
    assert browse(f"{path.as_uri()}{link}").locator(f"{link} .pictures").is_visible()


def test_without_scripts_all_is_shown(browse: Any, path: Path) -> None:
    shown = browse(path.as_uri(), java_script_enabled=False)
    assert shown.locator(".entry").count() == COUNT
    assert not shown.locator("#filter").is_visible()
    shown.locator("details.entry summary").first.click()
    assert shown.locator("details.entry .pictures").first.is_visible()


def test_nothing_is_cut_off(browse: Any, run: Run, tmp_path: Path) -> None:
    named = [replace(i, name=f"{n}{LONG}") for n, i in enumerate(many(run)[-44:])]
    write(run, tmp_path / "long.html", named)
    for width in (360, 820, 1280):
        shown = browse((tmp_path / "long.html").as_uri())
        shown.set_viewport_size({"width": width, "height": 900})
        shown.locator("details.entry summary").first.click()
        assert shown.evaluate("document.documentElement.scrollWidth") == width
        cut = """all => all.filter(one => one.checkVisibility() && one.scrollWidth > one.clientWidth + 1)
            .map(one => one.outerHTML.slice(0, 80))"""
        assert shown.eval_on_selector_all(".entry, .entry > *, .entry p, .entry h3, .entry h4", cut) == []


def test_text_of_charts_lies_in_the_drawing_and_no_line_crosses_it(browse: Any, path: Path, run: Run) -> None:
    fine = run.inspections[3]
    write(run, path.with_name("right.html"), [replace(fine, image_score=-100.0)])  # the threshold is far to the right
    write(run, path.with_name("middle.html"), [replace(fine, image_score=score) for score in (-100.0, 100.0)])
    crossed = """chart => {
        const box = chart.getBoundingClientRect();
        const lines = [...chart.querySelectorAll("line.threshold")].map(line => line.getBoundingClientRect());
        return [...chart.querySelectorAll("text")].filter(text => {
            const one = text.getBoundingClientRect();
            return one.left < box.left || one.right > box.right || one.top < box.top || one.bottom > box.bottom
                || lines.some(line => line.left < one.right && line.right > one.left
                                      && line.top < one.bottom - 4 && line.bottom > one.top + 4);
        }).map(text => text.textContent);
    }"""
    for name in ("report", "middle", "right"):
        for width in (820, 1280):
            shown = browse(path.with_name(f"{name}.html").as_uri())
            shown.set_viewport_size({"width": width, "height": 900})
            assert shown.eval_on_selector("svg.chart", crossed) == []
