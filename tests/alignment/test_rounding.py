"""Products of features rounded to eight bits: exact as products of codes, and off by no more than is said."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from anomalign.alignment import align, rounding
from anomalign.alignment import block as block_module
from anomalign.alignment.block import Block
from anomalign.alignment.memory import Memory
from anomalign.alignment.prepared import PreparedQuery
from anomalign.alignment.rounding import MARGIN, dither, largest_query_code, multiply, round_rows
from anomalign.numerics.resample import resample, resample_map
from tests.alignment.test_alignment import agrees, pyramid
from tests.reference import spade


def test_the_model_is_one_product_of_whole_numbers():
    wanted = helper.make_model(
        helper.make_graph(
            [helper.make_node("MatMulInteger", ["a", "b", "zero"], ["product"])],
            "product",
            [
                helper.make_tensor_value_info("a", TensorProto.UINT8, ["n", "C"]),
                helper.make_tensor_value_info("b", TensorProto.INT8, ["C", "m"]),
            ],
            [helper.make_tensor_value_info("product", TensorProto.INT32, ["n", "m"])],
            [helper.make_tensor("zero", TensorProto.UINT8, [], bytes([rounding.OFFSET]), raw=True)],
        ),
        opset_imports=[helper.make_opsetid("", 13)],
        ir_version=8,
    )
    assert onnx.load_model_from_string(rounding._PRODUCT) == wanted


@pytest.mark.parametrize("shape", [(1, 1, 1), (5, 3, 7), (64, 257, 33), (3, 0, 4), (9, 4096, 2)])
def test_products_of_codes_are_exact(shape):
    n, channels, m = shape
    rng = np.random.default_rng(0)
    largest = largest_query_code() + 1
    gallery = rng.integers(1, 256, (n, channels), np.uint8)
    query = rng.integers(-largest, largest + 1, (channels, m)).astype(np.int8)
    gallery[0], query[:, 0] = 255, largest  # the largest sums
    np.testing.assert_array_equal(multiply(gallery, query), (gallery.astype(np.int64) - 128) @ query.astype(np.int64))


def rounded(values, centre, stream, largest=126):
    return rounded_with(dither(values.shape[1], stream), values, centre, largest)


def rounded_with(random, values, centre, largest):
    codes, sizes = np.empty(values.shape, np.uint8), np.empty(values.shape[1], np.float32)
    step, along = np.empty(len(values), np.float32), np.empty(len(values), np.float32)
    round_rows(values, centre, random, np.float32(largest), sizes, codes, step, along)
    return codes, step, along


def wild(rng, n, channels):
    """Descriptors of all kinds: dense, sparse, with one channel that towers over all others, all zeros, tiny, huge."""
    values = rng.normal(size=(n, channels)).astype(np.float32)
    values[1::6] = np.maximum(values[1::6], 1.5) - 1.5
    values[2::6, 0] = 300
    values[3] = 0
    values[4::6] *= 1e-20
    values[5::6] *= 1e12
    return values


def test_codes_lie_within_a_step_of_the_values():
    rng = np.random.default_rng(1)
    values, centre = wild(rng, 40, 130), rng.normal(size=130).astype(np.float32)
    for largest in (126, 62):
        codes, step, along = rounded(values, centre, 3, largest)
        assert codes.min() >= 128 - largest - 1
        assert codes.max() <= 128 + largest + 1
        back = (codes.astype(np.float64) - 128) * step[:, None]
        assert (np.abs(back - (values - centre)) <= step[:, None] * (1 + 1e-4)).all()
        np.testing.assert_allclose(along, values.astype(np.float64) @ centre, rtol=1e-3, atol=1e-3)


def test_rounding_is_right_on_average():
    """Over many random numbers the errors of a channel vanish, also where all values lie below half a step."""
    values = np.array([[100.0, 0.1, 0.3, -0.2, 0.0]], np.float32)
    errors = []
    for random in np.random.default_rng(0).random((4000, 5), np.float32):
        codes, step, _ = rounded_with(random, values, np.zeros(5, np.float32), 126)
        errors.append((codes.astype(np.float64) - 128) * step - values)
    assert np.abs(errors).max() > 0.5
    np.testing.assert_allclose(np.mean(errors, axis=0), 0, atol=0.03)


@pytest.mark.parametrize("kind", ["normal", "sparse", "one channel towers", "alike"])
def test_errors_of_products_keep_their_bound(kind):
    """Of 4 million products none is farther off than the bound, whatever the features are like; some come near."""
    rng = np.random.default_rng(2)
    channels, n = 96, 2000
    q, g = (rng.normal(size=(n, channels)).astype(np.float32) for _ in range(2))
    if kind == "sparse":
        q, g = np.maximum(q, 1) - 1, np.maximum(g, 1) - 1
    elif kind == "one channel towers":
        q[:, 0], g[:, 0] = 200, 200
        q, g = np.abs(q), np.abs(g)  # errors of one sign, were they not random
    elif kind == "alike":
        q, g = q[:1] + 0.01 * q, q[:1] + 0.01 * g
    nothing = np.zeros(channels, np.float32)
    (q_codes, q_step, _), (g_codes, g_step, _) = rounded(q, nothing, 0, largest_query_code()), rounded(g, nothing, 1)
    whole = multiply(g_codes, np.ascontiguousarray((q_codes ^ 128).view(np.int8).T))
    error = np.abs(whole * g_step[:, None].astype(float) * q_step - g.astype(float) @ q.T.astype(float))
    norm = np.sqrt((((q_codes.astype(float) - 128) * q_step[:, None]) ** 2).sum(axis=1))
    bound = np.sqrt(g_step[:, None] ** 2 * norm**2 + q_step**2 * (g**2).sum(axis=1)[:, None])
    assert (error <= MARGIN * bound).all()
    assert (error / bound).max() > 0.08


def uneven():
    """A query and another image whose pixels and channels differ in size by far."""
    rng = np.random.default_rng(3)
    query, other = (pyramid(rng, [(8, 8, 24), (4, 4, 40), (3, 2, 60)]) for _ in range(2))
    for level in (*query.levels, *other.levels):
        level[..., 0] += 30
        level[1] *= 8
    prepared = PreparedQuery(query, (8, 8), [1.0, 2.0, 0.5], Memory())
    block = Block(prepared, 1, np.array([part.shape[0] for part in prepared.parts[1:]]), Memory())
    block.read([other], range(1))
    return query, other, prepared, block


@pytest.mark.parametrize("known", [0, 1])
def test_slack_makes_costs_lower_bounds(known):
    """Of squared distances of all levels (1), or of the coarse ones (0), against those in double precision."""
    query, other, prepared, block = uneven()
    lower = lower_bounds(prepared, block, known)
    _, every = spade.align(query.levels, [other.levels], 1, (8, 8), [float(known), 2.0, 0.5])
    exact = every.reshape(64, 64)
    assert (lower <= exact + 1e-3 * exact).all()
    assert (exact - lower).mean() < 0.3 * exact.mean()


@pytest.mark.parametrize("known", [0, 1])
def test_slack_is_as_large_as_the_inequality_asks(known):
    """For every pair, of what both sides' slack is said to cover in docs/alignment.md; and not twice as large."""
    query, other, prepared, block = uneven()
    asked = 0
    slack = np.zeros((64, 64))
    for i in range(1 - known, 3):
        part, weight = prepared.parts[i], prepared.weights[i]
        channels = part.shape[2]
        cells = slice(block.starts[i], block.starts[i] + part.step.size)
        steps = resample_map(block.products.steps[0, cells].reshape(part.step.shape), 8, 8).ravel()
        g, q = (
            np.sqrt(((resample(weight * one.levels[i] - part.centre, 8, 8).astype(float)) ** 2).sum(axis=2).ravel())
            for one in (other, query)
        )
        q_steps = resample_map(part.step, 8, 8).ravel()
        asked = asked + np.outer((q + np.sqrt(channels) * q_steps) ** 2, steps**2) + np.outer(q_steps**2, g**2)
        slack += prepared.slack[known, i, 0] * steps**2 + prepared.slack[known, i, 1] * g**2
    asked = 2 * MARGIN * np.sqrt(asked)
    squared = sum(part.squared for part in prepared.parts[1 - known :])
    slack += (squared - prepared.arrays.squared[known])[:, None]
    assert (slack >= asked * (1 - 1e-3)).all()
    assert np.median(slack / asked) < 2


def lower_bounds(prepared, block, known):
    """The costs that a scan would compare with the limits, as squared distances, from the pieces that it is given."""
    H, W = prepared.grid
    total = np.zeros((H * W, H * W))
    for i in range(1 - known, len(prepared.parts)):
        part = prepared.parts[i]
        h, w, _ = part.shape
        whole = multiply(block.codes[i][0], np.ascontiguousarray(part.codes.T)).astype(np.float64)
        cells = slice(block.starts[i], block.starts[i] + h * w)
        products = whole * block.products.steps[0, cells, None] * part.step.ravel()  # (cells of g, cells of q)
        on_q = resample(products.reshape(h * w, h, w).transpose(1, 2, 0).astype(np.float32), H, W).reshape(H * W, h * w)
        on_both = resample(on_q.T.reshape(h, w, H * W), H, W).reshape(H * W, H * W)
        total -= 2 * on_both.T
    return total + block.products.squared[: 1 + known, 0].sum(axis=0) + prepared.arrays.squared[known][:, None]


def test_a_processor_without_products_of_bytes_gets_smaller_codes(monkeypatch):
    """Such a processor adds two products in 16 bits, where large ones are cut off."""

    def cut_off(gallery, query):
        pairs = gallery.astype(np.int64)[:, :, None] * query.astype(np.int64)  # (n, C, m)
        pairs = np.clip(pairs[:, ::2] + pairs[:, 1::2], -(2**15), 2**15 - 1)
        return (pairs.sum(axis=1) - 128 * query.astype(np.int64).sum(axis=0)).astype(np.int32)

    for module in (rounding, block_module):
        monkeypatch.setattr(module, "multiply", cut_off)
    largest_query_code.cache_clear()
    try:
        largest = largest_query_code()
        assert largest == 62
        extremes = np.array([[255, 255], [1, 1], [255, 1], [128, 128]], np.uint8)
        codes = np.array([[largest + 1, -largest - 1], [largest + 1, -largest - 1]], np.int8)
        np.testing.assert_array_equal(cut_off(extremes, codes), (extremes.astype(int) - 128) @ codes.astype(int))
        rng = np.random.default_rng(5)
        query, *gallery = (pyramid(rng, [(8, 8, 24), (4, 4, 40)]) for _ in range(4))
        agrees(align(query, gallery), query, gallery)
    finally:
        monkeypatch.undo()
        largest_query_code.cache_clear()


def test_channels_that_tower_and_features_that_hardly_differ():
    rng = np.random.default_rng(6)
    shapes = [(8, 8, 16), (4, 4, 24)]
    query, *gallery = (pyramid(rng, shapes) for _ in range(4))
    for one in (query, *gallery):
        for level in one.levels:
            level *= 0.01
            level[..., 0] += 500
            level[..., 1] = 0
    agrees(align(query, gallery, 2), query, gallery, 2)
