"""Each rival against loops that follow its paper, in float64."""

import math
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.distance import mahalanobis

from anomalign.pyramid import FeaturePyramid
from tests.reference.spade import bilinear, smoothed

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))  # as a benchmark sees its own folder

from rivals import coreset, nearest, padim, patchcore, same_k

SIZE = 32
SHAPES = ((8, 8, 6), (4, 4, 8), (2, 2, 10))


def pyramids(n, seed=0, dtype=np.float32):
    rng = np.random.default_rng(seed)
    base = [rng.normal(size=shape) for shape in SHAPES]  # one object: images differ less than places do
    return [
        FeaturePyramid(
            tuple((b + 0.3 * rng.normal(size=b.shape)).astype(dtype) for b in base),
            rng.normal(size=10).astype(np.float32),
        )
        for _ in range(n)
    ]


def pasted(pyramid):
    """The same with something else in the lower right quarter."""
    levels = [level.copy() for level in pyramid.levels]
    for level in levels:
        level[len(level) // 2 :, len(level) // 2 :] += 3
    return FeaturePyramid(tuple(levels), pyramid.pooled + np.float32(3))


RIVALS = {
    "same_k": (same_k, {"k": 3}),
    "patchcore": (patchcore, {"fraction": 0.3, "neighbours": 4}),
    "padim": (padim, {"channels": 9}),
}


@pytest.mark.parametrize("name", RIVALS)
@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_a_pasted_anomaly_scores_higher_and_where_it_is(name, dtype):
    rival, settings = RIVALS[name]
    *normal, test = pyramids(20, dtype=dtype)
    model = rival.fit(iter(normal), **settings)
    before, map_before = rival.score(model, test, (SIZE, SIZE))
    after, map_after = rival.score(model, pasted(test), (SIZE, SIZE))
    assert after > before
    assert map_after.shape == (SIZE, SIZE)
    assert map_after.dtype == np.float32
    y, x = np.unravel_index(map_after.argmax(), map_after.shape)
    assert min(y, x) >= SIZE // 2
    change = map_after - map_before
    assert change[SIZE // 2 :, SIZE // 2 :].mean() > 2 * change[: SIZE // 2, : SIZE // 2].mean()


def test_stored_bytes():
    normal = pyramids(5, dtype=np.float16)
    values = sum(math.prod(shape) for shape in SHAPES)
    assert same_k.stored_bytes(same_k.fit(normal)) == 5 * (2 * values + 4 * 10)
    assert padim.stored_bytes(padim.fit(normal, channels=9)) == 64 * 4 * (9 + 9 * 9)
    assert patchcore.stored_bytes(patchcore.fit(normal, fraction=0.3)) == 24 * 4 * (18 + 1)  # 24 of 5 * 16 patches


def test_nearest_is_the_nearest(monkeypatch):
    monkeypatch.setattr(nearest, "_QUERIES", 7)
    monkeypatch.setattr(nearest, "_PLACES", 11)
    rng = np.random.default_rng(3)
    queries, places = rng.normal(size=(40, 5)).astype(np.float32), rng.normal(size=(60, 5)).astype(np.float32)
    every = np.array([[math.dist(q, p) for p in places] for q in queries])
    distance, index = nearest.nearest(queries, places)
    np.testing.assert_array_equal(index, every.argmin(axis=1))
    np.testing.assert_allclose(distance, every.min(axis=1), rtol=1e-5)


def test_same_k_follows_the_common_code():
    *normal, test = pyramids(7, seed=1)
    score, anomaly_map = same_k.score(same_k.fit(normal, k=3), test, (SIZE, SIZE))
    far = sorted((math.dist(test.pooled, p.pooled), i) for i, p in enumerate(normal))[:3]
    assert score == pytest.approx(sum(d for d, _ in far) / 3, rel=1e-5)
    expected = np.zeros((SIZE, SIZE))
    for number, (H, W, _) in enumerate(SHAPES):
        distance = np.array(
            [
                [
                    min(
                        math.dist(test.levels[number][y, x], normal[image].levels[number][v, u])
                        for _, image in far
                        for v in range(H)
                        for u in range(W)
                    )
                    for x in range(W)
                ]
                for y in range(H)
            ]
        )
        expected += bilinear(distance[:, :, None], SIZE, SIZE)[:, :, 0] / len(SHAPES)
    np.testing.assert_allclose(anomaly_map, smoothed(expected, SIZE, 4), rtol=1e-4)


def patches_by_loops(pyramid, levels, dimension):
    def pooled(vector):
        n = len(vector)
        if n <= dimension:
            return vector
        edges = [(math.floor(i * n / dimension), math.ceil((i + 1) * n / dimension)) for i in range(dimension)]
        return np.array([vector[a:b].mean() for a, b in edges])

    H, W, _ = pyramid.levels[levels[0] - 1].shape
    maps = []
    for number in levels:
        level = pyramid.levels[number - 1].astype(float)
        h, w, _ = level.shape
        around = np.zeros_like(level)
        for y in range(h):
            for x in range(w):
                window = level[max(y - 1, 0) : y + 2, max(x - 1, 0) : x + 2]
                around[y, x] = window.sum(axis=(0, 1)) / 9  # zeros beyond the edge
        maps.append(bilinear(around, H, W))
    return np.array(
        [pooled(np.concatenate([pooled(m[y, x]) for m in maps])) for y in range(H) for x in range(W)],
    )


@pytest.mark.parametrize(("levels", "dimension"), [((2, 3), 1024), ((2, 3), 7), ((1, 2, 3), 9), ((2,), 5)])
def test_patchcore_patches(levels, dimension):
    (pyramid,) = pyramids(1)
    expected = patches_by_loops(pyramid, levels, dimension)
    np.testing.assert_allclose(patchcore.embed(pyramid, levels, dimension), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("candidates", [1, 5, 40, 4096])
@pytest.mark.parametrize("spread", [1.0, 0.05])
def test_the_coreset_is_the_one_of_farthest_points(monkeypatch, candidates, spread):
    monkeypatch.setattr(coreset, "_CANDIDATES", candidates)
    monkeypatch.setattr(coreset, "_ROWS", 64)
    monkeypatch.setattr(coreset, "_COLUMNS", 6)
    rng = np.random.default_rng(4)
    points = (10 + rng.normal(size=(12, 6))[rng.integers(0, 12, 200)] + spread * rng.normal(size=(200, 6))).astype("f4")
    expected = [17]
    while len(expected) < 40:
        distances = [min(math.dist(p, points[c]) for c in expected) for p in points]
        expected.append(int(np.argmax(distances)))
    assert coreset.greedy_coreset(points, 40, 17).tolist() == expected


@pytest.mark.parametrize("candidates", [3, 4096])
def test_the_coreset_takes_each_of_identical_points_once(monkeypatch, candidates):
    monkeypatch.setattr(coreset, "_CANDIDATES", candidates)
    points = np.repeat(np.random.default_rng(5).normal(size=(4, 3)).astype(np.float32), 5, axis=0)
    chosen = coreset.greedy_coreset(points, 20, 0)
    assert sorted(chosen.tolist()) == list(range(20))
    assert len({i // 5 for i in chosen[:4].tolist()}) == 4  # all four places first


def test_the_projection_nearly_keeps_distances():
    rng = np.random.default_rng(6)
    points = rng.normal(size=(50, 400)).astype(np.float32)
    projected = patchcore.project(points, 128, rng)
    assert projected.shape == (50, 128)
    ratios = [
        math.dist(projected[0], p) / math.dist(points[0], q) for p, q in zip(projected[1:], points[1:], strict=True)
    ]
    assert np.mean(ratios) == pytest.approx(1, abs=0.05)
    assert min(ratios) > 0.75
    assert max(ratios) < 1.25
    assert patchcore.project(points, 400, rng) is points


def test_patchcore_keeps_the_coreset_of_projected_patches():
    normal = pyramids(6)
    model = patchcore.fit(normal, fraction=0.25, projected=5, seed=8)
    patches = np.concatenate([patchcore.embed(p, (2, 3), 1024) for p in normal])
    rng = np.random.default_rng(8)
    points = patchcore.project(patches, 5, rng)
    chosen = [int(rng.integers(len(patches)))]
    while len(chosen) < len(patches) // 4:
        chosen.append(int(np.argmax([min(math.dist(p, points[c]) for c in chosen) for p in points])))
    np.testing.assert_array_equal(model.memory, patches[chosen])


@pytest.mark.parametrize(("neighbours", "scale"), [(9, 1), (3, 1), (1000, 1), (9, 200)])
def test_patchcore_scores_as_the_paper_does(neighbours, scale):
    normal = [
        FeaturePyramid(tuple(np.float32(scale) * level for level in p.levels), p.pooled) for p in pyramids(7, seed=2)
    ]
    test = normal.pop()
    model = patchcore.fit(normal, fraction=0.4, neighbours=neighbours)
    score, anomaly_map = patchcore.score(model, test, (SIZE, SIZE))
    patches = patchcore.embed(test, (2, 3), 1024).astype(float)
    memory = model.memory.astype(float)
    found = [min((math.dist(p, m), i) for i, m in enumerate(memory)) for p in patches]
    s_star, m_star = max(found)
    m_test = patches[[d for d, _ in found].index(s_star)]
    near = sorted(range(len(memory)), key=lambda i: math.dist(memory[i], memory[m_star]))[:neighbours]
    assert m_star in near
    total = sum(math.exp(math.dist(m_test, memory[i]) - s_star) for i in near)
    assert score == pytest.approx((1 - 1 / total) * s_star, rel=1e-4)
    expected = smoothed(np.array([d for d, _ in found]).reshape(4, 4), SIZE, 4)
    np.testing.assert_allclose(anomaly_map, expected, rtol=1e-4)


@pytest.mark.parametrize(("levels", "channels", "images"), [((1, 2, 3), 9, 37), ((1, 2, 3), 100, 5), ((2, 3), 6, 16)])
def test_padim_is_a_gaussian_a_position(levels, channels, images):
    *normal, test = pyramids(images + 1, seed=3)
    model = padim.fit(iter(normal), levels, channels, seed=1)
    assert sum(len(c) for c in model.chosen) == min(channels, sum(SHAPES[n - 1][2] for n in levels))
    H, W, _ = SHAPES[levels[0] - 1]

    def vector(pyramid, y, x):
        return np.concatenate(
            [
                level[y * len(level) // H, x * len(level) // W, chosen].astype(float)
                for level, chosen in zip(pyramid.levels, model.chosen, strict=True)
            ]
        )

    distance = np.zeros((H, W))
    for y in range(H):
        for x in range(W):
            seen = np.array([vector(p, y, x) for p in normal])
            covariance = np.cov(seen, rowvar=False) + 0.01 * np.eye(seen.shape[1])
            distance[y, x] = mahalanobis(vector(test, y, x), seen.mean(axis=0), np.linalg.inv(covariance))
    score, anomaly_map = padim.score(model, test, (SIZE, SIZE))
    expected = smoothed(distance, SIZE, 4)
    np.testing.assert_allclose(anomaly_map, expected, rtol=1e-3)
    assert score == pytest.approx(expected.max(), rel=1e-3)
