"""A bank that also holds turned normal images: the service shows places in the original images."""

import numpy as np
import pytest

from anomalign import Bank, Detector, Framing, RegionOfInterest
from anomalign.images.sources import Encoded
from anomalign.service.kept.match_data import MatchData
from tests.pictures import texture
from tests.service.samples import SETTINGS, png


@pytest.fixture(params=[None, RegionOfInterest(9, 5, 44, 44)], ids=["whole", "region"])
def turned_bank(request, tmp_path, tiny_backbone):
    bank = Bank.create(tmp_path / "turned.bank", tiny_backbone, Framing(64, region=request.param), "flip,rotate")
    bank.add([texture(seed) for seed in range(20)])
    return bank


def test_places_are_those_of_the_inspection_and_of_the_image_as_it_is(turned_bank):
    detector = Detector(turned_bank, SETTINGS, 0.1)
    (inspection,) = detector.inspect_batch([Encoded("image.png", png(80))])
    details = MatchData.of(inspection)
    turns = [turn for turn in inspection.aligned.turns if turn.degrees or turn.mirrored]
    assert turns  # something was compared turned
    for y, x in np.random.default_rng(0).integers(9, 49, (40, 2)):
        match = details.match_at(int(y), int(x), inspection.framing, 64, 64)
        expected = inspection.match_at(int(y), int(x))
        assert (match.image_id, match.distance) == (expected.image_id, expected.distance)
        np.testing.assert_allclose((match.y, match.x), (expected.y, expected.x), atol=1e-6)


def test_an_image_alone_is_compared_in_all_its_orientations(turned_bank):
    detector = Detector(turned_bank, SETTINGS, 0.1)
    turns = turned_bank.identity.turns
    image = texture(3).copy()
    region = turned_bank.identity.framing.region
    seen = slice(None) if region is None else slice(region.top, region.top + region.height)
    image[seen] = image[seen][::-1]  # upside down, as one of the orientations has it
    aligned = detector.against(image, turned_bank.images[3].id)
    assert [normal.id for normal in aligned.gallery] == [turned_bank.images[3].id] * len(turns)
    np.testing.assert_allclose(aligned.alignment.distance, 0, atol=1e-2)
