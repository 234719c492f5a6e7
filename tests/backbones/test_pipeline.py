import os

import numpy as np
import pytest
from PIL import Image

from anomalign import Framing
from anomalign.backbones import Described, Known, describe
from anomalign.images.sources import Failure
from tests.pictures import save, texture


def test_images_come_in_order_each_as_if_it_were_alone(tmp_path, tiny_backbone):
    paths = save(tmp_path, 23)
    results = list(describe(paths, tiny_backbone, Framing(64)))
    assert [r.name for r in results] == [str(p) for p in paths]
    for seed, result in enumerate(results):
        (expected,) = tiny_backbone.run(Framing(64).frame(Image.fromarray(texture(seed)))[None])
        np.testing.assert_array_equal(result.pyramid.levels[0], expected.levels[0])
        assert (result.height, result.width, result.preview) == (64, 64, b"")


def test_files_and_arrays_with_one_bad_among_them(tmp_path, tiny_backbone):
    paths = save(tmp_path, 2)
    paths[0].write_bytes(b"torn")
    results = list(describe([*paths, texture(5), np.full((3, 3), 2.0)], tiny_backbone, Framing(64)))
    assert [type(r) for r in results] == [Failure, Described, Described, Failure]
    assert "000.png" in results[0].error
    assert results[2].name == "array 2"


def test_a_file_name_that_is_no_text_is_a_failure_that_can_be_printed(tmp_path, tiny_backbone):
    """A byte that is not UTF-8 in a name can be neither printed nor kept in a bank."""
    good, other = save(tmp_path, 2)
    odd = tmp_path / os.fsdecode(b"odd\xff.png")
    try:
        other.rename(odd)
    except OSError:
        pytest.skip("this file system keeps no names that are not UTF-8")
    results = list(describe([odd, good], tiny_backbone, Framing(64)))
    assert [type(r) for r in results] == [Failure, Described]
    assert results[0].error.encode().endswith(b"odd\\udcff.png: the name of this file is not UTF-8; rename it")


def test_known_content_is_passed_over_before_it_is_decoded(tmp_path, tiny_backbone):
    (path,) = save(tmp_path, 1)
    (first,) = describe([path], tiny_backbone, Framing(64))
    assert list(describe([path], tiny_backbone, Framing(64), known={first.sha256})) == [Known(str(path), first.sha256)]


def test_previews_are_small_jpegs_of_the_same_shape(tmp_path, tiny_backbone):
    (result,) = describe([texture(0, 400, 800)], tiny_backbone, Framing(64), previews=True)
    (tmp_path / "p.jpg").write_bytes(result.preview)
    with Image.open(tmp_path / "p.jpg") as preview:
        assert (preview.format, preview.size) == ("JPEG", (320, 160))


def test_no_more_is_read_ahead_than_two_batches_a_core(tiny_backbone, monkeypatch):
    monkeypatch.setattr("anomalign.backbones.pipeline.available_cores", lambda: 2)
    taken = []

    def sources():
        for seed in range(200):
            taken.append(seed)
            yield texture(seed)

    results = describe(sources(), tiny_backbone, Framing(64))
    next(results)
    results.close()
    assert len(taken) <= 4 * (2 * 2 + 1)


def test_an_error_in_the_network_reaches_the_caller(tiny_backbone, monkeypatch):
    def fail(*_):
        raise RuntimeError("network")

    monkeypatch.setattr(tiny_backbone, "run", fail)
    with pytest.raises(RuntimeError, match="network"):
        list(describe([texture(0)], tiny_backbone, Framing(64)))
