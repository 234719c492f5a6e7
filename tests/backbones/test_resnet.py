"""Every ResNet that is built from tensors, against one written in plain PyTorch."""

import numpy as np
import onnx
import onnxruntime
import pytest

from anomalign import BackboneError
from anomalign.backbones.graph import count_parameters
from anomalign.backbones.known import KNOWN
from anomalign.backbones.resnet import build_resnet

torch = pytest.importorskip("torch", reason="the reference is written in PyTorch: pip install 'anomalign[torch]'")
from tests.reference.resnet import MEMBERS, random_resnet  # noqa: E402


def tensors_of(network):
    return {name: tensor.numpy() for name, tensor in network.state_dict().items()}


def run(model, image, names):
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(names, {"input": image})


def before_casts(model):
    """The levels as they are before they leave the graph as float16, made outputs."""
    casts = {node.output[0]: node.input[0] for node in model.graph.node if node.op_type == "Cast"}
    names = [casts[f"layer{stage}"] for stage in range(1, 5)]
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    return names


@pytest.mark.parametrize("name", MEMBERS)
def test_member_gives_what_pytorch_gives(name):
    network = random_resnet(name)
    image = np.random.default_rng(0).normal(size=(2, 3, 64, 96)).astype(np.float32)
    with torch.no_grad():
        levels, pooled = network(torch.from_numpy(image))
    model = build_resnet(tensors_of(network), half=False)
    names = before_casts(model)
    found = run(model, image, [*names, "pooled", "layer1", "layer2", "layer3", "layer4"])
    for value, expected in zip(found[:5], [*levels, pooled], strict=True):
        error = np.abs(value - expected.numpy()).max() / float(expected.abs().max())
        assert error <= 1e-4
    for value, expected in zip(found[5:], levels, strict=True):
        assert value.dtype == np.float16
        np.testing.assert_allclose(value, expected.numpy(), rtol=2e-3, atol=1e-3 * float(expected.abs().max()))
    if name in KNOWN:
        assert count_parameters(model) == KNOWN[name].parameters


def test_float16_weights_are_a_rounding_away_and_half_as_large():
    network = random_resnet("resnet18")
    full, half = (build_resnet(tensors_of(network), half=half) for half in (False, True))
    image = np.random.default_rng(0).normal(size=(1, 3, 64, 64)).astype(np.float32)
    for one, other in zip(run(full, image, ["layer3", "pooled"]), run(half, image, ["layer3", "pooled"]), strict=True):
        assert np.abs(one.astype(float) - other).max() <= 5e-3 * np.abs(one).max()
    assert half.ByteSize() < 0.51 * full.ByteSize()


def test_the_same_tensors_give_the_same_bytes():
    tensors = tensors_of(random_resnet("resnet18"))
    assert build_resnet(tensors).SerializeToString() == build_resnet(tensors).SerializeToString()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda tensors: tensors.pop("layer3.1.bn2.running_var"), r"layer3\.1\.bn2\.running_var is missing"),
        (lambda tensors: tensors.pop("conv1.weight"), r"conv1\.weight is missing"),
        (lambda tensors: tensors.pop("layer2.0.downsample.0.weight"), r"layer2\.0\.downsample\.0\.weight is missing"),
        (lambda tensors: tensors.update({"layer1.0.se.fc1.weight": np.ones(3)}), r"it also has layer1\.0\.se\.fc1"),
        (lambda tensors: tensors["conv1.weight"].fill(1e6), r"conv1\.weight: .*65504"),
    ],
)
def test_other_networks_are_refused(change, message):
    tensors = tensors_of(random_resnet("resnet18"))
    change(tensors)
    with pytest.raises(BackboneError, match=message):
        build_resnet(tensors)
