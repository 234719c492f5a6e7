"""The exact search in all its ways: blocks, bounds and products, threads, a read-only installation."""

import os
import shutil
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import anomalign
from anomalign import Bank, Framing, InputError
from anomalign.alignment import FeaturePyramid, align, exact, memory
from anomalign.alignment.exact import ExactSearch, exact_search
from anomalign.numerics.resample import as_float32, resample, squared_norms
from anomalign.numerics.threads import one_blas_thread, pool
from tests.alignment.test_alignment import SHAPES, agrees, pyramid
from tests.pictures import texture
from tests.reference import spade

SMOOTH = [(16, 16, 12), (8, 8, 20), (4, 4, 40)]


def smooth_pyramids(count, seed=0, noise=0.05, shapes=SMOOTH):
    """Images that look alike, so that bounds prune: a common scene, shifted and with a little noise."""
    rng = np.random.default_rng(seed)
    scene = [rng.random((h + 4, w + 4, c)) * (5 if number else 1) for number, (h, w, c) in enumerate(shapes)]
    result = []
    for _ in range(count):
        dy, dx = rng.integers(0, 4, 2)
        levels = [
            (s[dy : dy + h, dx : dx + w] + noise * rng.random((h, w, c))).astype(np.float16)
            for s, (h, w, c) in zip(scene, shapes, strict=True)
        ]
        result.append(FeaturePyramid(tuple(levels), np.zeros(1, np.float32)))
    return result


def same(a, b):
    for name in ("distance", "image", "y", "x", "per_level"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name), err_msg=name)


@pytest.mark.parametrize(
    "pyramids", [smooth_pyramids(7), [pyramid(np.random.default_rng(i), SMOOTH) for i in range(7)]]
)
@pytest.mark.parametrize(
    "change",
    [
        {"_BLOCK_BYTES": 1},  # groups of two images, a strip at a time
        {"_BLOCK_BYTES": 60_000},
        {"_LANES": 1},
        {"_LANES": 1, "_TILE": 1},
        {"_LANES": 40, "_BLOCK_BYTES": 1},
        {"_SEEDS": 1},
        {"_PATIENCE": 0.0, "_SHARE": 0.0},  # gives up at the first place that passes the bound
        {"_PATIENCE": 0.02, "_SHARE": 0.01},
        {"_PATIENCE": 9.0},  # never gives up
        {"_ENOUGH": 1},  # ranks after every row with a hit
        {"_ENOUGH": 1, "_PATIENCE": 0.0, "_SHARE": 0.0, "_TILE": 64},
    ],
)
@pytest.mark.parametrize("kappa", [1, 3])
def test_the_answer_does_not_depend_on_blocks_or_bounds(pyramids, change, kappa, monkeypatch):
    query, *gallery = pyramids
    expected = align(query, gallery, kappa, runner_up=True)
    agrees(expected, query, gallery, kappa)
    for name, value in change.items():
        monkeypatch.setattr(exact, name, value)
    found = align(query, gallery, kappa, runner_up=True)
    same(found, expected)
    same(found.runner_up, expected.runner_up)


def test_without_pruning_the_answer_is_the_same():
    query, *gallery = smooth_pyramids(6, seed=1)
    pruned, _ = exact_search(query, gallery, (16, 16), [1, 1, 1], 2)
    dense, _ = exact_search(query, gallery, (16, 16), [1, 1, 1], 2, prune=False)
    np.testing.assert_array_equal(np.sort(pruned.distance), np.sort(dense.distance))


def test_bounds_leave_few_places_on_images_that_look_alike(monkeypatch):
    query, *gallery = smooth_pyramids(5, seed=2)
    calls = []
    densely = ExactSearch._search_densely
    monkeypatch.setattr(ExactSearch, "_search_densely", lambda self, *a, **k: calls.append(a) or densely(self, *a, **k))
    align(query, gallery)
    assert len(calls) <= 1  # of 4 images times 2 strips


def test_ties_go_to_the_first_image_and_place():
    level = np.ones((4, 4, 3), np.float32)
    flat = FeaturePyramid((level, np.ones((2, 2, 3), np.float32)), np.zeros(1, np.float32))
    alignment = align(flat, [flat] * 5, runner_up=True)
    assert (alignment.distance == 0).all()
    assert not alignment.image.any()
    assert not alignment.y.any()
    assert not alignment.x.any()
    assert (alignment.runner_up.image == 1).all()


@pytest.mark.parametrize("shapes", SHAPES)
@pytest.mark.parametrize("kappa", [1, 2])
def test_runner_up_is_the_nearest_place_of_any_other_image(shapes, kappa):
    rng = np.random.default_rng(7)
    query, *gallery = (pyramid(rng, shapes) for _ in range(5))
    kappa = min(kappa, 4 * shapes[0][0] * shapes[0][1])
    alignment = align(query, gallery, kappa, runner_up=True)
    agrees(alignment, query, gallery, kappa)
    _, every = spade.align(query.levels, [g.levels for g in gallery], kappa)  # (H, W, K, H', W')
    H, W = alignment.distance.shape
    y, x = np.mgrid[:H, :W]
    every[y, x, alignment.image] = np.inf
    second = alignment.runner_up
    np.testing.assert_allclose(second.distance, every.reshape(H, W, -1).min(axis=-1), rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(every[y, x, second.image, second.y, second.x], second.distance, rtol=1e-3, atol=1e-4)
    assert second.runner_up is None


def test_no_runner_up_in_a_gallery_of_one():
    query, other = smooth_pyramids(2)
    assert align(query, [other], runner_up=True).runner_up is None


def test_neighbouring_cells_that_cancel_do_not_spoil_the_bound():
    """Interpolated norms near zero between cells of large norm: the rounding of products is then at its worst."""
    rng = np.random.default_rng(3)
    sign = (-1.0) ** np.add.outer(np.arange(4), np.arange(4))[:, :, None]

    def checkerboard():
        return FeaturePyramid(
            (
                rng.normal(size=(8, 8, 4)).astype(np.float32),
                (100 * sign + rng.normal(size=(4, 4, 30))).astype(np.float32),
            ),
            np.zeros(1, np.float32),
        )

    query, *gallery = (checkerboard() for _ in range(4))
    agrees(align(query, gallery), query, gallery)


@pytest.mark.parametrize("where", ["query", "gallery"])
def test_features_that_are_no_numbers_are_refused(where):
    query, *gallery = (pyramid(np.random.default_rng(i), SHAPES[0]) for i in range(3))
    (query if where == "query" else gallery[1]).levels[1][0, 0, 0] = np.nan
    with pytest.raises(
        InputError, match=r"gallery image 1 .*not finite" if where == "gallery" else "query .*not finite"
    ):
        align(query, gallery)


@pytest.mark.parametrize("grid", [(6, 9), (3, 4), (5, 5), (12, 20)])
def test_norms_equal_those_of_the_descriptors(grid):
    rng = np.random.default_rng(0)
    for shape in [(6, 9, 5), (3, 4, 7), (1, 1, 2), (5, 2, 3)]:
        level = rng.normal(size=shape).astype(np.float32)
        expected = (resample(level, *grid) ** 2).sum(axis=2)
        np.testing.assert_allclose(squared_norms(level, *grid), expected, rtol=1e-4, atol=1e-5)


def test_norms_are_kept_and_come_with_a_bank(tmp_path, tiny_backbone):
    bank = Bank.create(tmp_path / "bank", tiny_backbone, Framing(64))
    bank.add([texture(seed, 50, 70) for seed in range(2)])
    (stored,) = bank.gallery([1])
    assert set(stored.known_norms) == set(stored.grids) == {(16, 16), (8, 8), (4, 4)}
    fresh = FeaturePyramid(stored.levels, stored.pooled)
    for grid in stored.grids:
        np.testing.assert_array_equal(stored.norms(grid), fresh.norms(grid))
        assert fresh.norms(grid) is fresh.norms(grid)


def test_every_float16_becomes_the_same_float32():
    bits = np.arange(2**16, dtype=np.uint16).view(np.float16)
    finite = bits[np.isfinite(bits)]
    np.testing.assert_array_equal(as_float32(finite), finite.astype(np.float32))
    assert (np.signbit(as_float32(finite)) == np.signbit(finite)).all()


def test_calls_from_several_threads_do_not_disturb_each_other():
    jobs = [smooth_pyramids(6, seed) for seed in range(6)]
    expected = [align(query, gallery) for query, *gallery in jobs]
    with ThreadPoolExecutor(6) as threads:
        for _ in range(3):
            for found, wanted in zip(threads.map(lambda job: align(job[0], job[1:]), jobs), expected, strict=True):
                same(found, wanted)


@pytest.mark.usefixtures("two_blas_threads")
def test_no_more_threads_than_cores_and_blas_is_given_back():
    from threadpoolctl import threadpool_info

    def blas():
        return [library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"]

    before = blas()
    with one_blas_thread():
        assert all(n == 1 for n in blas())
        with one_blas_thread():
            pass
        assert all(n == 1 for n in blas())
    assert blas() == before
    align(*(lambda ps: (ps[0], ps[1:]))(smooth_pyramids(4)))
    assert blas() == before
    ours = [thread for thread in threading.enumerate() if thread.name.startswith("anomalign")]
    assert len(ours) <= pool()._max_workers


def test_an_error_while_reading_the_gallery_is_the_callers():
    query, *gallery = smooth_pyramids(4)

    class Broken(list):
        def __getitem__(self, index):
            if index == 2:
                raise OSError("gone")
            return super().__getitem__(index)

    with pytest.raises(OSError, match="gone"):
        align(query, Broken(gallery))
    align(query, gallery)


MEMORY = """
import resource, sys
import numpy as np
from anomalign.alignment import FeaturePyramid, align
shapes = [(56, 56, 256), (28, 28, 512), (14, 14, 1024)]
rng = np.random.default_rng(0)
one = FeaturePyramid(tuple(rng.random(s, np.float32).astype(np.float16) for s in shapes), np.zeros(1, np.float32))
class Gallery(list):
    def __len__(self): return K
    def __getitem__(self, i): return FeaturePyramid(tuple(level.copy() for level in one.levels), one.pooled)
K = 2
align(one, Gallery())
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
K = 24
align(one, Gallery())
print(before, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss is in other units elsewhere")
def test_memory_does_not_grow_with_the_gallery():
    output = subprocess.run([sys.executable, "-c", MEMORY], capture_output=True, text=True, check=True).stdout
    small, large = (int(kilobytes) * 1024 for kilobytes in output.split())
    assert large - small < exact._BLOCK_BYTES  # 24 images would be 67 MB as they are, 134 as float32, and products


def test_a_folder_that_cannot_be_written_is_no_obstacle(tmp_path):
    """A read-only installation and home: what is compiled is kept nowhere, and all works."""
    package = tmp_path / "anomalign"
    shutil.copytree(Path(anomalign.__file__).parent, package, ignore=shutil.ignore_patterns("__pycache__", "*.onnx"))
    (package / "alignment" / "__pycache__").write_bytes(
        b""
    )  # a file where the cache's folder would be, so also for root
    (tmp_path / "home").write_bytes(b"")
    code = (
        "import numpy as np; from anomalign.alignment import FeaturePyramid, align, scan\n"
        f"assert scan.__file__.startswith({str(tmp_path)!r})\n"
        "p = FeaturePyramid((np.ones((4, 4, 2), np.float32), np.ones((2, 2, 2), np.float32)), np.ones(1))\n"
        "assert (align(p, [p, p]).distance == 0).all()"
    )
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("NUMBA", "XDG"))}
    environment |= {"PYTHONPATH": str(tmp_path), "HOME": str(tmp_path / "home"), "PYTHONDONTWRITEBYTECODE": "1"}
    result = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


def test_compiled_loops_stay_within_their_arrays(tmp_path):
    """With every index checked, on grids whose strips differ in size, with and without coarse levels."""
    code = (
        "import numpy as np\n"
        "from anomalign.alignment import FeaturePyramid, align, exact\n"
        "exact._LANES, exact._ENOUGH = 20, 1\n"
        "rng = np.random.default_rng(0)\n"
        "four = [(11, 3, 70), (5, 2, 3), (2, 2, 3), (1, 1, 1)]\n"
        "for shapes in ([(7, 5, 3), (3, 2, 4)], [(9, 9, 20)], [(1, 1, 2)], four, *[[(9, 9, 2), (5, 5, 2)]] * 20):\n"
        "    levels = lambda: tuple(rng.random(s, np.float32) for s in shapes)\n"
        "    query, *gallery = (FeaturePyramid(levels(), np.zeros(1)) for _ in range(4))\n"
        "    align(query, gallery, runner_up=True)\n"
        "    align(query, gallery, min(4, shapes[0][0] * shapes[0][1]), grid=(6, 7))\n"
    )
    environment = {**os.environ, "NUMBA_BOUNDSCHECK": "1", "NUMBA_CACHE_DIR": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_memory_is_kept_for_the_next_search_and_shared_by_none(monkeypatch):
    monkeypatch.setattr(memory, "_spare", [])
    with memory.reused_memory() as first:
        array = first.empty("a", (3, 5))
        with memory.reused_memory() as other:
            assert other is not first
    with memory.reused_memory() as again:
        assert again is other
        assert not memory._spare
    monkeypatch.setattr(memory, "_spare", [first])
    with memory.reused_memory() as again:
        assert np.shares_memory(again.empty("a", (2, 5)), array)
        assert not np.shares_memory(again.empty("a", (9, 9)), array)
        assert not np.shares_memory(again.empty("b", (2, 5)), again.empty("a", (9, 9)))
        assert again.empty("c", (3, 7)).ctypes.data % 64 == 0


def test_memory_of_a_search_that_failed_or_was_large_is_not_kept(monkeypatch):
    monkeypatch.setattr(memory, "_spare", [])
    with pytest.raises(ValueError, match="no"), memory.reused_memory():
        raise ValueError("no")
    monkeypatch.setattr(memory, "_REUSED_BYTES", 100)
    with memory.reused_memory() as room:
        room.empty("a", (101,), np.uint8)
    assert not memory._spare


def test_a_gallery_may_search_while_it_is_read():
    """A search within a task of another: were it to wait for the same threads, nobody would do the work."""
    query, *gallery = smooth_pyramids(5)

    class Searching(list):
        def __getitem__(self, index):
            align(query, gallery[:2])
            return super().__getitem__(index)

    same(align(query, Searching(gallery)), align(query, gallery))


def test_features_near_the_end_of_float32_are_searched_all_the_same():
    """Sums of their squares are finite, squares of those are not."""
    rng = np.random.default_rng(11)
    query, *gallery = (pyramid(rng, [(8, 8, 64), (4, 4, 64)]) for _ in range(4))
    expected = align(query, gallery)
    huge = [FeaturePyramid(tuple(level * 2.0**59 for level in p.levels), p.pooled) for p in (query, *gallery)]
    found = align(huge[0], huge[1:])
    np.testing.assert_array_equal(found.image, expected.image)
    np.testing.assert_array_equal(found.y, expected.y)


COMPILED = """
import numpy as np
from numba.core import event
from anomalign.alignment import FeaturePyramid, align
compiled = event.RecordingListener()
event.register("numba:compile", compiled)
query = FeaturePyramid((np.ones((4, 4, 2), np.float32), np.ones((2, 2, 2), np.float32)), np.ones(1))
align(query, [query, query], runner_up=True)
print(len(compiled.buffer))
"""


def test_a_later_process_compiles_nothing(tmp_path):
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    command = [sys.executable, "-c", COMPILED]
    first, later = (int(subprocess.check_output(command, text=True, env=environment)) for _ in range(2))
    assert first > 0
    assert later == 0
