"""Which normal images are found to depend on each other, on pictures of which one knows it."""

import numpy as np
import pytest
from PIL import Image

from anomalign import Bank, Detector, Framing, Settings
from anomalign.calibration.independent_count import independent_count
from anomalign.detection.dependence import find_groups, given_groups
from anomalign.detection.normal_scores import groups_of, sample_rows
from anomalign.retrieval import ImageSearch
from tests.pictures import texture

SETTINGS = Settings(gallery_size=3, gate=1.0)


def shot(part, number, noise=3.0):
    """A picture of a part; the first as it is, the others moved, brighter or darker, with noise."""
    image = texture(part).astype(float)
    if number:
        rng = np.random.default_rng([part, number])
        image = np.roll(image, rng.integers(-1, 2, 2), (0, 1)) * (1 + rng.uniform(-0.04, 0.04))
        image += rng.normal(0, noise, image.shape)
    return np.clip(image, 0, 255).round().astype(np.uint8)


def resaved(part, number, noise=2.0):
    """A picture of a part with a little noise, as another program would save it."""
    noise = np.random.default_rng([part, number]).normal(0, noise, (64, 64, 3))
    return np.clip(texture(part) + (noise if number else 0), 0, 255).round().astype(np.uint8)


def sequence(parts, repeats, first=0):
    return [shot(first + part, number) for part in range(parts) for number in range(repeats)]


def save(folder, images, names, taken=None):
    """Write images in the order of a list of names, with the time of exposure of each where it is given."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for place, (image, name) in enumerate(zip(images, names, strict=True)):
        exif = Image.Exif()
        if taken is not None:
            exif.get_ifd(0x8769)[0x9003] = taken[place]
        Image.fromarray(image).save(folder / name, exif=exif, quality=95)
        paths.append(folder / name)
    return paths


def found(bank, size=100):
    """Groups of all images of a bank, as calibration finds them."""
    search = ImageSearch(bank, SETTINGS.descriptor)
    return find_groups(bank, search, sample_rows(bank.images, size), SETTINGS.image_neighbours)


def siblings_left_out(groups, part):
    """Share of the other images of its own part that are left out when an image is scored; and of other images."""
    own, other = [], []
    for row in range(len(part)):
        left_out = np.isin(np.arange(len(part)), groups.left_out(row))
        same = part == part[row]
        own.append((left_out & same).sum() - 1)
        other.append((left_out & ~same).sum())
    return sum(own) / (sum(np.bincount(part) ** 2) - len(part)), np.mean(other)


def assert_blocks_of(groups, part):
    """As long as the parts; a fifth shorter at most, where a few images of long parts have one of their own left."""
    parts, repeats = len(set(part.tolist())), len(part) // len(set(part.tolist()))
    assert groups.origin == "blocks"
    assert repeats * 0.8 <= groups.reach + 1 <= repeats
    assert parts <= groups.count <= 1.25 * parts
    own, other = siblings_left_out(groups, part)
    assert own >= 0.95
    assert other <= 1.2 * repeats


@pytest.fixture
def make(tmp_path, tiny_backbone):
    def bank(images, groups=None):
        number = len(list(tmp_path.glob("bank*")))
        bank = Bank.create(tmp_path / f"bank{number}", tiny_backbone, Framing(64))
        bank.add(images, groups=groups)
        return bank

    return bank


@pytest.mark.parametrize(("parts", "repeats"), [(20, 5), (40, 5), (30, 3), (15, 8)])
def test_parts_that_follow_each_other_are_found_as_blocks(make, parts, repeats):
    part = np.repeat(np.arange(parts), repeats)
    assert_blocks_of(found(make(sequence(parts, repeats))), part)


def test_frames_are_ordered_by_the_numbers_in_their_names(tmp_path, make):
    """Added in the order of text, frame_10 before frame_9; part of each by its frame number."""
    images = sequence(30, 5)
    paths = save(tmp_path / "frames", images, [f"frame_{number}.png" for number in range(150)])
    bank = make(sorted(paths, key=str))
    number = np.array([int(image.name.split("_")[-1].split(".")[0]) for image in bank.images])
    assert number.tolist() != sorted(number.tolist())
    groups = found(bank)
    assert groups.place.tolist() == number.tolist()
    assert_blocks_of(groups, number // 5)


@pytest.mark.parametrize("seed", [0, 1])
def test_shuffled_names_do_not_hide_the_order_of_exposure(tmp_path, make, seed):
    """Also shuffled by the seed that most people take, which the search must not take for its random order."""
    order = np.random.default_rng(seed).permutation(150)
    images = sequence(30, 5)
    taken = [f"2026:01:{1 + place // 60:02} 10:{place % 60:02}:00" for place in order.tolist()]
    paths = save(tmp_path / "files", [images[place] for place in order], [f"{n:03}.jpg" for n in range(150)], taken)
    bank = make(paths)
    assert all(image.taken for image in bank.images)
    groups = found(bank)
    assert groups.place.tolist() == order.tolist()
    assert_blocks_of(groups, order // 5)


def test_the_order_of_adding_counts_where_names_say_nothing(tmp_path, make):
    names = [f"{n:03}.png" for n in np.random.default_rng(1).permutation(150)]
    groups = found(make(save(tmp_path / "files", sequence(30, 5), names)))
    assert groups.place.tolist() == list(range(150))
    assert_blocks_of(groups, np.repeat(np.arange(30), 5))


@pytest.mark.parametrize(("parts", "repeats"), [(60, 2), (40, 3), (25, 5)])
def test_near_copies_in_any_order_are_found(make, parts, repeats):
    order = np.random.default_rng(0).permutation(parts * repeats)
    groups = found(make([resaved(place // repeats, place % repeats) for place in order.tolist()]))
    assert (groups.origin, groups.count, groups.reach) == ("copies", parts, 0)
    for number in range(parts):
        assert len(set((order // repeats)[groups.number == number])) == 1


@pytest.mark.parametrize("copies", [1, 5, 20, 60])
def test_a_few_near_copies_among_many_images_are_found(make, copies):
    """However few: they raise the mean of all scores by little."""
    images = [texture(part) for part in range(120)] + [resaved(part, 1) for part in range(copies)]
    order = np.random.default_rng(0).permutation(len(images))
    groups = found(make([images[place] for place in order]))
    assert groups.origin == "copies"
    assert 120 <= groups.count <= 120 + 0.6 * copies
    for row, place in enumerate(order):
        assert {int(order[other]) % 120 for other in groups.left_out(row)} == {int(place) % 120}  # no other


def test_equal_pictures_are_one_group_also_in_a_small_bank(tmp_path, make):
    paths = save(tmp_path / "files", [texture(0), texture(1), texture(2)], ["0.png", "1.png", "2.png"])
    Image.fromarray(texture(1)).save(tmp_path / "files" / "3.bmp")
    groups = found(make([*paths, tmp_path / "files" / "3.bmp"]))
    assert (groups.origin, groups.count) == ("copies", 3)
    assert groups.left_out(3).tolist() == [1, 3]


def test_near_copies_far_away_are_left_out_together_with_blocks(make):
    """Twenty of the parts of a sequence appear again at its end, as near copies of single images."""
    again = [resaved(part, 1, 0.3) for part in np.random.default_rng(2).permutation(20).tolist()]
    bank = make([*(shot(part, number) for part in range(40) for number in range(5)), *again])
    groups = found(bank)
    assert groups.origin == "blocks"
    scores = Detector(bank, SETTINGS).calibrate()
    order = np.random.default_rng(2).permutation(20).tolist()
    for place, part in enumerate(order):
        assert 5 * part in groups.left_out(200 + place)
        assert 200 + place in groups.left_out(5 * part)
        assert scores.nearest[200 + place] != bank.images[5 * part].id


@pytest.mark.parametrize("images", [20, 60, 150])
@pytest.mark.parametrize("seed", range(4))
def test_independent_images_are_left_alone(make, images, seed):
    """Then every image has the weight 1, so the threshold is the one of each image by itself."""
    groups = found(make([texture(1000 * (seed + 1) + number) for number in range(images)]))
    assert (groups.origin, groups.count, groups.reach) == ("none", images, 0)
    assert groups.left_out(3).tolist() == [3]


def test_named_groups_win_over_what_can_be_seen(make):
    images = sequence(12, 5)
    names = [f"shift {number % 6}" for number in range(60)]
    bank = make(images, names)
    groups = groups_of(bank, ImageSearch(bank, SETTINGS.descriptor), SETTINGS)
    assert (groups.origin, groups.count, groups.reach) == ("given", 6, 0)
    assert groups.left_out(7).tolist() == list(range(1, 60, 6))
    assert Detector(bank, SETTINGS).groups.count == 6


def test_images_named_as_independent_count_as_such_though_their_scores_are_alike(make):
    contrast = np.repeat([0.5, 2.0] * 3, 20)  # an hour of flat pictures, an hour of others
    images = [128 + share * (texture(number) - 128.0) for number, share in enumerate(contrast)]
    bank = make([np.clip(image, 0, 255).astype(np.uint8) for image in images], [str(number) for number in range(120)])
    scores = Detector(bank, Settings(decided_by="retrieval")).calibrate()
    assert independent_count(np.log(scores.retrieval)) < 60
    assert (scores.groups.origin, scores.groups.count) == ("given", 120)


def test_an_image_without_a_group_among_named_ones_is_one_of_its_own(make):
    bank = make([texture(number) for number in range(6)], ["a", "", "b", "", "a", ""])
    groups = given_groups(bank.images)
    assert groups.count == 5
    assert [groups.left_out(row).tolist() for row in range(6)] == [[0, 4], [1], [2], [3], [0, 4], [5]]
    assert given_groups(make([texture(0), texture(1)]).images) is None


def test_frames_of_ten_parts_are_ten_groups(make):
    """Thirty of each: named they count as ten; as found never as many more, though no one knows where a part ends."""
    images = sequence(10, 30)
    named = make(images, [f"part {number // 30}" for number in range(300)])
    detector = Detector(named, Settings(decided_by="retrieval"))
    assert (detector.groups.count, detector.threshold.groups) == (10, 10)
    assert detector.target_fpr == pytest.approx(1 / 11)
    looked = Detector(make(images), Settings(decided_by="retrieval"))
    assert looked.groups.origin == "blocks"
    assert looked.groups.count <= 15
    part = np.repeat(np.arange(10), 30)
    assert siblings_left_out(found(looked.bank), part)[0] >= 0.9


def test_a_sample_of_the_images_tells_as_much(make):
    """Of a large bank some images are scored; groups are those of all images."""
    bank = make(sequence(40, 5))
    part = np.repeat(np.arange(40), 5)
    assert_blocks_of(found(bank, 60), part)
    few = Settings(gallery_size=3, gate=1.0, calibration_size=50)
    scores = Detector(bank, few).calibrate()
    assert len(scores.ids) == 50
    rows = scores.ids - 1  # nothing was removed
    assert np.mean(part[rows] == part[scores.nearest - 1]) <= 0.1
    assert scores.groups.weights.sum() == pytest.approx(scores.groups.count)
    assert scores.groups.count <= len(set(part[rows].tolist())) + 8


def test_ids_with_gaps_change_nothing(make):
    """Parts that were removed leave gaps in the ids; a bank of the others is found to depend as this one does."""
    bank = make(sequence(30, 5))
    bank.remove([image.id for image in bank.images[20:50]])
    bank.remove(bank.images[0].id)
    anew = make([shot(part, number) for part in range(30) for number in range(5)][1:20] + sequence(20, 5, first=10))
    gaps, dense = found(bank), found(anew)
    for name in ("number", "place", "reach", "count", "origin"):
        np.testing.assert_array_equal(getattr(gaps, name), getattr(dense, name))
    assert gaps.origin == "blocks"
    scores = [Detector(one, SETTINGS).calibrate() for one in (bank, anew)]
    assert scores[0].retrieval.tobytes() == scores[1].retrieval.tobytes()
    assert scores[0].groups.weights.tobytes() == scores[1].groups.weights.tobytes()
    place = [{image.id: number for number, image in enumerate(one.images)} for one in (bank, anew)]
    nearest = [[p[id] for id in one.nearest.tolist()] for p, one in zip(place, scores, strict=True)]
    assert nearest[0] == nearest[1]
