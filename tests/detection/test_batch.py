"""Files in memory, a few at a time, and against one normal image: the same bits as file by file."""

from dataclasses import replace

import numpy as np
import pytest

from anomalign import Bank, Detector, Failure, Framing, ImageError, InputError, Settings, align
from anomalign.images.sources import Encoded
from tests.pictures import save, texture


@pytest.fixture(scope="module")
def detector(tmp_path_factory):
    bank = Bank.create(tmp_path_factory.mktemp("batch") / "bank", framing=Framing(64))
    bank.add([texture(seed) for seed in range(24)])
    return Detector(bank, Settings(gallery_size=4, gate=0.5))


def test_a_file_in_memory_is_that_file(detector, tmp_path):
    paths = save(tmp_path / "pictures", 9)
    files = [Encoded(path.name, path.read_bytes()) for path in paths]
    one_by_one = [detector.inspect(path) for path in paths]
    for together in (detector.inspect_batch(files), list(detector.inspect_many(files)), detector.inspect_batch(paths)):
        assert [replace(i, name=j.name) for i, j in zip(together, one_by_one, strict=True)] == one_by_one
    assert [i.name for i in detector.inspect_batch(files)] == [path.name for path in paths]
    added = Bank.create(tmp_path / "bank", detector.bank.backbone, Framing(64))
    assert added.add(files[0]).added == 1
    assert added.add(files).added == 8
    assert [image.sha256 for image in added.images] == [i.sha256 for i in one_by_one]


def test_one_that_is_no_image_leaves_the_others_of_its_batch(detector, tmp_path):
    (path,) = save(tmp_path / "pictures", 1)
    content = path.read_bytes()
    batch = [Encoded("a", content), Encoded("torn", content[:-40]), Encoded("", b""), Encoded("b", content)]
    first, torn, empty, last = detector.inspect_batch(batch)
    assert replace(first, name="b") == last == replace(detector.inspect(path), name="b")
    assert isinstance(torn, Failure)
    assert torn.name == "torn"
    assert "empty file" in empty.error
    (large,) = detector.inspect_batch([Encoded("large", content)], max_pixels=64 * 64 - 1)
    assert "more than the limit" in large.error
    assert detector.inspect_batch([]) == []


def test_against_aligns_with_the_chosen_images_alone(detector):
    image = texture(100)
    ids = [normal.id for normal in detector.bank.images]
    (query,) = detector.bank.backbone.run([Framing(64).frame(_pillow(image))])
    for chosen in ([ids[7]], [ids[9], ids[2]]):
        aligned = detector.against(image, *chosen)
        gallery = detector.bank.gallery([ids.index(id) for id in chosen])
        expected = align(query, gallery, grid=aligned.alignment.distance.shape)
        assert [normal.id for normal in aligned.gallery] == chosen
        for name in ("distance", "image", "y", "x"):
            assert np.array_equal(getattr(aligned.alignment, name), getattr(expected, name))
    inspection = detector.align(detector.inspect(image))
    again = detector.against(image, *(neighbour.id for neighbour in inspection.neighbours))
    assert np.array_equal(again.frame_map, inspection.aligned.frame_map)
    assert again.score == inspection.aligned.score


def test_against_refuses_what_is_not_there(detector):
    with pytest.raises(InputError, match="no image 99"):
        detector.against(texture(1), 99)
    with pytest.raises(InputError, match="at least one image"):
        detector.against(texture(1))
    with pytest.raises(ImageError, match="nothing.png"):
        detector.against("nothing.png", 1)


def _pillow(array):
    from PIL import Image

    return Image.fromarray(array)
