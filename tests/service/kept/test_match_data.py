"""What is kept of an alignment says what the inspection said."""

import zlib

import numpy as np
import pytest
from safetensors.numpy import load, save

from anomalign import Bank, Detector, Framing, InputError
from anomalign.numerics.resample import resample_map
from anomalign.service.api import serializers
from anomalign.service.kept.match_data import MatchData
from tests.pictures import texture
from tests.service.samples import SETTINGS

DEFECT = texture(77, 90, 150).copy()
DEFECT[20:60, 30:90] = 255


@pytest.fixture(scope="module", params=[Framing(64), Framing(64, 80)], ids=["whole", "cropped"])
def inspection(request, tmp_path_factory, tiny_backbone):
    bank = Bank.create(tmp_path_factory.mktemp("details") / "bank", tiny_backbone, request.param)
    bank.add([texture(seed, 70, 100) for seed in range(20)])
    return Detector(bank, SETTINGS).inspect(DEFECT)


def test_nothing_is_lost_on_the_way(inspection):
    details = MatchData.of(inspection)
    again = MatchData.from_bytes(details.to_bytes())
    assert again.gallery == details.gallery
    assert [normal.id for normal in again.gallery] == [n.id for n in inspection.neighbours]
    for name in ("image", "y", "x", "distance", "per_level"):
        assert np.array_equal(getattr(again, name), getattr(inspection.alignment, name))
    assert np.array_equal(again.rarity, details.rarity)
    assert np.array_equal(again.place_scores, inspection.aligned.place_scores)
    assert np.array_equal(again.usual, inspection.comparison.places.usual)


def test_data_of_an_earlier_version_can_be_read(inspection):
    """It does not say what is usual at each place."""
    stored = load(zlib.decompress(MatchData.of(inspection).to_bytes()))
    again = MatchData.from_bytes(zlib.compress(save({k: v for k, v in stored.items() if k not in NEW})))
    assert np.isnan(again.usual).all()
    assert np.isnan(again.place_scores).all()
    assert np.array_equal(again.distance, inspection.alignment.distance)
    matches = serializers.matches(again, inspection.framing)
    assert (matches["usual"], matches["place_score"]) == (None, None)
    place = again.match_at(30, 50, inspection.framing, inspection.height, inspection.width)
    assert serializers.match(place)["usual"] is None


def test_the_map_is_the_inspections_to_the_last_bit(inspection):
    details = MatchData.of(inspection)
    again = details.anomaly_map(inspection.framing, inspection.height, inspection.width, SETTINGS.sigma_px)
    assert again.tobytes() == inspection.anomaly_map.tobytes()


NEW = ("usual", "place_scores")


def frame_scores(inspection):
    """The place scores, interpolated on the square that the backbone saw."""
    return resample_map(inspection.aligned.place_scores, 64, 64)


def test_heat_is_the_inspections_to_a_32nd_of_a_decade(inspection):
    details = MatchData.of(inspection)
    S = len(details.rarity)
    square = details.heat(Framing(64), S, S)  # pixel by pixel the square itself
    expected = inspection.heat(frame_scores(inspection), even_if_normal=True)
    assert np.abs(square - expected).max() <= 1 / 32 / 2 + 1e-6  # from no heat to full are two decades
    assert expected.max() > 0.5 > expected.min()
    placed = details.heat(inspection.framing, inspection.height, inspection.width)
    assert np.array_equal(np.isnan(placed), np.isnan(inspection.anomaly_map))


def test_every_pixel_has_the_match_that_the_inspection_has(inspection):
    details = MatchData.of(inspection)
    outside = 0
    for y in range(0, DEFECT.shape[0], 7):
        for x in range(0, DEFECT.shape[1], 7):
            at = (y, x, inspection.framing, inspection.height, inspection.width)
            try:
                expected = inspection.match_at(y, x)
            except InputError:
                outside += 1
                with pytest.raises(InputError, match="outside the part"):
                    details.match_at(*at)
            else:
                assert details.match_at(*at) == expected
    assert (outside > 0) == (inspection.framing.resize_px is not None)
    with pytest.raises(InputError, match="outside"):
        details.match_at(0, -1, inspection.framing, inspection.height, inspection.width)


def test_a_places_p_value_is_the_geometric_mean_of_its_pixels(inspection):
    details = MatchData.of(inspection)
    h, w = details.grid
    p = inspection.pixels.p_values(frame_scores(inspection)).astype(np.float64)
    blocks = np.log10(p).reshape(h, len(p) // h, w, len(p) // w).mean(axis=(1, 3))
    assert np.abs(np.log10(details.p_values()) - blocks).max() < 1 / 32


def changed(details, **arrays):
    if "rarity" in arrays:
        arrays["rarity"] = np.frombuffer(zlib.compress(arrays["rarity"].tobytes()), np.uint8)
    return zlib.compress(save({**load(zlib.decompress(details.to_bytes())), **arrays}))


def test_what_is_no_details_is_refused_in_words(inspection):
    details = MatchData.of(inspection)
    stored, (h, w) = details.to_bytes(), details.grid
    without = load(zlib.decompress(stored))
    del without["rarity"]
    bad = {
        "empty": b"",
        "foreign": b"neither of the two",
        "cut short": stored[:-10],
        "no tensors": zlib.compress(b"neither"),
        "lacks one": zlib.compress(save(without)),
        "other dtype": changed(details, distance=details.distance.astype(np.float64)),
        "other shape": changed(details, y=details.y[1:]),
        "usual in another shape": changed(details, usual=details.usual[..., :1]),
        "place scores in another shape": changed(details, place_scores=details.place_scores[1:]),
        "no grid": changed(details, **{name: np.zeros((0, w), np.uint16) for name in ("image", "y", "x")}),
        "outside the gallery": changed(details, image=np.full((h, w), 4, np.uint16)),
        "outside the grid": changed(details, x=np.full((h, w), w, np.uint16)),
        "no square": changed(details, rarity=details.rarity[1:]),
        "no rarity": changed(details, rarity=details.rarity[:0]),
        "rarity of another kind": zlib.compress(save({**load(zlib.decompress(stored)), "rarity": details.rarity})),
        "fewer names": changed(details, names=np.frombuffer(b'["a"]', np.uint8)),
        "names of another kind": changed(details, names=np.frombuffer(b"[1, 2, 3, 4]", np.uint8)),
        "deep": changed(details, names=np.frombuffer(b"[" * 100_000, np.uint8)),
    }
    for content in bad.values():
        with pytest.raises(InputError, match="match data that cannot be read"):
            MatchData.from_bytes(content)


def test_a_small_file_does_not_unpack_to_a_large_one(inspection, monkeypatch):
    monkeypatch.setattr("anomalign.service.kept.match_data._LARGEST_BYTES", 1_000_000)
    with pytest.raises(InputError, match="too large"):
        MatchData.from_bytes(zlib.compress(bytes(50_000_000)))


def test_any_changed_byte_is_refused_or_gives_details_that_can_be_used(inspection):
    """Zlib's checksum finds most; what it is not asked for must not harm either."""
    packed = MatchData.of(inspection).to_bytes()
    plain = zlib.decompress(packed)
    rng = np.random.default_rng(0)
    used = 0
    for _ in range(300):
        changed = bytearray(plain)
        changed[rng.integers(len(changed))] ^= 1 << rng.integers(8)
        try:
            details = MatchData.from_bytes(zlib.compress(bytes(changed)))
        except InputError:
            continue
        used += 1
        details.p_values()
        details.heat(inspection.framing, 20, 30)
        for y, x in ((30, 50), (45, 75), (60, 100)):
            details.match_at(y, x, inspection.framing, inspection.height, inspection.width)
    assert used > 0
    with pytest.raises(InputError):
        MatchData.from_bytes(packed[:-1] + bytes([packed[-1] ^ 1]))
