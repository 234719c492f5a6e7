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
from anomalign.detection.evidence import HEAT_BEGINS
from anomalign.detection.inspection import Inspection
from anomalign.errors import InputError
from anomalign.images.decoding import read_image
from anomalign.images.framing import Framing
from anomalign.reporting import Report
from anomalign.reporting.detail import detail
from tests.reporting.conftest import HEIGHT, PATCH, WIDTH, Run, plate


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


def normal_report(run: Run, files: list[Path], most_detailed: int = 100) -> tuple[Report, list[Inspection]]:
    """Of normal images, given with their pictures."""
    report = Report(run.detector, most_detailed=most_detailed)
    inspections = [run.detector.inspect(file, keep_image=True) for file in files]
    assert {inspection.verdict for inspection in inspections} == {"normal"}
    for inspection in inspections:
        report.add(inspection, inspection.image)
    return report, inspections


@pytest.fixture(scope="module")
def fine_files(tmp_path_factory: pytest.TempPathFactory, run: Run) -> list[Path]:
    """Images whose verdict is normal."""
    folder = tmp_path_factory.mktemp("fine")
    files = [folder / f"{seed}.png" for seed in range(300, 308)]
    for file in files:
        plate(int(file.stem)).save(file)
    return [file for file in files if run.detector.inspect(file).verdict == "normal"]


def test_where_nothing_is_anomalous_the_highest_three_are_shown_with_heat(
    run: Run, fine_files: list[Path], tmp_path: Path
) -> None:
    report, inspections = normal_report(run, fine_files)
    report.write(tmp_path / "fine.html")
    page = Page((tmp_path / "fine.html").read_text("utf-8"))
    highest = sorted(inspections, key=lambda i: -i.image_score)[:3]
    assert [h["title"] for h in page.all("h3")] == [i.name for i in highest]
    layers = [picture(image["src"]).convert("RGBA") for image in page.all("img") if image.get("class") == "heat"]
    for inspection, layer in zip(highest, layers, strict=True):
        aligned = run.detector.align(inspection)
        hot = aligned.pixel_p_values <= HEAT_BEGINS
        small = np.asarray(layer.resize((WIDTH, HEIGHT)))[..., 3] > 0
        assert (small == hot).mean() > 0.97  # the layer is drawn at another size
        assert small.any() == hot.any()
    assert any(np.asarray(layer)[..., 3].any() for layer in layers)
    text = " ".join(page.text.split())
    assert "No image is anomalous The verdict on all images is normal . Open one of the highest scores" in text
    assert "The threshold rests on 24 normal images, and on a target false-positive rate of 5%." in text
    assert f"anomalign check {run.detector.bank.path} says which defects this bank would find" in text


def test_normal_images_give_way_to_anomalous_ones(run: Run, fine_files: list[Path], tmp_path: Path) -> None:
    report, _ = normal_report(run, fine_files)
    bad = run.anomalous()[0]
    report.add(bad, read_image(bad.name))
    again = run.detector.inspect(fine_files[0], keep_image=True)
    report.add(again, again.image)
    report.write(tmp_path / "one.html")
    page = Page((tmp_path / "one.html").read_text("utf-8"))
    assert [h["title"] for h in page.all("h3")] == [bad.name]
    assert "No image is anomalous" not in page.text
    assert "not for the other" not in page.text


def test_normal_images_are_no_more_than_were_asked_for(run: Run, fine_files: list[Path], tmp_path: Path) -> None:
    normal_report(run, fine_files, most_detailed=0)[0].write(tmp_path / "none.html")
    page = Page((tmp_path / "none.html").read_text("utf-8"))
    assert not page.all("details")[:-2]  # only the table and the settings can be opened
    assert "No image is anomalous" in page.text


def test_a_borderline_verdict_is_marked_and_explained(run: Run, html: str, tmp_path: Path) -> None:
    assert not any(i.borderline for i in run.inspections)
    assert "borderline" not in Page(html).text
    report = Report(run.detector)
    bad, fine = run.anomalous()[0], run.inspections[3]
    report.add(replace(bad, borderline=True, p_value=0.04), read_image(bad.name))
    report.add(replace(fine, borderline=True, p_value=0.21))
    report.add(replace(fine, name="clear.png"))
    report.write(tmp_path / "report.html")
    page = Page((tmp_path / "report.html").read_text("utf-8"))
    first = "borderline: close to the threshold; about 1 in 25 normal images scores as high"
    second = "borderline: close to the threshold; 21 of 100 normal images score as high"
    marks = [span for span in page.all("span") if span.get("class") == "mark"]
    assert [span.get("title") for span in marks] == [
        *(first, None, second),  # of the index; where an image is shown in detail, the sentence is text
        None,  # of the explanation
        *(first, second),  # of the table
    ]
    assert "Its p-value lies above 0.04 and is at most 0.15" in page.text  # the rate is 5 %, of 24 images: 1 / 25


def test_only_the_worst_are_shown_and_the_rest_is_counted(run: Run, tmp_path: Path) -> None:
    run.report(most_detailed=1).write(tmp_path / "one.html")
    page = Page((tmp_path / "one.html").read_text("utf-8"))
    worst = max(run.inspections, key=lambda i: i.image_score)
    assert [h["title"] for h in page.all("h3")] == [worst.name]
    assert "kept for the highest scores (1), not for the other 2 anomalous images" in page.text
    assert len([th for th in page.all("th") if "title" in th]) == 4
    run.report(most_detailed=0).write(tmp_path / "none.html")
    assert not Page((tmp_path / "none.html").read_text("utf-8")).all("h3")


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


def test_regions_are_drawn_and_listed_with_their_numbers(run: Run, html: str) -> None:
    page = Page(html)
    regions = [region for inspection in run.anomalous() for region in inspection.regions]
    assert page.text.count("at row ") == len(regions)
    for inspection in run.anomalous():
        shown = detail(inspection, read_image(inspection.name), run.detector.bank)
        assert [box.number for box in shown.inspected.boxes] == list(range(1, len(inspection.regions) + 1))
        assert [pair.region for pair in shown.pairs] == list(inspection.regions[:3])
        assert [region for _, region in shown.others] == list(inspection.regions[3:])
        unit = 1000 / max(inspection.height, inspection.width)
        for box, region in zip(shown.inspected.boxes, inspection.regions, strict=True):
            assert (box.y, box.x) == pytest.approx((region.box[0] * unit, region.box[1] * unit))
            assert (box.height, box.width) == pytest.approx((region.height * unit, region.width * unit))
            words = f"at row {region.peak[0]}, column {region.peak[1]}: {region.width} × {region.height} px"
            assert words in page.text


def test_of_many_regions_the_further_ones_are_a_list(run: Run, tmp_path: Path) -> None:
    inspection = run.anomalous()[0]
    rng = np.random.default_rng(0)
    scores = np.zeros_like(inspection.aligned.place_scores)
    scores[1::4, 1::4] = 1e6 * rng.uniform(1, 2, scores[1::4, 1::4].shape)
    aligned = replace(inspection.aligned, place_scores=scores)
    many = replace(inspection, comparison=replace(inspection.comparison, aligned=aligned)).with_regions()
    assert many.region_count > 20
    shown = detail(many, read_image(many.name), run.detector.bank)
    assert [number for number, _ in shown.others] == list(range(4, 21))
    assert shown.unlisted == many.region_count - 20
    report = Report(run.detector)
    report.add(many, read_image(many.name))
    report.write(tmp_path / "many.html")
    assert f"and {shown.unlisted} more" in Page((tmp_path / "many.html").read_text("utf-8")).text


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
