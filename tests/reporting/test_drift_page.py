import re
from dataclasses import replace
from datetime import datetime, timedelta, timezone

import numpy as np
import pytest

from anomalign.errors import InputError
from anomalign.monitoring.drift import detect_drift
from anomalign.monitoring.observations import Observation
from anomalign.reporting.drift_page import write_drift_page
from tests.reporting.test_report import Page

NORMALS = np.random.default_rng(0).gamma(9.0, size=60)
NEAREST = np.random.default_rng(1).integers(0, 60, 60)
NAMES = {i: f"normal/{i:03d}.png" for i in range(60)}


def observations(count, scale=1.0):
    rng = np.random.default_rng(2)
    start = datetime(2025, 3, 1, tzinfo=timezone.utc)
    return [
        Observation((start + i * timedelta(minutes=5)).isoformat(), f"img_{i}.png", scale * s, n, "bank")
        for i, (s, n) in enumerate(
            zip(rng.gamma(9.0, size=count).tolist(), rng.integers(0, 60, count).tolist(), strict=True)
        )
    ]


def page_of(tmp_path, seen, names=NAMES):
    drift = detect_drift(seen, NORMALS, NEAREST)
    write_drift_page(tmp_path / "drift.html", drift, seen, NORMALS, NEAREST, names)
    return drift, (tmp_path / "drift.html").read_text("utf-8")


def heights(page):
    return np.array([float(circle["cy"]) for circle in page.all("circle")[1:]])  # the first is in the key


def test_the_verdict_comes_first_and_is_plain(tmp_path):
    for scale, word in ((1.0, "No drift"), (3.0, "Check what has changed")):
        drift, html = page_of(tmp_path, observations(120, scale))
        text = " ".join(Page(html).text.split())
        assert drift.summary in text
        assert text.index(drift.summary) < text.index("Distance to the normal images")
        assert word in text


def test_a_small_shift_is_neither_good_nor_bad(tmp_path):
    drift, html = page_of(tmp_path, observations(120, 1.4))
    assert drift.kind == "shift"
    text = " ".join(Page(html).text.split())
    assert drift.summary in text
    assert "Nothing has to be done." in text
    assert "Check what has changed" not in text
    assert '<section class="card verdict ">' in html


def test_a_new_batch_is_told_from_a_drift(tmp_path):
    groups, seen = np.arange(60) // 4, observations(120, 1.8)
    drift = detect_drift(seen, NORMALS, NEAREST, groups=groups, normal_ids=np.arange(60))
    assert drift.kind == "new batch"
    write_drift_page(tmp_path / "drift.html", drift, seen, NORMALS, NEAREST, NAMES)
    text = " ".join(Page((tmp_path / "drift.html").read_text("utf-8")).text.split())
    assert drift.summary in text
    assert "Add normal images of this batch" in text
    assert "Check what has changed" not in text
    assert "beside that of 15 groups of normal images" in text


def test_names_are_text_never_markup(tmp_path):
    seen = observations(30)
    seen[4] = replace(seen[4], name='<script>alert("1")</script>', nearest=3)
    seen[5] = replace(seen[5], name='"><i>.png', nearest=3)
    seen[6] = replace(seen[6], name="caf\udce9.png", nearest=3)
    _, html = page_of(tmp_path, seen, NAMES | {3: '<b>"&\udce9</b>'})
    page = Page(html)
    assert not page.all("script")
    assert not page.all("i")
    assert not page.all("b")
    assert '<script>alert("1")</script>' in page.text
    assert "\\udce9" in page.text


def test_nothing_is_fetched_and_only_this_files_style_is_allowed(tmp_path):
    _, html = page_of(tmp_path, observations(30))
    page = Page(html)
    used = {name for _, attributes in page.tags for name in attributes}
    assert not {"src", "href", "style", "action", "srcset"} & used
    assert not [tag for tag, attributes in page.tags if any(name.startswith("on") for name in attributes)]
    assert "@import" not in html
    assert "url(" not in html
    (policy,) = (m["content"] for m in page.all("meta") if m.get("http-equiv") == "Content-Security-Policy")
    (style,) = page.all("style")
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert f"style-src 'nonce-{style['nonce']}'" in policy
    assert style["nonce"] not in page_of(tmp_path, observations(30))[1]


@pytest.mark.parametrize("count", [1, 5, 100, 5000])
def test_every_inspection_is_a_dot(tmp_path, count):
    _, html = page_of(tmp_path, observations(count))
    page = Page(html)
    named = len(page.all("circle")) - 1
    beyond = len([p for p in page.all("path") if p.get("class") == "beyond"])
    in_key = 1 if beyond else 0
    (unnamed,) = [p["d"].count("M") for p in page.all("path") if p.get("class") == "unnamed"] or [0]
    assert named + beyond - in_key + unnamed == count
    assert len(html) < 1_000_000
    assert "nan" not in re.sub("nonce-[^']*", "", html).lower().replace(style_of(html).lower(), "")


def style_of(html):
    return re.search(r"<style.*?</style>", html, re.DOTALL).group()


def test_higher_is_farther_and_all_is_within_the_plot(tmp_path):
    seen = observations(80)
    _, html = page_of(tmp_path, seen)
    page = Page(html)
    order = np.argsort([o.retrieval_score for o in seen])
    assert len(heights(page)) == 80
    assert (np.diff(heights(page)[order]) <= 0).all()
    assert heights(page).min() >= 34
    assert heights(page).max() <= 352


def test_far_defects_do_not_press_the_rest_flat(tmp_path):
    seen = observations(80)
    before = heights(Page(page_of(tmp_path, seen)[1]))
    seen[10] = replace(seen[10], retrieval_score=1e9)
    _, html = page_of(tmp_path, seen)
    page = Page(html)
    assert "beyond the scale" in page.text
    assert np.ptp(heights(page)) > 0.8 * np.ptp(before)
    assert "img_10.png" in page.text


def test_the_most_used_normals_come_first_and_shares_add_up(tmp_path):
    seen = [replace(o, nearest=5 if i % 2 else o.nearest) for i, o in enumerate(observations(100))]
    _, html = page_of(tmp_path, seen)
    rows = re.findall(r'<th scope="row" class="name" title="(.*?)">', html)
    assert rows[0] == "normal/005.png"
    assert len(rows) == 12
    assert "the other 48 together" in html
    now = [float(width) for width in re.findall(r'class="now" width="(.*?)"', html)]
    assert now == sorted(now, reverse=True)
    assert now[0] == 100


def test_a_normal_that_is_no_longer_in_the_bank_has_a_name(tmp_path):
    seen = [replace(o, nearest=999) for o in observations(20)]
    assert "image 999, not in the bank" in page_of(tmp_path, seen)[1]


def test_what_is_not_defined_is_said_to_be(tmp_path):
    zero = np.zeros(60)
    seen = observations(20)
    drift = detect_drift(seen, zero, NEAREST)
    write_drift_page(tmp_path / "drift.html", drift, seen, zero, NEAREST, NAMES)
    assert Page((tmp_path / "drift.html").read_text("utf-8")).text.count("not defined") == 2


def test_no_difference_at_all_can_be_drawn(tmp_path):
    """A frozen camera, and a bank of one picture."""
    for value in (0.0, 3.0):
        seen = [replace(o, retrieval_score=value) for o in observations(20)]
        drift = detect_drift(seen, np.full(60, value), NEAREST)
        write_drift_page(tmp_path / "drift.html", drift, seen, np.full(60, value), NEAREST, NAMES)


def test_no_observations_no_page(tmp_path):
    seen = observations(20)
    with pytest.raises(InputError, match="no inspections"):
        write_drift_page(tmp_path / "d.html", detect_drift(seen, NORMALS, NEAREST), [], NORMALS, NEAREST, NAMES)
