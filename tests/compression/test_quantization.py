"""A backbone in int8 and what it changes: against counting by hand, refused where too much, nothing left behind."""

import json
import tempfile
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from scipy.stats import spearmanr
from sklearn.metrics import roc_auc_score

from anomalign import BackboneError, Bank, Detector, Framing, InputError, RegionOfInterest, Settings, load_backbone
from anomalign.backbones import import_backbone, list_backbones
from anomalign.compression import comparison as module
from anomalign.compression.comparison import Effect, compare
from anomalign.compression.quantization import quantize_backbone
from anomalign.images.decoding import read_image
from anomalign.images.reading import Reading
from tests import tiny
from tests.backbones.small import PATCH, write_vit
from tests.pictures import save, texture

FRAMING = Framing(64)
SETTINGS = Settings(gallery_size=3, image_neighbours=2)


@pytest.fixture
def cache_folder(tmp_path, monkeypatch):
    folder = tmp_path / "cache"
    monkeypatch.setenv("ANOMALIGN_BACKBONES", str(folder))
    return folder


@pytest.fixture
def scratch(tmp_path, monkeypatch):
    """Where temporary files go."""
    folder = tmp_path / "scratch"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.fixture
def normals(tmp_path):
    return save(tmp_path / "normals", 30)


@pytest.fixture
def defects(tmp_path):
    (tmp_path / "defects").mkdir()
    paths = [tmp_path / "defects" / f"{seed}.png" for seed in range(6)]
    for seed, path in enumerate(paths):
        picture = texture(100 + seed).copy()
        picture[20 : 24 + 4 * seed, 20:40] = 255
        Image.fromarray(picture).save(path)
    return paths


def quantize(backbone, normals, *more, **options):
    return quantize_backbone(backbone, "new", normals, *more, framing=FRAMING, settings=SETTINGS, **options)


def detector(folder, backbone, images):
    bank = Bank.create(folder, backbone, FRAMING)
    bank.add(images)
    return Detector(bank, SETTINGS, 0.2)


def test_the_effect_is_what_two_banks_say(tmp_path, tiny_backbone, normals, defects):
    """Two networks that differ, so that verdicts do; the oracle inspects file by file."""
    other = load_backbone(tiny.write(tmp_path / "other.onnx", seed=5))
    networks = tiny_backbone, other
    both = [detector(tmp_path / f"bank{n}", network, normals[10:]) for n, network in enumerate(networks)]
    held_out = normals[:10]
    effect = compare(*both, held_out, defects, [texture(0)])

    seen = [[d.inspect(path) for path in (*held_out, *defects)] for d in both]
    verdicts = np.array([[i.verdict == "anomalous" for i in inspections] for inspections in seen])
    scores = np.array(
        [
            [(i.image_score - i.threshold) / d.normal_scores.std() for i in found]
            for d, found in zip(both, seen, strict=True)
        ]
    )
    assert effect.changed == (verdicts[0] != verdicts[1]).sum() > 0
    assert effect.false_alarms == tuple(verdicts[:, :10].sum(axis=1))
    assert effect.found == tuple(verdicts[:, 10:].sum(axis=1))
    assert effect.rank_correlation == pytest.approx(spearmanr(*scores).statistic)
    assert effect.largest_change == pytest.approx(np.abs(scores[0] - scores[1]).max())
    assert effect.auroc == pytest.approx([roc_auc_score([0] * 10 + [1] * 6, row) for row in scores])
    rare = [[i.pixels.p_values(i.aligned.frame_scores) <= 1e-3 for i in inspections] for inspections in seen]
    assert effect.overlap == pytest.approx(np.sum(np.logical_and(*rare)) / np.sum(np.logical_or(*rare)))
    framed = np.stack([read_image(path) for path in (*held_out, *defects)])
    a, b = (np.stack([pyramid.levels[1] for pyramid in network.run(framed)]).astype(float) for network in networks)
    assert effect.levels[1] == pytest.approx(np.linalg.norm(b - a) / np.linalg.norm(a), rel=1e-4)
    assert (effect.fitted, effect.held_out, effect.defects, effect.target_fpr) == (20, 10, 6, 0.2)


def test_a_network_beside_itself_changes_nothing(tmp_path, tiny_backbone, normals):
    same = detector(tmp_path / "bank", tiny_backbone, normals[10:])
    effect = compare(same, same, normals[:10], [], [texture(0)])
    assert (effect.levels, effect.pooled, effect.largest_change, effect.changed) == ((0.0,) * 3, 0.0, 0.0, 0)
    assert effect.rank_correlation == pytest.approx(1)
    assert effect.overlap in (None, 1.0)
    assert effect.auroc is None
    assert not [text for text in effect.objections() if "is not faster" not in text]


FINE = Effect(
    fitted=100,
    held_out=50,
    defects=50,
    levels=(0.1,),
    pooled=0.1,
    rank_correlation=0.99,
    largest_change=0.5,
    changed=5,
    false_alarms=(1, 2),
    found=(40, 38),
    target_fpr=0.01,
    auroc=(0.95, 0.945),
    overlap=0.9,
    network_ms=(10.0, 5.0),
    file_bytes=(100, 30),
)


@pytest.mark.parametrize(
    ("changes", "objection"),
    [
        ({}, None),
        ({"changed": 6}, "6 of 100 verdicts change"),
        ({"changed": 1, "held_out": 5, "defects": 0, "auroc": None}, None),
        ({"changed": 2, "held_out": 5, "defects": 0, "auroc": None}, "2 of 5 verdicts change"),
        ({"rank_correlation": 0.949}, "rank correlation of 0.949"),
        ({"rank_correlation": float("nan")}, "rank correlation of nan"),
        ({"auroc": (0.95, 0.92)}, "AUROC falls from 0.950 to 0.920"),
        ({"network_ms": (5.0, 5.0)}, "is not faster"),
        ({"false_alarms": (40, 40)}, "calls 40 of 50 held-out normal images anomalous"),
    ],
)
def test_what_speaks_against_it(changes, objection):
    found = replace(FINE, **changes).objections()
    assert len(found) == (objection is not None)
    assert objection is None or objection in found[0]


def test_the_effect_fits_json_whatever_it_is():
    entries = replace(FINE, rank_correlation=float("nan"), overlap=None, levels=(1 / 3,)).entries()
    assert json.loads(json.dumps(entries, allow_nan=False)) == entries
    assert (entries["levels"], entries["rank_correlation"], entries["overlap"]) == ([0.333], None, None)


def test_the_bundled_network_in_int8_is_a_backbone_of_its_own(tmp_path, cache_folder, scratch, normals, defects):
    backbone = load_backbone()
    outcome = quantize(backbone, normals, None, defects, anyway=True)
    assert outcome.path == cache_folder / "new.onnx"
    assert not list(scratch.iterdir())
    assert (outcome.effect.fitted, outcome.effect.held_out, outcome.effect.defects) == (10, 20, 6)
    new = load_backbone("new")
    assert new.path.stat().st_size < 0.6 * backbone.path.stat().st_size
    assert new.layout(64, 64) == backbone.layout(64, 64)
    assert new.preprocessing == backbone.preprocessing
    assert (new.quantized["of"], new.quantized["sha256"], new.quantized["images"]) == (
        "efficientnet_lite0", backbone.sha256, 10
    )  # fmt: skip
    assert new.quantized["changed"] == outcome.effect.changed
    assert new.quantized["in_float"] == outcome.in_float
    assert "int8 of efficientnet_lite0" in new.provenance["source"]
    assert "on 10 images" in new.provenance["source"]
    assert new.provenance["licence"] == backbone.provenance["licence"]
    (listed,) = [entry for entry in list_backbones() if entry.name == "new"]
    assert listed.quantized == new.quantized
    assert listed.parameters > 4_000_000
    with pytest.raises(InputError, match="is in int8 already"):
        quantize_backbone(new, "newer", normals, framing=FRAMING, settings=SETTINGS)


def test_a_bank_of_one_is_never_read_with_the_other(tmp_path, cache_folder, normals, tiny_backbone):
    quantize(tiny_backbone, normals, anyway=True)
    new = load_backbone("new")
    for network, other in ((tiny_backbone, new), (new, tiny_backbone)):
        bank = Bank.create(tmp_path / network.sha256, network, FRAMING)
        bank.add(normals[:3])
        with pytest.raises(BackboneError, match="features of two networks cannot be compared"):
            Bank.open(bank.path, other)
    assert Bank.open(tmp_path / new.sha256).backbone.sha256 == new.sha256


def test_it_is_kept_only_if_it_changes_little_or_anyway(cache_folder, scratch, normals, tiny_backbone, monkeypatch):
    monkeypatch.setattr(module, "LEAST_CORRELATION", 1.1)
    refused = quantize(tiny_backbone, normals)
    assert refused.path is None
    assert any("rank correlation" in objection for objection in refused.objections)
    assert not list(cache_folder.parent.glob("cache/*"))
    assert quantize(tiny_backbone, normals, anyway=True).path == cache_folder / "new.onnx"
    with pytest.raises(BackboneError, match="exists already"):
        quantize(tiny_backbone, normals)
    assert not list(scratch.iterdir())


def test_a_vit_is_quantized_at_a_size_that_it_takes(cache_folder, tmp_path, normals):
    plain = load_backbone(tiny.write(tmp_path / "t.onnx")).preprocessing
    file = write_vit(tmp_path / "vit.onnx")
    import_backbone(file, "vit", ["tokens"], "tokens", plain, tokens=1, patch=PATCH)
    outcome = quantize(load_backbone("vit"), normals, anyway=True)
    assert load_backbone("new").multiple == PATCH
    assert 0 < outcome.effect.levels[0] < 0.1
    with pytest.raises(BackboneError, match="multiples of 4 pixels"):
        quantize_backbone(load_backbone("vit"), "odd", normals, framing=Framing(65), settings=SETTINGS)


def as_features(outcome):
    """What the int8 network that was kept says of one picture."""
    return load_backbone(outcome.path).run(texture(70)[None])[0].pooled


def assert_same_effect(one, other):
    """The same but for the order of the images, which is that of the checksums of their files."""
    np.testing.assert_array_equal(as_features(one), as_features(other))
    assert one.effect.levels == pytest.approx(other.effect.levels, rel=1e-4)
    assert one.effect.largest_change == pytest.approx(other.effect.largest_change, rel=1e-4)


@pytest.mark.parametrize("size_px", [64, (96, 64)])
def test_with_a_region_of_interest_it_is_made_of_what_the_bank_will_see(
    tmp_path, cache_folder, normals, tiny_backbone, size_px
):
    region, flat = RegionOfInterest(8, 4, 48, 40), tmp_path / "flat.png"
    cropped = [tmp_path / "cropped" / path.name for path in normals]
    cropped[0].parent.mkdir()
    for path, to in zip(normals, cropped, strict=True):
        Image.fromarray(read_image(path)[8:56, 4:44]).save(to)
    Image.fromarray(texture(99, 50, 64)).save(flat)
    outcomes = [
        quantize_backbone(
            tiny_backbone, name, [*paths[:10], *more], paths[10:], framing=framing, settings=SETTINGS, anyway=True
        )
        for name, paths, more, framing in (
            ("part", normals, [flat], Framing(size_px, region=region)),
            ("crop", cropped, [], Framing(size_px)),
        )
    ]
    assert_same_effect(*outcomes)
    assert [failure.name for failure in outcomes[0].failures] == [str(flat)]


@pytest.mark.parametrize("reading", [Reading(), Reading(bits=12)])
def test_deep_images_are_read_as_the_bank_will_read_them(tmp_path, cache_folder, tiny_backbone, reading):
    """Some of the images of 12 bits are so dark that by themselves they would be taken for images of 10 bits."""
    paths = {bits: [tmp_path / f"{bits}-{seed}.png" for seed in range(30)] for bits in (8, 12)}
    for seed, (eight, twelve) in enumerate(zip(*paths.values(), strict=True)):
        grey = np.ascontiguousarray(texture(seed)[:, :, 1] // (1 + 7 * (seed % 2)))
        Image.fromarray(grey).save(eight)
        Image.fromarray(grey.astype(np.uint16) << 4).save(twelve)
    outcomes = [
        quantize_backbone(
            tiny_backbone, f"of{bits}", files[:10], files[10:], framing=FRAMING, settings=SETTINGS, anyway=True,
            reading=reading,
        )
        for bits, files in paths.items()
    ]  # fmt: skip
    assert_same_effect(*outcomes)


def test_images_that_cannot_be_used_are_reported_and_copies_count_once(tmp_path, cache_folder, normals, tiny_backbone):
    torn = tmp_path / "torn.png"
    torn.write_bytes(normals[0].read_bytes()[:50])
    copy = tmp_path / "copy.png"
    copy.write_bytes(normals[0].read_bytes())
    outcome = quantize(tiny_backbone, [*normals[:10], torn, copy], [*normals[10:], normals[0]], anyway=True)
    assert (outcome.effect.fitted, outcome.effect.held_out) == (10, 20)
    assert [failure.name for failure in outcome.failures] == [str(torn)]


def test_too_few_images_are_refused_before_anything_is_done(tmp_path, cache_folder, normals, tiny_backbone):
    for given in ((normals[:29],), (normals[:9], normals[9:]), (normals, normals[:9]), ([tmp_path / "gone.png"],)):
        with pytest.raises(InputError, match="at least 10 and 20 are needed"):
            quantize(tiny_backbone, *given)


def test_a_missing_package_is_named(cache_folder, normals, tiny_backbone, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"this needs onnx: pip install 'anomalign\[hub\]'"):
        quantize(tiny_backbone, normals)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.6, 0.99])
def test_an_interruption_leaves_nothing(cache_folder, scratch, normals, tiny_backbone, share):
    def interrupt(done, total):
        if done > share * total:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        quantize(tiny_backbone, normals, anyway=True, progress=interrupt)
    assert not cache_folder.exists()
    assert not list(scratch.iterdir())
