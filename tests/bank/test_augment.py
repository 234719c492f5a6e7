"""An augmented bank decides as one would that holds the turned pictures, and speaks of the images as they are."""

import json
import shutil
import sqlite3

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from PIL import Image
from scipy import ndimage

from anomalign import PRESETS, Bank, Detector, Framing, InputError, Settings
from anomalign.alignment import smooth_map
from anomalign.backbones import Described
from anomalign.bank import catalogue
from anomalign.curation.subset_selection import choose
from anomalign.curation.suspects import suspects
from anomalign.images.orientation import Turn, turns_of
from anomalign.retrieval import DESCRIPTORS
from tests.bank.test_editing import EDITS, PICTURES, everything
from tests.pictures import texture
from tests.place_scores import check_place_scores
from tests.reference import descriptors, spade

NORMALS = 20
ALIGNED = Settings(gallery_size=3, image_neighbours=2, gate=1.0, decided_by="alignment")


def described(bank, picture, turn):
    """What the backbone sees in a picture that is turned by hand and framed as any other."""
    turned = turn.apply(Image.fromarray(picture))
    return bank.backbone.run(bank.identity.framing.frame(turned)[None])[0]


@pytest.fixture(scope="module")
def bank(tmp_path_factory):
    bank = Bank.create(tmp_path_factory.mktemp("augmented") / "bank", framing=Framing(64), augment="rotate,flip")
    bank.add([texture(seed) for seed in range(NORMALS)])
    return bank


@pytest.mark.parametrize("shape", [(64, 64), (50, 90)])
@pytest.mark.parametrize("framing", [Framing(64), Framing(64, 72)])
def test_a_view_is_what_the_backbone_sees_in_the_turned_picture(tmp_path, tiny_backbone, shape, framing):
    bank = Bank.create(tmp_path / "bank", tiny_backbone, framing, "flip,rotate,rotate:10")
    pictures = [texture(seed, *shape) for seed in range(5)]
    bank.add(pictures, segment_bytes=3 * bank.identity.bytes_per_image)
    turns = bank.identity.turns
    assert (len(bank), len(turns), len(bank.images)) == (5, 24, 5)
    for index, picture in enumerate(pictures):
        for turn, view in enumerate(bank.views(range(24 * index, 24 * index + 24))):
            expected = described(bank, picture, turns[turn])
            assert [a.tobytes() for a in view.levels] == [a.tobytes() for a in expected.levels]
            np.testing.assert_array_equal(bank.vectors("pooled", turn)[index], expected.pooled)
    assert bank.verify() == []


@pytest.mark.parametrize("descriptor", DESCRIPTORS)
def test_inspection_equals_the_reference_over_turned_pictures(bank, descriptor):
    """The images nearest in any orientation, each in that one; whitened within each orientation."""
    chosen = Settings(**{**vars(ALIGNED), "descriptor": descriptor})
    query = np.rot90(texture(7)).copy()
    query[20:30, 20:30] = 255
    q = described(bank, query, Turn())
    turns, pictures = bank.identity.turns, [texture(seed) for seed in range(NORMALS)]
    views = [[described(bank, picture, turn) for turn in turns] for picture in pictures]
    distance = np.empty((NORMALS, len(turns)))
    for turn in range(len(turns)):
        (place,), normals = descriptors.embedded([q], [of_one[turn] for of_one in views], descriptor)
        distance[:, turn] = ((normals - place) ** 2).sum(axis=1)
    order = np.argsort(distance.min(axis=1))
    inspection = Detector(bank, chosen, 0.1).inspect(query)
    assert [n.id for n in inspection.neighbours] == [bank.images[i].id for i in order[:3]]
    np.testing.assert_allclose([n.distance for n in inspection.neighbours], distance.min(axis=1)[order[:3]], rtol=2e-3)
    np.testing.assert_allclose(inspection.retrieval_score, distance.min(axis=1)[order[:2]].mean(), rtol=2e-3)
    gallery = [views[i][distance[i].argmin()].levels for i in order[:3]]
    expected, _ = spade.align(q.levels, gallery, grid=(8, 8))
    np.testing.assert_allclose(inspection.alignment.distance, expected, rtol=1e-3)
    assert inspection.aligned.turns == tuple(turns[distance[i].argmin()] for i in order[:3])


def test_a_turned_normal_image_is_found_at_distance_nothing(bank):
    detector = Detector(bank, ALIGNED, 0.1)
    for turn in bank.identity.turns:
        inspection = detector.inspect(np.asarray(turn.apply(Image.fromarray(texture(5)))))
        assert inspection.neighbours[0].id == bank.images[5].id
        assert inspection.neighbours[0].distance < 1e-6 * inspection.neighbours[1].distance
        assert (inspection.aligned.turns[0], inspection.verdict) == (turn, "normal")
        assert inspection.aligned.score < 1e-9
        assert len({n.id for n in inspection.neighbours}) == len(inspection.neighbours)


@pytest.mark.parametrize("descriptor", DESCRIPTORS)
def test_a_normal_image_is_left_out_in_all_its_orientations(bank, descriptor):
    chosen = Settings(**{**vars(ALIGNED), "descriptor": descriptor})
    scores = Detector(bank, chosen, 0.1).calibrate()
    assert len(scores.ids) == NORMALS
    assert (scores.nearest != scores.ids).all()
    for row in (0, 7, NORMALS - 1):
        image = bank.images[row]
        (pyramid,) = bank.gallery([row])
        judged = Detector(bank.without(image.id), chosen, 0.1).judge(Described(image.name, "", 64, 64, pyramid, b""))
        np.testing.assert_allclose(scores.retrieval[row], judged.retrieval_score, rtol=1e-3)
        square = smooth_map(judged.alignment.distance, (8, 8), ALIGNED.sigma_px / 8)
        np.testing.assert_allclose(scores.peaks[row], square.max(), rtol=1e-3)
        assert scores.retrieval[row] > 0
        assert scores.nearest[row] == judged.neighbours[0].id


@pytest.mark.parametrize("descriptor", DESCRIPTORS)
@pytest.mark.parametrize("turn", [Turn(), Turn(degrees=90), Turn(True, 180)], ids=str)
def test_copies_of_a_picture_are_left_out_with_it_however_they_lie(tmp_path, descriptor, turn):
    chosen = Settings(**{**vars(ALIGNED), "descriptor": descriptor})
    bank = Bank.create(tmp_path / "bank", framing=Framing(64), augment="flip,rotate")
    bank.add([texture(seed) for seed in range(8)])
    before = Detector(bank, chosen).calibrate()
    turn.apply(Image.fromarray(texture(0))).save(tmp_path / "again.bmp")
    bank.add(tmp_path / "again.bmp")
    scores = Detector(bank, chosen).calibrate()
    assert len(bank) == 9
    np.testing.assert_allclose(scores.retrieval[0], before.retrieval[0], rtol=1e-4)
    check_place_scores(bank, chosen, scores, lambda row: [0, 8] if row in (0, 8) else [row])
    np.testing.assert_allclose(scores.peaks[0], before.peaks[0], rtol=1e-4)
    assert scores.retrieval[8] > 0.1 * scores.retrieval[0]
    (copy,) = [suspect for suspect in suspects(Detector(bank, chosen)) if suspect.image.id == bank.images[8].id]
    assert (copy.duplicate, copy.nearest.id, copy.nearest_distance) == (True, bank.images[0].id, 0)


def marked(seed, height, width, y, x):
    picture = texture(seed, height, width).copy()
    picture[y - 3 : y + 4, x - 3 : x + 4] = (255, 0, 0)
    return picture


@pytest.mark.parametrize("shape", [(64, 64), (128, 256), (90, 64)])
@pytest.mark.parametrize("framing", [Framing(64), Framing(64, 72)])
def test_a_match_names_the_image_and_the_place_in_its_own_pixels(tmp_path, shape, framing):
    """One normal image bears a mark; the inspected image is that one turned, and its mark must lead to the mark."""
    H, W = shape
    mark = H // 2 - 9, W // 2 + 13
    bank = Bank.create(tmp_path / "bank", framing=framing, augment="flip,rotate,rotate:10")
    bank.add([texture(1, *shape), marked(2, *shape, *mark), texture(3, *shape)])
    detector, found = Detector(bank, ALIGNED, 0.4), set()
    top, left, bottom, right = framing.box(*shape)
    cell = max(bottom - top, right - left) / 8
    for turn in bank.identity.turns:
        picture = np.asarray(turn.apply(Image.fromarray(marked(2, *shape, *mark))))
        inspection = detector.inspect(picture)
        marks, count = ndimage.label((picture[:, :, 0] > 200) & (picture[:, :, 1] < 60))
        for y, x in ndimage.center_of_mass(marks, marks, range(1, count + 1)):  # several, where edges are mirrored
            if not (top <= y <= bottom and left <= x <= right):
                continue
            match = inspection.match_at(y, x)
            assert (match.image_id, match.turn) == (bank.images[1].id, turn)
            assert match.distance < 1e-9
            assert np.hypot(match.y - mark[0], match.x - mark[1]) < cell  # the middle of the cell that the mark is in
            assert np.hypot(match.turned_y - y, match.turned_x - x) < cell
            found.add(turn)
    assert {Turn(), Turn(True), Turn(degrees=90), Turn(degrees=10)} <= found


def test_a_match_without_augmentation_lies_as_it_is(bank, tmp_path):
    plain = Bank.create(tmp_path / "plain", framing=Framing(64))
    plain.add([texture(seed) for seed in range(4)])
    match = Detector(plain, ALIGNED, 0.4).inspect(texture(1)).match_at(9, 30)
    assert (match.turn, match.turned_y, match.turned_x) == (Turn(), match.y, match.x)


@pytest.mark.parametrize("descriptor", DESCRIPTORS)
def test_images_as_they_are_score_as_without_augmentation_unless_a_turned_one_is_nearer(bank, tmp_path, descriptor):
    """Each orientation is searched as a bank of its own, so its distances are those of a bank without augmentation."""
    plain = Bank.create(tmp_path / "plain", framing=Framing(64))
    plain.add([texture(seed) for seed in range(NORMALS)])
    chosen = Settings(**{**vars(ALIGNED), "descriptor": descriptor, "gallery_size": NORMALS})
    without = {n.id: n.distance for n in Detector(plain, chosen, 0.1).inspect(texture(50)).neighbours}
    inspection = Detector(bank, chosen, 0.1).inspect(texture(50))
    assert len(inspection.neighbours) == NORMALS
    for neighbour, turn in zip(inspection.neighbours, inspection.aligned.turns, strict=True):
        if turn == Turn():
            assert neighbour.distance == without[neighbour.id]
        else:
            assert neighbour.distance < without[neighbour.id]


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(EDITS)
def test_any_sequence_of_edits_equals_building_anew(tmp_path_factory, tiny_backbone, edits):
    folder = tmp_path_factory.mktemp("edits")
    bank = Bank.create(folder / "edited", tiny_backbone, Framing(64), "rotate,rotate:10")
    held = []
    for what, seeds in edits:
        if what == "add":
            bank.add([PICTURES[seed] for seed in sorted(seeds)])
            held += [seed for seed in sorted(seeds) if seed not in held]
        elif what == "remove":
            bank.remove([image.id for image, seed in zip(bank.images, held, strict=True) if seed in seeds])
            held = [seed for seed in held if seed not in seeds]
        elif what == "compact":
            bank.compact()
        else:
            bank = Bank.open(bank.path, tiny_backbone)
    anew = Bank.create(folder / "anew", tiny_backbone, Framing(64), "rotate:10,rotate")
    if held:
        anew.add([PICTURES[seed] for seed in held])
    for one, other in zip(bank.views(range(12 * len(bank))), anew.views(range(12 * len(anew))), strict=True):
        assert [level.tobytes() for level in one.levels] == [level.tobytes() for level in other.levels]
    assert everything(bank) == everything(anew)
    assert bank.verify() == []
    shutil.rmtree(folder)


def test_removing_and_compacting_give_back_the_room_of_all_orientations(tmp_path, tiny_backbone):
    bank = Bank.create(tmp_path / "bank", tiny_backbone, Framing(64), "flip")
    plain = Bank.create(tmp_path / "plain", tiny_backbone, Framing(64))
    assert bank.identity.bytes_per_image == 4 * plain.identity.bytes_per_image
    bank.add([texture(seed) for seed in range(6)])
    bank.remove([2, 3])
    page = 4096  # of the catalogue, for the numbers that the history keeps
    assert bank.compact() >= 2 * bank.identity.bytes_per_image - page
    assert len(bank.vectors("moments", 3)) == 4


def test_people_are_told_of_images_not_of_orientations(bank):
    detector = Detector(bank, ALIGNED, 0.1)
    assert (len(bank), detector.threshold.normals, len(detector.normal_scores)) == (NORMALS, NORMALS, NORMALS)
    assert [change.added for change in bank.history()] == [NORMALS]
    assert sorted(suspect.image.id for suspect in suspects(detector)) == [image.id for image in bank.images]
    assert len(choose(bank, 5)) == 5


def test_the_choice_belongs_to_the_identity(tmp_path, tiny_backbone):
    banks = [Bank.create(tmp_path / kinds, tiny_backbone, Framing(64), kinds) for kinds in ("flip", "rotate")]
    banks += [Bank.create(tmp_path / "plain", tiny_backbone, Framing(64))]
    for bank in banks:
        bank.add([texture(0), texture(1)])
    assert len({bank.content for bank in banks}) == 3
    assert Bank.open(tmp_path / "flip", tiny_backbone).identity.turns == turns_of("flip")


def formats(path):
    connection = sqlite3.connect(path / catalogue.FILE)
    entries = dict(connection.execute("SELECT key, value FROM identity"))
    connection.close()
    return entries


def test_a_bank_without_augmentation_is_written_as_ever_and_read_by_older_versions(tmp_path, tiny_backbone):
    Bank.create(tmp_path / "plain", tiny_backbone, Framing(64))
    Bank.create(tmp_path / "flip", tiny_backbone, Framing(64), "flip")
    plain, flip = formats(tmp_path / "plain"), formats(tmp_path / "flip")
    assert (plain["format"], "augment" in plain) == ("3", False)
    assert (flip["format"], json.loads(flip["augment"])) == ("4", "flip")


@pytest.mark.parametrize("value", ['"spin"', "7", "null"])
def test_an_augmentation_that_was_altered_is_damage(tmp_path, tiny_backbone, value):
    bank = Bank.create(tmp_path / "bank", tiny_backbone, Framing(64), "flip")
    with sqlite3.connect(bank.path / catalogue.FILE) as connection:
        connection.execute("UPDATE identity SET value = ? WHERE key = 'augment'", (value,))
    connection.close()
    with pytest.raises(Exception, match="not a sound catalogue"):
        Bank.open(bank.path, tiny_backbone)


def test_a_kind_that_there_is_not_makes_no_bank(tmp_path, tiny_backbone):
    with pytest.raises(InputError, match="no augmentation 'spin'"):
        Bank.create(tmp_path / "bank", tiny_backbone, Framing(64), "spin")
    assert not (tmp_path / "bank").exists()


def test_the_paper_preset_takes_an_augmented_bank(bank):
    inspection = Detector(bank, PRESETS["paper"], 0.1).inspect(np.rot90(texture(3)))
    assert (len(inspection.neighbours), inspection.neighbours[0].distance) == (NORMALS, 0)
