"""Shards that were described elsewhere become the bank that `Bank.add` makes, by one commit."""

import pickle
import shutil

import numpy as np
import pytest

from anomalign import Bank, Framing
from anomalign.bank.merging import make_shard
from tests.pictures import save


@pytest.fixture
def pictures(tmp_path):
    """Twelve pictures, of which the last two are copies of the first and of the fourth; one more is broken."""
    paths = save(tmp_path / "pictures", 12)
    shutil.copy(paths[0], paths[10])
    shutil.copy(paths[3], paths[11])
    paths.insert(5, tmp_path / "pictures" / "broken.png")
    paths[5].write_bytes(b"broken")
    return paths


def shards(bank, paths, size, names=None):
    """Shards of a few images each, as they come from other processes."""
    names = names or [None] * len(paths)
    known = {image.sha256 for image in bank.images}
    for i in range(0, len(paths), size):
        part = make_shard(paths[i : i + size], names[i : i + size], bank.backbone, bank.identity, known, 10**8)
        yield pickle.loads(pickle.dumps(part))


def merged(bank, parts, total):
    with bank.merging() as merge:
        return merge(bank.identity, parts, total=total, depth=None, progress=None)


@pytest.mark.parametrize("size", [1, 4, 100])
@pytest.mark.parametrize("augment", ["", "flip"])
def test_shards_make_the_bank_that_one_call_makes(tmp_path, tiny_backbone, pictures, size, augment):
    one = Bank.create(tmp_path / "one", tiny_backbone, Framing(64), augment)
    many = Bank.create(tmp_path / "many", tiny_backbone, Framing(64), augment)
    names = [f"part {n // 2}" for n in range(len(pictures))]
    expected = one.add(pictures, groups=names)
    assert merged(many, shards(many, pictures, size, names), len(pictures)) == expected
    assert (expected.added, len(expected.known), len(expected.failures)) == (10, 2, 1)
    assert many.content == one.content
    assert [(i.name, i.sha256, i.group, i.id) for i in many.images] == [
        (i.name, i.sha256, i.group, i.id) for i in one.images
    ]
    assert many.version == 1
    assert many.verify() == []
    for view, (a, b) in enumerate(zip(one.views(range(len(one))), many.views(range(len(many))), strict=True)):
        assert all(np.array_equal(x, y) for x, y in zip(a.levels, b.levels, strict=True)), view
    assert np.array_equal(one.vectors("moments"), many.vectors("moments"))
    assert [one.preview(i.id) for i in one.images] == [many.preview(i.id) for i in many.images]


def test_images_that_are_there_get_new_groups_only(empty_bank, pictures):
    empty_bank.add(pictures[:4])
    report = merged(empty_bank, shards(empty_bank, pictures[:4], 2, ["a", None, "b", "b"]), 4)
    assert (report.added, len(report.known), report.regrouped) == (0, 4, 3)
    assert [image.group for image in empty_bank.images] == ["a", "", "b", "b"]


def test_before_the_commit_nothing_has_changed(empty_bank, pictures):
    empty_bank.add(pictures[:2])
    before, version = empty_bank.content, empty_bank.version

    def cut_off():
        yield from list(shards(empty_bank, pictures, 2))[:3]
        raise RuntimeError("the network is gone")

    with pytest.raises(RuntimeError, match="gone"):
        merged(empty_bank, cut_off(), len(pictures))
    again = Bank.open(empty_bank.path, empty_bank.backbone)
    assert (again.content, again.version) == (before, version)
    again.add(pictures)  # the next writer sweeps what no transaction names
    named = {image.segment for image in again.images}
    assert {file.name for file in (again.path / "segments").iterdir()} == named


def test_on_ctrl_c_what_has_arrived_is_committed(empty_bank, pictures):
    def interrupted():
        yield from list(shards(empty_bank, pictures, 2))[:2]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        merged(empty_bank, interrupted(), len(pictures))
    assert [image.name for image in empty_bank.images] == [str(path) for path in pictures[:4]]
    assert empty_bank.verify() == []
