"""Both stages together, against the reference and against what is promised."""

import json
import threading

import numpy as np
import pytest
from PIL import Image

from anomalign import (
    PRESETS,
    Bank,
    BankError,
    CalibrationError,
    Detector,
    Failure,
    Framing,
    ImageError,
    InputError,
    Inspection,
    Settings,
)
from anomalign.evaluation import auroc
from anomalign.numerics.resample import resample_map
from anomalign.retrieval import DESCRIPTORS
from tests.pictures import texture
from tests.reference import descriptors, places, spade

NORMALS = 24


def defective(seed):
    image = texture(seed).copy()
    image[20:36, 24:44] = np.random.default_rng(seed).integers(0, 255, (16, 20, 3))
    return image


@pytest.fixture(scope="module")
def bank(tmp_path_factory):
    bank = Bank.create(tmp_path_factory.mktemp("detector") / "bank", framing=Framing(64))
    bank.add([texture(seed) for seed in range(NORMALS)])
    return bank


def everything(**changes):
    return Settings(**{"gallery_size": 4, "gate": 1.0, "decided_by": "alignment", **changes})


def top(scores, settings):
    """Mean of the highest scores."""
    count = max(1, round(settings.top_share * scores.size))
    return np.sort(scores.ravel())[-count:].mean()


def pyramids(bank):
    return list(bank.gallery(range(len(bank))))


def reference(query, bank, skip, settings, grid, weights=None):
    """Both stages of one query pyramid, by the oracle: (stage 1 score, neighbours, distances of places)."""
    rows = [i for i in range(len(bank)) if i != skip]
    all_pyramids = pyramids(bank)
    (q,), normals = descriptors.embedded([query], [all_pyramids[i] for i in rows], settings.descriptor)
    score, _, _ = spade.image_score(q, normals, min(settings.image_neighbours, len(rows)))
    _, order, distances = spade.image_score(q, normals, min(settings.gallery_size, len(rows)))
    chosen = [rows[i] for i in order]
    distance, _ = spade.align(query.levels, [all_pyramids[i].levels for i in chosen], settings.kappa, grid, weights)
    return score, chosen, distances, distance


def reference_of_normals(bank, settings, grid, weights=None):
    """(N, h, w) distances of the normal images, each compared with the others."""
    return np.array(
        [reference(query, bank, skip, settings, grid, weights)[3] for skip, query in enumerate(pyramids(bank))]
    )


@pytest.mark.parametrize(
    ("settings", "grid"),
    [
        (everything(), (8, 8)),
        (everything(grid_level=3, kappa=2, sigma_px=1.5), (4, 4)),
        (everything(level_weights=(1.0, 0.5, 0.25), image_neighbours=2), (8, 8)),
        (everything(descriptor="pooled", top_share=0.0), (8, 8)),
        (everything(descriptor="level_means"), (8, 8)),
    ],
)
def test_inspection_equals_the_reference(bank, settings, grid):
    image = defective(100)
    inspection = Detector(bank, settings, 0.1).inspect(image)
    (query,) = bank.backbone.run(bank.identity.framing.frame(Image.fromarray(image))[None])
    weights = None if settings.level_weights is None else list(settings.level_weights)
    score, chosen, distances, distance = reference(query, bank, None, settings, grid, weights)
    assert [n.id for n in inspection.neighbours] == [bank.images[i].id for i in chosen]
    np.testing.assert_allclose([n.distance for n in inspection.neighbours], distances, rtol=1e-3)
    np.testing.assert_allclose(inspection.retrieval_score, score, rtol=1e-3)
    square = spade.smoothed(distance, 64, settings.sigma_px)
    np.testing.assert_allclose(inspection.anomaly_map, square, rtol=1e-3)  # the image is as large as the square
    usual = places.statistics(reference_of_normals(bank, settings, grid, weights), np.ones(NORMALS))
    by_place = places.scores(distance, *usual)
    np.testing.assert_allclose(inspection.score_map, resample_map(by_place.astype(np.float32), 64, 64), atol=0.02)
    np.testing.assert_allclose(inspection.image_score, top(by_place, settings), rtol=1e-2)


@pytest.mark.parametrize("descriptor", DESCRIPTORS)
def test_calibration_equals_a_bank_built_without_the_image(bank, descriptor):
    settings = everything(descriptor=descriptor)
    scores = Detector(bank, settings, 0.1).calibrate()
    distances = reference_of_normals(bank, settings, (8, 8))
    for index in (0, 7, NORMALS - 1):
        score, _, _, distance = reference(pyramids(bank)[index], bank, index, settings, (8, 8))
        np.testing.assert_allclose(scores.retrieval[index], score, rtol=1e-3)
        usual = places.statistics(np.delete(distances, index, axis=0), np.ones(NORMALS - 1))
        np.testing.assert_allclose(scores.alignment[index], top(places.scores(distance, *usual), settings), rtol=1e-2)


def test_defects_score_above_normals(bank):
    detector = Detector(bank, everything(), 0.1)
    good = [detector.inspect(texture(seed)).image_score for seed in range(200, 212)]
    bad = [detector.inspect(defective(seed)).image_score for seed in range(200, 212)]
    assert auroc(good, bad) > 0.95


def test_the_hottest_place_is_the_defect(bank):
    inspection = Detector(bank, everything(), 0.1).inspect(defective(300))
    y, x = np.unravel_index(inspection.score_map.argmax(), inspection.score_map.shape)
    assert 16 <= y < 40
    assert 20 <= x < 48
    assert inspection.verdict == "anomalous"


def test_an_anomalous_image_has_heat_and_it_is_hottest_where_the_score_comes_from(bank):
    detector = Detector(bank, everything(decided_by="both"), 0.1)
    anomalous = [i for i in map(detector.inspect, map(defective, range(300, 312))) if i.verdict == "anomalous"]
    assert len(anomalous) > 6
    for inspection in anomalous:
        heat = inspection.heat(inspection.score_map)
        assert heat.max() > 0
        row, column = np.unravel_index(inspection.aligned.place_scores.argmax(), (8, 8))
        place = inspection.score_map[8 * row : 8 * row + 8, 8 * column : 8 * column + 8]  # the image is 64 x 64
        assert place.max() == inspection.score_map.max()
        assert inspection.aligned.score == inspection.aligned.place_scores.max()


def test_verdict_score_and_p_value_agree(bank):
    detector = Detector(bank, everything(), 0.2)
    for result in detector.inspect_many([texture(400), defective(401), texture(402), defective(403)]):
        assert (result.verdict == "anomalous") == (result.image_score > result.threshold)
        assert (result.verdict == "anomalous") == (result.p_value <= 0.2)
        assert 1 / (NORMALS + 1) <= result.p_value <= 1


def test_an_image_cleared_by_stage_1_runs_no_stage_2_until_somebody_looks(bank, monkeypatch):
    calls = []
    inner = Detector._align
    monkeypatch.setattr(Detector, "_align", lambda *args: calls.append(1) or inner(*args))
    detector = Detector(bank, everything(gate=0.5), 0.1)
    detector.calibrate()
    calls.clear()
    inspection = detector.inspect(texture(3))  # one of the normals: its nearest distance is 0
    assert (inspection.stage, inspection.verdict, len(calls)) == ("retrieval", "normal", 0)
    with pytest.raises(InputError, match=r"detector\.align\(inspection\)"):
        inspection.anomaly_map  # noqa: B018
    everything_aligned = Detector(bank, everything(), 0.1).inspect(texture(3))
    calls.clear()
    aligned = detector.align(inspection)
    np.testing.assert_array_equal(aligned.anomaly_map, everything_aligned.anomaly_map)
    assert aligned.match_at(5, 5) == everything_aligned.match_at(5, 5)
    assert aligned.summary() == inspection.summary()
    assert detector.align(aligned) is aligned
    assert len(calls) == 1


def test_the_gate_clears_its_share_of_normals_and_keeps_the_target_rate(bank):
    detector = Detector(bank, everything(gate=0.5), 0.1)
    scores = detector.calibrate()
    assert len(scores.alignment) == NORMALS
    assert (detector.normal_scores > detector.threshold.value).mean() <= 0.1
    let_through = scores.retrieval > np.sort(scores.retrieval)[NORMALS // 2 - 1]
    np.testing.assert_array_equal(detector.normal_scores[let_through], scores.alignment[let_through])


def test_heat_is_on_one_scale_of_p_values_and_a_normal_image_shows_none(bank):
    detector = Detector(bank, everything(), 0.1)
    good, bad = detector.inspect(texture(3)), detector.inspect(defective(300))
    assert (good.verdict, bad.verdict) == ("normal", "anomalous")
    assert (good.heat(good.score_map) == 0).all()
    assert np.isnan(good.heat(np.full((2, 2), np.nan, np.float32))).all()
    p = bad.pixel_p_values
    expected = np.clip(np.log10(1e-3 / p) / 2, 0, 1)  # from 1 in 1,000 to 1 in 100,000
    np.testing.assert_allclose(bad.heat(bad.score_map), expected, atol=1e-5)
    assert bad.heat(bad.score_map).max() > 0.5
    np.testing.assert_array_equal(good.heat(bad.score_map, even_if_normal=True), bad.heat(bad.score_map))


def test_how_a_verdict_came_about_is_said(bank):
    detector = Detector(bank, everything(gate=0.5, decided_by="both"), 0.2)
    found = [
        detector.inspect(texture(3)),
        detector.inspect(defective(100)),
        *map(detector.inspect, map(texture, range(200, 230))),
    ]
    assert found[0].course == "cleared by stage 1"
    assert found[1].course == "anomalous by both stages together"
    for inspection in found:
        suspected = inspection.retrieval_score > detector.rule.suspicion
        assert inspection.suspected == suspected
        if inspection.verdict == "normal" and inspection.stage == "both":
            doubt = "suspected by stage 1, " if suspected else ""
            assert inspection.course == f"{doubt}cleared by both stages together"
    assert Detector(bank, everything(), 0.1).inspect(defective(100)).course == "anomalous by stage 2"


def test_paper_preset_decides_by_stage_1_and_aligns_only_what_it_suspects(bank):
    assert (PRESETS["paper"].gallery_size, PRESETS["paper"].image_neighbours, PRESETS["paper"].kappa) == (50, 50, 1)
    detector = Detector(bank, PRESETS["paper"], 0.1)
    inspection = detector.inspect(defective(500))
    assert inspection.image_score == inspection.retrieval_score
    assert len(inspection.neighbours) == NORMALS  # fewer than 50: all of them
    assert inspection.alignment.distance.shape == (16, 16)  # the finest level
    good = detector.inspect(texture(3))
    assert (good.verdict, good.stage, good.has_aligned) == ("normal", "retrieval", False)


def test_match_answers_in_the_pixels_of_both_images(tmp_path):
    """Normals of another size than the query: a query that is one of them, scaled, is matched at the same place."""
    bank = Bank.create(tmp_path / "bank", framing=Framing(64))
    bank.add([texture(seed, 128, 256) for seed in range(3)])
    inspection = Detector(bank, everything(), 0.4).inspect(texture(1, 128, 256))
    match = inspection.match_at(y=70, x=130)
    assert match.image_id == bank.images[1].id
    assert (match.y, match.x) == (71.5, 143.5)  # cell (4, 4) of 8 x 8 covers 64..79 and 128..159
    assert match.distance == 0
    assert sum(match.per_level) == 0
    for y, x in ((-1, 0), (0, 256), (128, 0)):
        with pytest.raises(InputError, match="outside"):
            inspection.match_at(y, x)


def test_map_has_the_size_of_the_original_image(bank):
    inspection = Detector(bank, everything(), 0.1).inspect(texture(1, 90, 130))
    assert inspection.anomaly_map.shape == (90, 130)
    assert inspection.anomaly_map.dtype == np.float32


def test_many_images_come_in_order_and_a_bad_one_does_not_end_the_run(bank, tmp_path):
    paths = []
    for seed in range(11):
        paths.append(tmp_path / f"{seed}.png")
        Image.fromarray(texture(seed)).save(paths[-1])
    paths[4].write_text("not an image")
    detector = Detector(bank, everything(), 0.1)
    results = list(detector.inspect_many(paths))
    assert [r.name for r in results] == [str(p) for p in paths]
    assert [isinstance(r, Failure) for r in results] == [number == 4 for number in range(11)]
    alone = detector.inspect(paths[2])
    assert (results[2].image_score, results[2].neighbours) == (alone.image_score, alone.neighbours)
    with pytest.raises(ImageError, match=r"4\.png"):
        detector.inspect(paths[4])


def test_calibration_is_stored_and_belongs_to_one_version_of_the_bank(tmp_path):
    bank = Bank.create(tmp_path / "bank", framing=Framing(64))
    bank.add([texture(seed) for seed in range(6)])
    steps = []
    first = Detector(bank, everything(), 0.2).calibrate(lambda done, total: steps.append((done, total)))
    assert steps == [(done, 6) for done in range(1, 7)]
    again = Detector(Bank.open(bank.path), everything(), 0.4).calibrate(lambda *_: pytest.fail("calibrated again"))
    np.testing.assert_array_equal(again.alignment, first.alignment)
    bank.add(texture(50))
    assert len(Detector(bank, everything(), 0.2).calibrate().alignment) == 7


def test_an_empty_bank_and_a_bank_of_one_cannot_decide(tmp_path):
    bank = Bank.create(tmp_path / "bank", framing=Framing(64))
    with pytest.raises(BankError, match="empty"):
        Detector(bank)
    bank.add(texture(0))
    with pytest.raises(CalibrationError, match="1 normal image is not enough to calibrate; 3 are needed"):
        Detector(bank)
    bank.add(texture(1))
    with pytest.raises(CalibrationError, match="2 normal images are not enough to calibrate; 3 are needed"):
        Detector(bank)


def test_three_normals_are_enough_to_say_something(tmp_path):
    bank = Bank.create(tmp_path / "bank", framing=Framing(64))
    bank.add([texture(0), texture(1), texture(2)])
    detector = Detector(bank)
    assert detector.inspect(defective(2)).p_value >= 1 / 4
    assert detector.target_fpr == pytest.approx(1 / 4)
    with pytest.raises(CalibrationError, match=r"3 normal images support a false-positive rate of 25 % at best"):
        Detector(bank, target_fpr=0.01)


def test_the_rate_holds_from_three_normals_on(tmp_path):
    """Fresh textures, against banks of few others; the share of alarms of each bank is one draw."""
    for count in (3, 4, 6):
        shares = []
        for draw in range(8):
            bank = Bank.create(tmp_path / f"{count}_{draw}", framing=Framing(64))
            bank.add([texture(1000 * draw + seed) for seed in range(count)])
            fresh = [texture(1000 * draw + seed) for seed in range(100, 108)]
            shares.append(np.mean([one.verdict == "anomalous" for one in Detector(bank).inspect_many(fresh)]))
        assert np.mean(shares) <= 1 / (count + 1) + 2 * np.std(shares) / np.sqrt(len(shares))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"image_neighbours": 0}, "image_neighbours is 0"),
        ({"gallery_size": -1}, "gallery_size is -1"),
        ({"kappa": 0}, "kappa is 0"),
        ({"gate": 1.1}, "gate is 1.1"),
        ({"sigma_px": -1}, "sigma_px is -1"),
        ({"decided_by": "chance"}, "decided_by is 'chance'"),
        ({"descriptor": "colour"}, "descriptor is 'colour'"),
        ({"index": "fast"}, "index is 'fast'"),
        ({"calibration_size": 0}, "calibration_size is 0"),
    ],
)
def test_settings_out_of_range_are_named(changes, message):
    with pytest.raises(InputError, match=message):
        Settings(**changes)


def test_level_weights_must_fit_the_bank(bank):
    with pytest.raises(InputError, match="3 levels"):
        Detector(bank, Settings(level_weights=(1.0, 1.0)))


def test_settings_that_change_scores_change_the_key():
    keys = {Settings(**change).calibration_key() for change in ({}, {"kappa": 2}, {"sigma_px": 2.0}, {"grid_level": 1})}
    assert len(keys) == 4
    assert Settings(gate=0.1).calibration_key() == Settings().calibration_key()
    assert json.loads(Settings().calibration_key())["gallery_size"] == 10


def test_several_threads_get_the_answers_of_one(bank):
    detector = Detector(bank, everything(), 0.1)
    images = [texture(seed) for seed in range(600, 606)]
    expected = [detector.inspect(image).image_score for image in images]
    found: dict[int, list[float]] = {}

    def work(number: int) -> None:
        found[number] = [detector.inspect(image).image_score for image in images]

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert list(found.values()) == [expected] * 4


def test_stage_2_of_a_cleared_image_can_be_had_after_a_change_of_the_bank(tmp_path):
    bank = Bank.create(tmp_path / "bank", framing=Framing(64))
    bank.add([texture(seed) for seed in range(4)])
    detector = Detector(bank, everything(gate=0.3), 0.3)
    inspection = detector.inspect(texture(1))
    assert isinstance(inspection, Inspection)
    bank.add([texture(seed) for seed in range(10, 14)])
    assert detector.align(inspection).match_at(5, 5).image_id == bank.images[1].id
