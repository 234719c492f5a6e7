"""Foreign ONNX files: outputs chosen among all tensors, tokens laid out as maps, wrong descriptions refused."""

import re
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from anomalign import BackboneError, InputError, load_backbone
from anomalign.backbones import Preprocessing, import_backbone
from tests import tiny
from tests.backbones.small import CHANNELS, PATCH, write_vit
from tests.pictures import texture

PLAIN = Preprocessing("rgb", (10.0, 20.0, 30.0), (50.0, 60.0, 70.0), 64, 64)
IMAGENET = Preprocessing("rgb", (123.675, 116.28, 103.53), (58.395, 57.12, 57.375), 256, 224)
CAFFE = Preprocessing("bgr", (103.939, 116.779, 123.68), (1.0, 1.0, 1.0), 256, 224)
WEIGHTS = Path(__file__).parents[3] / "shared" / "weights"


def raw(path, image, preprocessing, names):
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    (given,) = session.get_inputs()
    return session.run(names, {given.name: preprocessing.apply(image[None])})


def real(name):
    path = WEIGHTS / name
    if not path.is_file():
        pytest.skip(f"{name} is absent: these weights are no part of the project")
    return path


def test_outputs_become_levels_in_float16(cache_folder, tmp_path):
    file = tiny.write(tmp_path / "foreign.onnx")
    path = import_backbone(file, "mine", ["level1", "level3"], "pooled", PLAIN, licence="MIT", source="a friend")
    assert path == cache_folder / "mine.onnx"
    backbone = load_backbone("mine")
    (found,), (expected,) = backbone.run(texture(0)[None]), load_backbone(file).run(texture(0)[None])
    np.testing.assert_array_equal(found.levels[0], expected.levels[0])
    np.testing.assert_array_equal(found.levels[1], expected.levels[2])
    np.testing.assert_array_equal(found.pooled, expected.pooled)
    assert backbone.provenance == {"licence": "MIT", "source": "a friend"}
    assert (backbone.level_shapes, backbone.multiple, backbone.parameters) == (((4, 4), (8, 16)), 1, 4 * 3 + 8 * 3)
    outputs = [output.type for output in onnxruntime.InferenceSession(str(path)).get_outputs()]
    assert outputs == ["tensor(float16)", "tensor(float16)", "tensor(float)"]


def test_tensors_between_nodes_may_be_named_and_a_map_is_pooled_by_its_mean(cache_folder, tmp_path):
    file = tiny.write(tmp_path / "foreign.onnx")
    import_backbone(file, "mine", ["pool1", "level2"], "pool2", PLAIN)
    (found,) = load_backbone("mine").run(texture(0)[None])
    cells = ((texture(0).astype(float) - [10, 20, 30]) / [50, 60, 70]).reshape(16, 4, 16, 4, 3).mean(axis=(1, 3))
    np.testing.assert_allclose(found.levels[0], cells, rtol=2e-3, atol=2e-3)
    np.testing.assert_allclose(found.pooled, cells.mean(axis=(0, 1)), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("leading", [0, 1, 5])
def test_tokens_become_maps(cache_folder, tmp_path, leading):
    file = write_vit(tmp_path / "vit.onnx", leading)
    import_backbone(file, "vit", ["tokens"], "tokens", PLAIN, tokens=leading, patch=PATCH)
    backbone = load_backbone("vit")
    assert (backbone.multiple, backbone.level_shapes) == (PATCH, ((CHANNELS, PATCH),))
    for size in (64, 40):
        image = texture(1, size, size)
        (found,) = backbone.run(image[None])
        patches, tokens = raw(with_output(file, "patches"), image, PLAIN, ["patches", "tokens"])
        np.testing.assert_allclose(found.levels[0], patches[0].transpose(1, 2, 0), rtol=1e-3, atol=1e-3)
        np.testing.assert_allclose(
            found.pooled, tokens[0, 0] if leading else tokens[0].mean(axis=0), rtol=1e-4, atol=1e-5
        )
    with pytest.raises(BackboneError, match="multiples of 4 pixels, not 66 x 66; 64 or 68 would do"):
        backbone.run(texture(0, 66, 66)[None])


def with_output(path, name):
    model = onnx.load(path)
    if all(output.name != name for output in model.graph.output):
        model.graph.output.append(onnx.ValueInfoProto(name=name))
        onnx.save(model, path)
    return path


def test_a_vector_may_be_pooled_and_sizes_of_the_export_are_forgotten(cache_folder, tmp_path):
    file = write_vit(tmp_path / "vit.onnx", batch=1)
    import_backbone(file, "vit", ["tokens"], "vector", PLAIN, tokens=1, patch=PATCH)
    assert load_backbone("vit").layout(32, 32) == (((8, 8, CHANNELS),), CHANNELS)


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        (
            (["level9"], "pooled"),
            {},
            r"foreign\.onnx: has no tensor level9; its outputs are level1, .*similar names are level",
        ),
        ((["level1"], "gone"), {}, r"foreign\.onnx: has no tensor gone"),
        (
            (["level3", "level1"], "pooled"),
            {},
            r"foreign\.onnx: levels are level3 \(14 x 14\), level1 \(56 x 56\); name them from the finest",
        ),
        ((["pooled"], "pooled"), {}, r"foreign\.onnx: pooled has 2 axes; a level must be a map"),
        ((["pooled_map"], "pooled"), {}, r"foreign\.onnx: level pooled_map is 1 x 1 x 8 .* must grow"),
    ],
)
def test_wrong_names_are_refused(cache_folder, tmp_path, arguments, options, message):
    file = tiny.write(tmp_path / "foreign.onnx")
    with pytest.raises(BackboneError, match=message):
        import_backbone(file, "mine", *arguments, PLAIN, **options)
    assert not list(cache_folder.glob("*"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, r"is a sequence of tokens; say how many lead .*tokens=1 .*patch=14"),
        ({"tokens": 1}, "the side of a patch"),
        (
            {"tokens": 1, "patch": 8},
            r"has 3137 tokens for 224 px; tokens=1, patch=8 needs 785; 1 \+ 56\^2 fits tokens=1, patch=4",
        ),
        ({"tokens": 0, "patch": 4}, r"tokens=0, patch=4 needs 3136; 1 \+ 56\^2 fits tokens=1, patch=4"),
        ({"tokens": 0, "patch": 16}, r"tokens=0, patch=16 needs 196; 1 \+ 56\^2 fits tokens=1, patch=4"),
        # The network cuts the last pixel away; no patch of 15 is of 225 px what it makes of them.
        ({"tokens": 1, "patch": 15}, r"for 225 px; tokens=1, patch=15 needs 226; .* tokens=1, patch=4"),
    ],
)
def test_wrong_tokens_are_refused_with_those_that_fit(cache_folder, tmp_path, options, message):
    with pytest.raises(BackboneError, match=rf"^\S*vit\.onnx: tokens .*{message}"):
        import_backbone(write_vit(tmp_path / "vit.onnx"), "vit", ["tokens"], "vector", PLAIN, **options)
    assert not list(cache_folder.glob("*"))


def test_registers_that_were_not_counted_are_counted(cache_folder, tmp_path):
    file = write_vit(tmp_path / "vit.onnx", leading=5)
    with pytest.raises(BackboneError, match=r"tokens=1, patch=4 needs 3137; 5 \+ 56\^2 fits tokens=5, patch=4"):
        import_backbone(file, "vit", ["tokens"], "tokens", PLAIN, tokens=1, patch=PATCH)


def test_tokens_of_a_mean_are_counted_where_levels_are_maps(cache_folder, tmp_path):
    file = with_output(write_vit(tmp_path / "vit.onnx"), "patches")
    with pytest.raises(BackboneError, match=r"tokens has 3137 tokens .*fits tokens=1, patch=4"):
        import_backbone(file, "vit", ["patches"], "tokens", PLAIN, tokens=0, patch=PATCH)
    import_backbone(file, "vit", ["patches"], "tokens", PLAIN, tokens=1)
    assert load_backbone("vit").layout(32, 32) == (((8, 8, CHANNELS),), CHANNELS)


def test_what_cannot_be_tokens_of_an_image_says_so(cache_folder, tmp_path):
    file = write_vit(tmp_path / "vit.onnx")
    with pytest.raises(BackboneError, match=r"rows has 6 tokens for 224 px; .*is it \(N, tokens, channels\)\?"):
        import_backbone(file, "vit", ["rows"], "vector", PLAIN, tokens=1, patch=PATCH)


def test_what_cannot_be_a_backbone_is_named(cache_folder, tmp_path):
    (tmp_path / "text.onnx").write_text("no network")
    model = onnx.load(tiny.write(tmp_path / "t.onnx"))
    model.graph.input.append(onnx.helper.make_tensor_value_info("mask", onnx.TensorProto.FLOAT, [1]))
    onnx.save(model, tmp_path / "two.onnx")
    model = onnx.load(tiny.write(tmp_path / "t.onnx"))
    model.graph.input[0].type.tensor_type.shape.dim[1].dim_value = 1
    onnx.save(model, tmp_path / "grey.onnx")
    model = onnx.load(tiny.write(tmp_path / "t.onnx"))
    model.opset_import[0].version = 9
    onnx.save(model, tmp_path / "old.onnx")
    for file, message in [
        ("text.onnx", "not an ONNX file"),
        ("gone.onnx", "cannot be read"),
        ("two.onnx", "has 2 inputs"),
        ("grey.onnx", r"its input input is not float32 \(N, 3, H, W\)"),
        ("old.onnx", "has ONNX opset 9"),
    ]:
        with pytest.raises(BackboneError, match=rf"{file}: {message}"):
            import_backbone(tmp_path / file, "mine", ["level1"], "pooled", PLAIN)


def test_names_and_numbers_are_checked_first(cache_folder, tmp_path):
    file = tiny.write(tmp_path / "foreign.onnx")
    for name, levels, options, message in [
        ("efficientnet_lite0", ["level1"], {}, "is the name of the bundled backbone"),
        ("../x", ["level1"], {}, "cannot be a backbone's name"),
        ("mine", [], {}, "name at least one"),
        ("mine", ["level1", "level1"], {}, "each once"),
        ("mine", ["level1"], {"patch": 0}, "out of range"),
        ("mine", ["level1"], {"tokens": -1}, "out of range"),
    ]:
        with pytest.raises(InputError, match=message):
            import_backbone(file, name, levels, "pooled", PLAIN, **options)
    import_backbone(file, "mine", ["level1"], "pooled", PLAIN)
    with pytest.raises(BackboneError, match="exists already"):
        import_backbone(file, "mine", ["level2"], "pooled", PLAIN)
    import_backbone(file, "mine", ["level2"], "pooled", PLAIN, replace=True)
    assert load_backbone("mine").level_names == ("anomalign.level2",)


@pytest.mark.parametrize(("resize", "crop"), [(256, 0), (256, -1), (224, 256)])
def test_a_crop_lies_within_the_side_that_it_is_cut_from(resize, crop):
    with pytest.raises(
        InputError, match=f"crop is {crop} px of a shorter side of {resize} px; it must be at least 1 px"
    ):
        Preprocessing("rgb", (0, 0, 0), (1, 1, 1), resize, crop)
    assert Preprocessing("rgb", (0, 0, 0), (1, 1, 1), 224, 224).crop_px == 224


def test_a_crop_that_the_network_cannot_take_is_refused_with_one_that_it_can(cache_folder, tmp_path):
    file = write_vit(tmp_path / "vit.onnx")
    preprocessing = Preprocessing("rgb", (0, 0, 0), (1, 1, 1), 256, 226)
    with pytest.raises(BackboneError, match="multiples of 4 pixels, not 226 x 226; 224 or 228 would do"):
        import_backbone(file, "vit", ["tokens"], "vector", preprocessing, tokens=1, patch=PATCH)


@pytest.mark.parametrize(
    ("color", "mean", "std", "message"),
    [
        ("hsv", (0, 0, 0), (1, 1, 1), "color is 'hsv'; must be 'rgb' or 'bgr'"),
        ("rgb", (0, 0), (1, 1, 1), "mean is 0, 0; needs three finite numbers"),
        ("rgb", (0, float("nan"), 0), (1, 1, 1), "mean is 0, nan, 0; needs three finite numbers"),
        ("rgb", (0, 0, 0), (1, float("inf"), 1), "std is 1, inf, 1; needs three finite numbers"),
        ("rgb", (0, 0, 0), (1, 0, 1), "std is 1, 0, 1; every number must be greater than 0"),
    ],
)
def test_colours_means_and_deviations_are_checked_each_by_its_name(color, mean, std, message):
    with pytest.raises(InputError, match=message):
        Preprocessing(color, mean, std, 256, 224)


@pytest.mark.parametrize(
    ("mean", "std", "likely"),
    [
        ((0.498, 0.498, 0.498), (0.502, 0.502, 0.502), "mean 126.99,126.99,126.99 and std 128.01,128.01,128.01"),
        ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225), "mean 123.675,116.28,103.53 and std 58.395,57.12,57.375"),
        ((0.5, 0.5, 0.5), (1, 1, 1), "mean 127.5,127.5,127.5 and std 255,255,255"),
        ((0, 0, 0), (0.5, 0.5, 0.5), "mean 0,0,0 and std 127.5,127.5,127.5"),
        ((123.675, 116.28, 103.53), (0.229, 0.224, 0.225), "mean 123.675,116.28,103.53 and std 58.395,57.12,57.375"),
        ((0.485, 0.456, 0.406), (58.395, 57.12, 57.375), "mean 123.675,116.28,103.53 and std 58.395,57.12,57.375"),
        ((127.5, 127.5, 127.5), (0.0078125, 0.0078125, 0.0078125), "mean 127.5,127.5,127.5 and std 128,128,128"),
    ],
)
def test_values_that_no_network_is_trained_with_are_refused_with_those_likely_meant(mean, std, likely):
    with pytest.raises(InputError, match=f"pixels are in 0..255.*these were likely meant: {re.escape(likely)}$"):
        Preprocessing("rgb", mean, std, 256, 224)


def test_without_likely_values_the_plausible_ones_are_said():
    with pytest.raises(InputError, match=r"^mean is 300,0,-4, std is 1,1,1: .* each std in 1\.\.256$"):
        Preprocessing("rgb", (300, 0, -4), (1, 1, 1), 256, 224)


@pytest.mark.parametrize(
    ("mean", "std", "expected"),
    [
        (IMAGENET.mean, IMAGENET.std, (-2.1179, 2.64)),
        (CAFFE.mean, CAFFE.std, (-123.68, 151.061)),
        ((0, 0, 0), (255, 255, 255), (0, 1)),
        ((0, 0, 0), (1, 1, 1), (0, 255)),
        ((0, 0, 0), (256, 256, 256), (0, 255 / 256)),
        ((127.5, 127.5, 127.5), (127.5, 127.5, 127.5), (-1, 1)),
    ],
)
def test_what_networks_are_trained_with_is_accepted(mean, std, expected):
    assert Preprocessing("rgb", mean, std, 256, 224).input_range == pytest.approx(expected, abs=1e-4)


def test_a_real_vit(cache_folder):
    file = real("dinov2_vits14.fp16w.onnx")
    levels = ["layer3", "layer6", "layer9", "layer12"]
    import_backbone(file, "dino", levels, "tokens", IMAGENET, tokens=1, patch=14)
    backbone = load_backbone("dino")
    assert backbone.layout(224, 224) == (((16, 16, 384),) * 4, 384)
    image = texture(0, 280, 280)
    (found,) = backbone.run(image[None])
    *maps, tokens = raw(file, image, IMAGENET, [*levels, "tokens"])
    for level, expected in zip(found.levels, maps, strict=True):
        np.testing.assert_allclose(level, expected[0, 1:].reshape(20, 20, 384), rtol=2e-3, atol=2e-3)
    np.testing.assert_allclose(found.pooled, tokens[0, 0], rtol=1e-3, atol=1e-3)
    with pytest.raises(BackboneError, match="multiples of 14 pixels, not 256 x 256; 252 or 266 would do"):
        backbone.layout(256, 256)


def test_a_real_resnet(cache_folder):
    file = real("resnet50_imagenet_v1.fp16w.onnx")
    import_backbone(file, "caffe", ["layer1", "layer2", "layer3"], "layer4", CAFFE)
    backbone = load_backbone("caffe")
    assert backbone.layout(224, 224) == (((56, 56, 256), (28, 28, 512), (14, 14, 1024)), 2048)
    image = texture(0, 320, 320)
    (found,) = backbone.run(image[None])
    *maps, pooled = raw(file, image, CAFFE, ["layer1", "layer2", "layer3", "pooled"])
    for level, expected in zip(found.levels, maps, strict=True):
        np.testing.assert_allclose(level, expected[0].transpose(1, 2, 0), rtol=2e-3, atol=2e-3)
    np.testing.assert_allclose(found.pooled, pooled[0], rtol=1e-3, atol=1e-3)
