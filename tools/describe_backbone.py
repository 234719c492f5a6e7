"""Write into an ONNX file how it is to be fed, so that it can be used as a backbone (docs/backbones.md).

    python tools/describe_backbone.py IN.onnx OUT.onnx --name resnet50 --levels layer1 layer2 layer3 --pooled pooled \
        --color bgr --mean 103.939 116.779 123.68 --std 1 1 1

Needs the package onnx, of the extra dev.
"""

import argparse
import json
from pathlib import Path

import onnx
from onnx import helper


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("--name", required=True)
    parser.add_argument("--levels", nargs="+", required=True, help="outputs, finest first")
    parser.add_argument("--pooled", required=True, help="output")
    parser.add_argument("--color", choices=["rgb", "bgr"], default="rgb")
    parser.add_argument("--mean", type=float, nargs=3, required=True, help="of pixels from 0 to 255")
    parser.add_argument("--std", type=float, nargs=3, required=True)
    parser.add_argument("--resize", type=int, default=256)
    parser.add_argument("--crop", type=int, default=224)
    parser.add_argument("--licence", default="not stated")
    parser.add_argument("--origin", default="not stated")
    options = parser.parse_args()
    model = onnx.load(options.source)
    missing = {*options.levels, options.pooled} - {output.name for output in model.graph.output}
    if missing:
        raise SystemExit(f"{options.source}: has no outputs {', '.join(sorted(missing))}")
    preprocessing = {
        "color": options.color,
        "mean": options.mean,
        "std": options.std,
        "resize_px": options.resize,
        "crop_px": options.crop,
    }
    entries = {
        "name": options.name,
        "levels": json.dumps(options.levels),
        "pooled": options.pooled,
        "preprocessing": json.dumps(preprocessing),
        "licence": options.licence,
        "source": options.origin,
    }
    helper.set_model_props(model, {f"anomalign.{key}": value for key, value in entries.items()})
    onnx.save(model, options.target)


if __name__ == "__main__":
    main()
