"""The search through PyTorch, on CPU tensors: the arithmetic is the same wherever it runs."""

import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anomalign import InputError
from anomalign.alignment import align
from tests.alignment.test_alignment import SHAPES, agrees, pyramid
from tests.alignment.test_exact import smooth_pyramids
from tests.reference import spade

torch = pytest.importorskip("torch", reason="the extra 'torch' is not installed")

from anomalign.alignment import on_torch  # noqa: E402


@pytest.fixture(autouse=True)
def cpu_tensors(monkeypatch):
    """Let the device "cuda" be the processor, so that `align` itself is tested."""
    found = on_torch.search
    monkeypatch.setattr(on_torch, "search", lambda *a, **k: found(*a[:5], "cpu", **k))


@pytest.mark.parametrize("shapes", SHAPES)
@pytest.mark.parametrize(("K", "kappa"), [(1, 1), (4, 3)])
def test_equals_the_reference(shapes, K, kappa):
    rng = np.random.default_rng(K)
    query, *gallery = (pyramid(rng, shapes, np.float16) for _ in range(K + 1))
    kappa = min(kappa, K * shapes[0][0] * shapes[0][1])
    agrees(align(query, gallery, kappa, device="cuda"), query, gallery, kappa)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0.01, 100), st.floats(-50, 50))
def test_equals_the_exact_search_at_any_scale_and_offset(seed, scale, offset):
    query, *gallery = smooth_pyramids(4, seed)
    for image in (query, *gallery):
        object.__setattr__(image, "levels", tuple(x.astype(np.float32) * scale + offset for x in image.levels))
    best = on_torch.search(query, gallery, (16, 16), [1, 1, 1], 1, "cpu")
    expected = align(query, gallery)
    np.testing.assert_allclose(best.distance.reshape(16, 16), expected.distance, rtol=2e-3, atol=1e-4 * scale**2)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_matches_agree_on_images_that_look_alike(dtype):
    query, *gallery = smooth_pyramids(6)
    best = on_torch.search(query, gallery, (16, 16), [1, 1, 1], 1, "cpu", dtype=dtype)
    expected = align(query, gallery)
    same = (best.image.reshape(16, 16) == expected.image) & (best.place.reshape(16, 16) == expected.y * 16 + expected.x)
    assert same.mean() >= 0.99
    np.testing.assert_allclose(best.distance.reshape(16, 16), expected.distance, rtol=1e-2)


def test_grid_weights_blocks_and_runner_up(monkeypatch):
    monkeypatch.setattr(on_torch, "_BLOCK_ELEMENTS", 1)  # a row at a time
    rng = np.random.default_rng(5)
    query, *gallery = (pyramid(rng, SHAPES[0]) for _ in range(4))
    alignment = align(query, gallery, 2, grid=(4, 4), level_weights=[0.5, 1.0, 3.0], runner_up=True, device="cuda")
    agrees(alignment, query, gallery, 2, (4, 4), [0.5, 1.0, 3.0])
    _, every = spade.align(query.levels, [g.levels for g in gallery], 2, (4, 4), [0.5, 1.0, 3.0])
    y, x = np.mgrid[:4, :4]
    every[y, x, alignment.image] = np.inf
    nearest = every.reshape(4, 4, -1).min(axis=-1)
    np.testing.assert_allclose(alignment.runner_up.distance, nearest, rtol=1e-3)


def test_bad_input_is_named():
    rng = np.random.default_rng(0)
    query, other = pyramid(rng, SHAPES[0]), pyramid(rng, SHAPES[1])
    with pytest.raises(InputError, match="gallery image 1"):
        align(query, [query, other], device="cuda")
    query.levels[0][0, 0, 0] = np.inf
    with pytest.raises(InputError, match="query"):
        align(query, [query], device="cuda")


def test_a_device_that_is_not_there_is_named(monkeypatch):
    monkeypatch.undo()
    image = pyramid(np.random.default_rng(0), SHAPES[3])
    if not torch.cuda.is_available():
        with pytest.raises(InputError, match="'cuda'"):
            align(image, [image], device="cuda")
    with pytest.raises(InputError, match="'abacus'"):
        align(image, [image], device="abacus")


def test_without_pytorch_the_remedy_is_said(monkeypatch):
    monkeypatch.delattr("anomalign.alignment.on_torch")
    monkeypatch.setitem(sys.modules, "anomalign.alignment.on_torch", None)
    image = pyramid(np.random.default_rng(0), SHAPES[3])
    with pytest.raises(InputError, match="pip install"):
        align(image, [image], device="cuda")
