"""Features rounded to eight bits: their products cost a sixth of those of floats, and their errors are bounded.

A descriptor less a centre is divided by its step, a random number from 0 to 1 is added to each channel, and the result
is rounded down. The errors of the channels are then independent, 0 on average and of range one step, and
Hoeffding's inequality holds for the error ``<q, e_g> + <e_q, g + e_g>`` of a product:

    P(error > t) <= exp(-2 t^2 / (step_g^2 |q + e_q|^2 + step_q^2 |g|^2)).

For ``|q + e_q|`` the code uses its largest value, ``|q| + sqrt(C) step_q``. The random numbers are the same for all
descriptors of a level: the bound holds for each product by itself. For interpolated descriptors it holds with
interpolated steps.
"""

import os
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from anomalign.numerics.jit import compiled

MARGIN = 3.72  # t in units of the root of the denominator: exceeded by one product in 10^12
OFFSET = 128  # of the gallery's codes, which are unsigned

# MatMulInteger(a - OFFSET, b) for a (n, C) uint8 and b (C, m) int8, as an ONNX model.
_PRODUCT = (
    b'\x08\x08:\x87\x01\n$\n\x01a\n\x01b\n\x04zero\x12\x07product"\rMatMulInteger\x12\x07product*\x0b\x10\x02B\x04zeroJ'
    b"\x01\x80Z\x15\n\x01a\x12\x10\n\x0e\x08\x02\x12\n\n\x03\x12\x01n\n\x03\x12\x01CZ\x15\n\x01b\x12\x10\n\x0e\x08\x03"
    b"\x12\n\n\x03\x12\x01C\n\x03\x12\x01mb\x1b\n\x07product\x12\x10\n\x0e\x08\x06\x12\n\n\x03\x12\x01n\n\x03\x12\x01m"
    b"B\x04\n\x00\x10\r"
)


def multiply(gallery: NDArray[np.uint8], query: NDArray[np.int8]) -> NDArray[np.int32]:
    """(n, C) codes of the gallery x (C, m) codes of the query -> (n, m) products, exact, within the calling thread."""
    if not len(query):
        return np.zeros((len(gallery), query.shape[1]), np.int32)
    product: NDArray[np.int32] = _session().run(None, {"a": gallery, "b": query})[0]
    return product


@compiled
def round_rows(
    values: NDArray[np.float32],
    centre: NDArray[np.float32],
    random: NDArray[np.float32],
    largest: np.float32,
    sizes: NDArray[np.float32],
    codes: NDArray[np.uint8],
    step: NDArray[np.float32],
    along: NDArray[np.float32],
) -> None:
    """Round descriptors to eight bits.

    Parameters
    ----------
    values : (n, C) float32 array
    centre, random : (C,) float32 arrays
    largest : float32
        Size of the largest code, less 1 for the random number.
    sizes : (C,) float32 array
        A buffer.
    codes : (n, C) uint8 array
        Gets ``floor((values - centre) / step + random) + OFFSET``.
    step : (n,) float32 array
        Gets the largest of the values less the centre, over `largest`.
    along : (n,) float32 array
        Gets the products of the values with the centre.
    """
    zero, offset = np.float32(0), np.float32(OFFSET)
    for row in range(values.shape[0]):
        product, length = zero, values.shape[1]
        for c in range(length):
            sizes[c] = abs(values[row, c] - centre[c])
            product += values[row, c] * centre[c]
        while length > 1:  # the largest size, by halves: a running maximum would not be a vector loop
            half = (length + 1) // 2
            for c in range(length - half):
                a, b = sizes[c], sizes[c + half]
                sizes[c] = a if a > b else b
            length = half
        peak = sizes[0] if length else zero
        step[row], along[row] = peak / largest, product
        per = largest / peak if peak > np.float32(1e-30) else zero
        for c in range(values.shape[1]):
            codes[row, c] = np.uint8(np.int32((values[row, c] - centre[c]) * per + random[c] + offset))


@lru_cache(maxsize=1)
def largest_query_code() -> int:
    """Largest size of a code of the query, less 1 for the random number.

    Processors without instructions for such products add two of them in 16 bits, where large ones do not fit.
    """
    a, b = np.full((4, 8), 255, np.uint8), np.full((8, 4), 127, np.int8)
    return 126 if (multiply(a, b) == 8 * 127 * 127).all() else 62


@lru_cache(maxsize=64)
def dither(channels: int, stream: int) -> NDArray[np.float32]:
    """(channels,) the random numbers of a level of the query or of the gallery, each of which has a stream."""
    return np.random.default_rng([20, stream]).random(channels, np.float32)


@lru_cache(maxsize=1)
def _session() -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1  # threads are ours: `anomalign.numerics.threads`
    return onnxruntime.InferenceSession(_PRODUCT, options, providers=["CPUExecutionProvider"])


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_session.cache_clear)  # another thread of the parent may be in the session
