import base64
import io
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from anomalign.bank import Bank
from anomalign.detection.detector import PRESETS, Detector
from anomalign.errors import InputError
from anomalign.images.decoding import read_image
from anomalign.images.framing import Framing
from anomalign.reporting import Report
from anomalign.reporting.detail import detail
from tests.reporting.conftest import HEIGHT, PATCH, WIDTH, Run


class Page(HTMLParser):
    """Tags with their attributes, and the text, as a browser would take them."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {key: value or "" for key, value in attrs}))

    def handle_data(self, data: str) -> None:
        self.text += data + " "

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.tags if name == tag]


def picture(uri: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(uri.partition("base64,")[2])))


def test_the_plates_are_judged_as_the_tests_below_assume(run: Run) -> None:
    assert [i.verdict for i in run.inspections] == ["anomalous", "anomalous", "anomalous", "normal"]
    assert len(run.failures) == 1


def test_names_are_text_never_markup(html: str) -> None:
    page = Page(html)
    assert len(page.all("script")) == 1
    assert not page.all("b")
    assert not page.all("i")
    assert '<script>alert("1")' in page.text
    assert "torn<i>.png" in page.text
    assert "Plates <b>" in page.text


def test_nothing_is_fetched(html: str) -> None:
    page = Page(html)
    for tag, attributes in page.tags:
        for name in ("src", "href", "action", "data", "srcset", "poster", "xlink:href"):
            if value := attributes.get(name):
                assert value.startswith(("data:image/", "#")), f"<{tag} {name}={value[:40]}>"
    assert not page.all("link")
    assert "@import" not in html
    assert set(re.findall(r"url\((.*?)\)", html)) <= {"#ramp"}
    assert not re.search(r"""(src|href)\s*=\s*["']?(https?:)?//""", html)


def test_every_picture_is_data_that_can_be_decoded_and_has_an_alternative_text(html: str) -> None:
    pictures = Page(html).all("img")
    assert len(pictures) >= 3 * (3 + 2)
    for attributes in pictures:
        assert re.match(r"data:image/(jpeg|png);base64,", attributes["src"])
        picture(attributes["src"]).load()
        assert "alt" in attributes


def test_the_policy_allows_only_the_scripts_and_styles_of_this_file(run: Run, html: str, tmp_path: Path) -> None:
    page = Page(html)
    (policy,) = (m["content"] for m in page.all("meta") if m.get("http-equiv") == "Content-Security-Policy")
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    (script,), (style,) = page.all("script"), page.all("style")
    assert f"script-src 'nonce-{script['nonce']}'" in policy
    assert f"style-src 'nonce-{style['nonce']}'" in policy
    assert not [
        tag for tag, attributes in page.tags if "style" in attributes or any(a.startswith("on") for a in attributes)
    ]
    run.report().write(tmp_path / "again.html")
    assert script["nonce"] not in (tmp_path / "again.html").read_text("utf-8")


def test_the_worst_come_first_in_pictures_and_table(run: Run, html: str) -> None:
    names = [i.name for i in sorted(run.inspections, key=lambda i: -i.image_score)]
    page = Page(html)
    assert [h["title"] for h in page.all("h3")] == names[:3]
    assert [th["title"] for th in page.all("th") if "title" in th] == names


def test_counts_and_threshold_are_said(run: Run, html: str) -> None:
    text = " ".join(Page(html).text.split())
    assert "anomalous 3" in text
    assert "normal 1" in text
    assert "unreadable files 1" in text
    assert run.failures[0].error in text
    threshold = run.detector.threshold
    assert f"Expected share of normal images above it: {100 * threshold.expected_fpr:.2g} %" in text
    assert f"at most {100 * threshold.highest_fpr():.2g} % with 95 % confidence" in text


def test_nothing_inspected_is_said(run: Run, tmp_path: Path) -> None:
    Report(run.detector).write(tmp_path / "report.html")
    assert "No image was inspected" in Page((tmp_path / "report.html").read_text("utf-8")).text


def test_only_the_worst_are_shown_and_the_rest_is_counted(run: Run, tmp_path: Path) -> None:
    run.report(most_detailed=1).write(tmp_path / "one.html")
    page = Page((tmp_path / "one.html").read_text("utf-8"))
    worst = max(run.inspections, key=lambda i: i.image_score)
    assert [h["title"] for h in page.all("h3")] == [worst.name]
    assert "The table below also lists the other 2 anomalous images" in page.text
    assert len([th for th in page.all("th") if "title" in th]) == 4
    run.report(most_detailed=0).write(tmp_path / "none.html")
    assert not Page((tmp_path / "none.html").read_text("utf-8")).all("img")


def test_an_image_that_stage_1_cleared_is_not_aligned(run: Run) -> None:
    cleared = replace(run.inspections[3], verdict="normal", stage="retrieval")
    Report(run.detector).add(cleared)
    assert "aligned" not in cleared.__dict__


def test_an_anomalous_image_needs_its_own_picture(run: Run) -> None:
    bad = run.anomalous()[0]
    with pytest.raises(InputError, match="got none"):
        Report(run.detector).add(bad)
    with pytest.raises(InputError, match=r"got \(5, 5, 3\)"):
        Report(run.detector).add(bad, np.zeros((5, 5, 3), np.uint8))


def test_the_first_place_is_the_defect(run: Run) -> None:
    for inspection in run.anomalous():
        shown = detail(inspection, read_image(inspection.name), run.detector.bank)
        box = shown.inspected.boxes[0]
        scale = max(HEIGHT, WIDTH) / 1000  # from units of the drawing to pixels
        assert box.number == shown.pairs[0].number == 1
        assert box.y * scale <= PATCH[0] <= (box.y + box.height) * scale
        assert box.x * scale <= PATCH[1] <= (box.x + box.width) * scale
        red = np.asarray(picture(shown.pairs[0].here.uri)).astype(int)
        assert ((red[..., 0] > 200) & (red[..., 1] < 90)).mean() > 0.3


def test_the_matched_crop_is_cut_from_the_named_image_around_the_matched_place(run: Run) -> None:
    for inspection in run.anomalous():
        for pair in detail(inspection, read_image(inspection.name), run.detector.bank).pairs:
            normal = read_image(pair.match.name).astype(int)
            cut = np.asarray(picture(pair.there.uri)).astype(int)
            # The plates are smaller than a preview: crops have the scale of the file. Try every place.
            views = np.lib.stride_tricks.sliding_window_view(normal, cut.shape)[:, :, 0]
            difference = np.abs(views - cut).mean(axis=(2, 3, 4))
            top, left = np.unravel_index(difference.argmin(), difference.shape)
            assert difference.min() < 4  # JPEG, twice
            assert top + pair.there.y / 100 * len(cut) - 0.5 == pytest.approx(pair.match.y, abs=0.1)
            assert left + pair.there.x / 100 * len(cut) - 0.5 == pytest.approx(pair.match.x, abs=0.1)


def test_a_match_in_the_nearest_normal_is_marked_there_with_its_number(run: Run) -> None:
    pairs_in_nearest = 0
    for inspection in run.anomalous():
        shown = detail(inspection, read_image(inspection.name), run.detector.bank)
        expected = [p.number for p in shown.pairs if p.match.image_id == inspection.neighbours[0].id]
        assert [box.number for box in shown.nearest.boxes] == expected
        assert [p.number for p in shown.pairs if p.in_nearest] == expected
        pairs_in_nearest += len(expected)
    alone = replace(run.detector.settings, gallery_size=1, image_neighbours=1)
    shown_alone = detail(
        Detector(run.detector.bank, alone, 0.05).inspect(run.anomalous()[0].name),
        read_image(run.anomalous()[0].name),
        run.detector.bank,
    )
    assert len(shown_alone.nearest.boxes) == len(shown_alone.pairs) > 0


def test_large_images_are_kept_small(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "large.png"
    with Image.open(run.anomalous()[0].name) as image:
        image.resize((1600, 1200)).save(file)
    shown = detail(run.detector.inspect(file), read_image(file), run.detector.bank)
    assert max(picture(shown.inspected.uri).size) == 480
    assert max(picture(shown.heat).size) <= 240
    assert all(max(picture(p.here.uri).size) <= 200 for p in shown.pairs)


def test_a_centre_crop_and_a_verdict_by_stage_1_can_be_reported(run: Run, tmp_path: Path) -> None:
    bank = Bank.create(tmp_path / "bank", framing=Framing(224, 256))
    bank.add([image.name for image in run.detector.bank.images])
    detector = Detector(bank, replace(PRESETS["paper"], image_neighbours=3, gallery_size=3), 0.05)
    inspection = replace(detector.inspect(run.anomalous()[0].name), verdict="anomalous")
    report = Report(detector)
    report.add(inspection, read_image(inspection.name))
    report.write(tmp_path / "report.html")
    page = Page((tmp_path / "report.html").read_text("utf-8"))
    assert "Grey: not inspected" in page.text
    heat = next(i for i in page.all("img") if i.get("class") == "heat")
    assert np.asarray(picture(heat["src"]).convert("RGBA"))[0, 0].tolist()[:3] == [128, 128, 128]


def test_names_with_bytes_that_are_no_text_are_shown_as_escapes(run: Run, tmp_path: Path) -> None:
    report = Report(run.detector)
    report.add(replace(run.inspections[3], name="caf\udce9.png"))
    report.write(tmp_path / "report.html")
    assert "caf\\udce9.png" in (tmp_path / "report.html").read_text("utf-8")


def test_a_report_can_be_written_on_the_way_and_again(run: Run, tmp_path: Path) -> None:
    report = run.report()
    report.write(tmp_path / "report.html")
    report.add(replace(run.inspections[3], name="later.png"))
    report.write(tmp_path / "report.html")
    assert "later.png" in (tmp_path / "report.html").read_text("utf-8")
    assert [p.name for p in tmp_path.iterdir()] == ["report.html"]
