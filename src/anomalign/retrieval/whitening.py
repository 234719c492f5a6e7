"""Whitened image descriptors: a distance that counts a direction by how much normal images differ along it."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from anomalign.errors import InputError

Vectors = NDArray[np.float32]
_Floats = NDArray[np.float64]

_RANK = 1e-12  # of the largest eigenvalue: smaller ones are rounding
_LEAST = 4  # images from which on the covariance is looked at
_FEW, _STABLE = 16, 1e-3  # where leave-one-out is done anew: so few images, or a divisor so near to 0
_SAME = 1e-9  # of the largest coordinate; descriptors are float32, so those of other images are farther apart
_FLOOR = 1e-12  # of the mean square of a descriptor: a variance where the images do not differ at all


@dataclass(frozen=True, eq=False)
class Whitening:
    """Mahalanobis distance under the covariance of N normal images, shrunk as Ledoit and Wolf (2004) derive.

    With the sample covariance S, its mean eigenvalue m and the shrinkage a, distances are ``d (M^-1) d`` with
    ``M = (1 - a) S + a m I``: never singular, so a few images are enough. Kept in the eigenvectors of S that have a
    part in it; all other directions share one weight, 1 / (a m), and become one coordinate.

    Attributes
    ----------
    mean : (D,) float64 array
    basis : (D, R) float64 array
        Orthonormal; R is at most D and at most N - 1.
    variance : (R,) float64 array
        Eigenvalues of S.
    shrinkage : float
        Between 0 and 1.
    coordinates : (N, R) float64 array
        The normal images in that basis, not yet divided by anything.
    """

    mean: _Floats
    basis: _Floats
    variance: _Floats
    shrinkage: float
    coordinates: _Floats

    @classmethod
    def of(cls, vectors: Vectors | _Floats) -> "Whitening":
        """Of the descriptors (N, D) of normal images. Up to three do not tell one direction from another."""
        if vectors.ndim != 2 or len(vectors) == 0:
            raise InputError(f"whitening needs descriptors (N, D) of one image or more, got {vectors.shape}")
        N, D = vectors.shape
        mean = vectors.mean(axis=0, dtype=np.float64)
        centred = vectors - mean
        if N > D:
            variance, basis = np.linalg.eigh(centred.T @ centred / N)
        else:  # the N x N products have the same eigenvalues
            variance, sides = np.linalg.eigh(centred @ centred.T / N)
            kept = variance > max(_RANK * variance[-1], 0)
            basis = centred.T @ (sides[:, kept] / np.sqrt(N * variance[kept]))
            variance = variance[kept]
        kept = variance > _RANK * variance.max(initial=0)
        basis, variance = basis[:, kept], variance[kept]
        coordinates = centred @ basis
        fourth = (np.einsum("nr,nr->n", coordinates, coordinates) ** 2).sum(keepdims=True)
        a = _shrinkage(variance.sum(keepdims=True), (variance**2).sum(keepdims=True), fourth, np.array([N]), D)
        return cls(mean, basis, variance, float(a[0]) if N >= _LEAST else 1.0, coordinates)

    @cached_property
    def _squares(self) -> _Floats:
        return np.asarray(self.coordinates**2)

    @cached_property
    def _sums(self) -> tuple[float, float, _Floats]:
        """Over the normal images: of ||x||^2, of ||x||^4, and of ||x||^2 x."""
        norms = self._squares.sum(axis=1)
        return float(norms.sum()), float((norms**2).sum()), norms @ self.coordinates

    @property
    def _floor(self) -> float:
        mean_square = float(self.mean @ self.mean) / len(self.mean) + float(np.finfo(np.float32).tiny)
        return _FLOOR * mean_square if len(self.variance) else mean_square  # images that do not differ have no scale

    @property
    def _outside(self) -> float:
        """The variance, a m, of every direction that the normals do not differ in."""
        return self.shrinkage * float(self.variance.sum()) / len(self.mean) + self._floor

    def embed(self, vectors: Vectors | _Floats) -> Vectors:
        """Descriptors (Q, D) -> (Q, R + 1) float32, in which distances to the normal images are Euclidean."""
        inside, outside = self._projected(vectors)
        return self._scaled(inside, np.sqrt(outside))

    def _projected(self, vectors: Vectors | _Floats) -> tuple[_Floats, _Floats]:
        """(Q, D) -> coordinates (Q, R), and the squared length (Q,) of what is not in the basis."""
        centred = vectors - self.mean
        inside = centred @ self.basis
        rest = np.einsum("qd,qd->q", centred, centred) - np.einsum("qr,qr->q", inside, inside)
        return inside, np.maximum(rest, 0)

    @property
    def normals(self) -> Vectors:
        """(N, R + 1) float32: the normal images, as `embed` gives them."""
        return self._scaled(self.coordinates, np.zeros(len(self.coordinates)))

    def _scaled(self, inside: _Floats, outside: _Floats) -> Vectors:
        scale = np.sqrt((1 - self.shrinkage) * self.variance + self._outside)
        full = self.basis.shape[1] == len(self.mean)  # no direction is outside; what is left of it is rounding
        rest = np.zeros(len(outside)) if full else outside / np.sqrt(self._outside)
        return np.column_stack([inside / scale, rest]).astype(np.float32)

    def leave_one_out(
        self, rows: NDArray[np.int64], copies: NDArray[np.int64], queries: Vectors | None = None
    ) -> _Floats:
        """Distances of some normal images to all, under the covariance of all but themselves.

        What `Whitening.of` of the other images gives, computed anew only where rounding asks for it: leaving out an
        image changes the
        covariance by one product v v', so its inverse by one more (Sherman and Morrison, 1950), and what Ledoit and
        Wolf's shrinkage is made of by sums that the products of the images with each other give.

        Parameters
        ----------
        rows : (Q,) int64 array
            Of the images.
        copies : (Q,) int64 array
            How many images are equal to it, itself counted: all of them are left out.
        queries : (Q, D) float32 array, optional
            What distances are taken of, in place of the images that are left out.

        Returns
        -------
        (Q, N) float64 array
            Squared. To what is left out: meaningless.
        """
        N, D = len(self.coordinates), len(self.mean)
        z, t = self.coordinates[rows], self.coordinates
        g = copies.astype(np.float64)
        left = np.maximum(N - g, 1)  # images that remain; of none, any number will do
        own = np.einsum("qr,qr->q", z, z)
        spread = np.einsum("qr,r->q", z**2, self.variance)  # z' S z
        # Without z the mean is at -m z of the old one, so each other x is at x + m z of the new one.
        m = g / left
        all_squares, all_fourth, all_thirds = self._sums
        fourth = all_fourth + 4 * m * (z @ all_thirds) + 4 * m**2 * N * spread + 2 * m**2 * own * all_squares
        fourth += N * (m**2 * own) ** 2 - g * (own * (1 + m) ** 2) ** 2
        # S of the others = (N / left) S - c z z'
        grown, c = N / left, g * N / left**2
        trace = grown * self.variance.sum() - c * own
        square = grown**2 * (self.variance**2).sum() - 2 * grown * c * spread + (c * own) ** 2
        a = _shrinkage(trace, square, fourth, left, D)
        weight = 1 / (((1 - a) * grown)[:, None] * self.variance + (a * trace / D)[:, None] + self._floor)
        weighted = weight * z
        toward = weighted @ t.T  # (Q, N): z' A^-1 t
        start = np.einsum("qr,qr->q", weighted, z)[:, None]
        plain = start - 2 * toward + weight @ self._squares.T
        along = start - toward
        if queries is not None:
            x, outside = self._projected(queries)
            squares = np.einsum("qr,qr->q", weight * x, x) + self._beyond(outside, a, trace)
            plain = squares[:, None] - 2 * (weight * x) @ t.T + weight @ self._squares.T
            along = np.einsum("qr,qr->q", weighted, x)[:, None] - toward
        b = ((1 - a) * c)[:, None]
        divisor = 1 - b * start
        unstable = (divisor[:, 0] < _STABLE) | (left < _FEW)
        divisor[unstable] = 1
        distance = np.asarray(np.maximum(plain + b * along**2 / divisor, 0))
        for row in np.flatnonzero(unstable & (copies < N)).tolist():
            distance[row] = self._anew(z[row], None if queries is None else queries[row])
        return distance

    def _beyond(self, squared: _Floats, shrinkage: _Floats, trace: _Floats) -> _Floats:
        """Squared lengths in directions in which the normals do not differ, as distances; none if there are none."""
        D = len(self.mean)
        if self.basis.shape[1] == D:  # what is left is rounding
            return np.zeros(len(squared))
        return np.asarray(squared / (shrinkage * trace / D + self._floor))

    def _anew(self, z: _Floats, query: Vectors | None) -> _Floats:
        """(N,) squared distances of a query, or the image at `z` (R,), under the covariance of all images not there."""
        apart = np.abs(self.coordinates - z).max(axis=1, initial=0)  # of copies, rounding; the products are BLAS'
        others = apart > _SAME * np.abs(self.coordinates).max(initial=0)
        vectors = self.mean + self.coordinates @ self.basis.T
        return Whitening.of(vectors[others]).distances(self.mean + self.basis @ z if query is None else query, vectors)

    def distances(self, query: Vectors | _Floats, vectors: Vectors | _Floats) -> _Floats:
        """(N,) squared distances of a descriptor (D,) to normal images (N, D)."""
        difference = self.embed(vectors) - self.embed(query[None])
        return np.asarray(np.einsum("nr,nr->n", difference, difference), np.float64)


def _shrinkage(trace: _Floats, square: _Floats, fourth: _Floats, N: NDArray[Any], D: int) -> _Floats:
    """Ledoit and Wolf's a, from tr S, ||S||^2 and the sum of ||x||^4 over N centred vectors of D dimensions."""
    delta = square - trace**2 / D
    beta = np.minimum((fourth / N - square) / N, delta)
    return np.asarray(np.where(delta > 0, np.maximum(beta, 0) / np.where(delta > 0, delta, 1), 0.0))
