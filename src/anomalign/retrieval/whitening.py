"""Whitened image descriptors: a distance that weights each direction by how much normal images differ along it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from anomalign.errors import InputError

Vectors = NDArray[np.float32]
_Floats = NDArray[np.float64]

_RANK = 1e-12  # of the largest eigenvalue: smaller ones are rounding
_LEAST = 4  # images; with fewer the covariance is not used
_FEW, _STABLE = 16, 1e-3  # with fewer images, or a divisor nearer to 0, leave-one-out is computed directly
_SAME = 1e-9  # of the largest coordinate; descriptors are float32, so those of other images are farther apart
_BLOCK_BYTES = 64_000_000
_FLOOR = 1e-12  # of the mean square of a descriptor: a variance where the images do not differ at all


@dataclass(frozen=True, eq=False)
class Whitening:
    """Mahalanobis distance under the covariance of N normal images, shrunk as Ledoit and Wolf (2004) derive.

    With the sample covariance S, its mean eigenvalue m and the shrinkage a, distances are ``d (M^-1) d`` with
    ``M = (1 - a) S + a m I``: never singular, so a few images are enough. Stored as the eigenvectors of S with
    eigenvalues above 0; all other directions share one weight, 1 / (a m), and become one coordinate.

    Attributes
    ----------
    mean : (D,) float64 array
        Mean descriptor.
    basis : (D, R) float64 array
        Orthonormal eigenvectors of S; R is at most D and at most N - 1.
    variance : (R,) float64 array
        Eigenvalues of S.
    shrinkage : float
        The shrinkage a, between 0 and 1.
    coordinates : (N, R) float64 array
        Coordinates of the centred normal images in that basis, not scaled.
    """

    mean: _Floats
    basis: _Floats
    variance: _Floats
    shrinkage: float
    coordinates: _Floats

    @classmethod
    def of(cls, vectors: Vectors | _Floats) -> "Whitening":
        """Whitening of the descriptors (N, D) of normal images. With up to three, all directions have one weight."""
        if vectors.ndim != 2 or len(vectors) == 0:
            raise InputError(f"whitening needs descriptors (N, D) of one image or more, got {vectors.shape}")
        N, D = vectors.shape
        mean = vectors.mean(axis=0, dtype=np.float64)
        centred = vectors - mean
        if N > D:
            variance, basis = np.linalg.eigh(centred.T @ centred / N)
        else:  # the N x N products have the same eigenvalues
            variance, sides = np.linalg.eigh(centred @ centred.T / N)
            positive = variance > max(_RANK * variance[-1], 0)
            basis = centred.T @ (sides[:, positive] / np.sqrt(N * variance[positive]))
            variance = variance[positive]
        positive = variance > _RANK * variance.max(initial=0)
        basis, variance = basis[:, positive], variance[positive]
        coordinates = centred @ basis
        fourth = (np.einsum("nr,nr->n", coordinates, coordinates) ** 2).sum(keepdims=True)
        a = _shrinkage(variance.sum(keepdims=True), (variance**2).sum(keepdims=True), fourth, np.array([N]), D)
        return cls(mean, basis, variance, float(a[0]) if N >= _LEAST else 1.0, coordinates)

    @cached_property
    def _squares(self) -> _Floats:
        return np.asarray(self.coordinates**2)

    @cached_property
    def _sums(self) -> tuple[float, float, _Floats]:
        """Sums over the normal images x of ||x||^2, of ||x||^4, and of ||x||^2 x."""
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
        """(Q, D) -> coordinates (Q, R), and squared length (Q,) of the part outside the basis."""
        centred = vectors - self.mean
        inside = centred @ self.basis
        rest = np.einsum("qd,qd->q", centred, centred) - np.einsum("qr,qr->q", inside, inside)
        return inside, np.maximum(rest, 0)

    @property
    def normals(self) -> Vectors:
        """(N, R + 1) float32 array of the normal images, as `embed` gives them."""
        return self._scaled(self.coordinates, np.zeros(len(self.coordinates)))

    def _scaled(self, inside: _Floats, outside: _Floats) -> Vectors:
        scale = np.sqrt((1 - self.shrinkage) * self.variance + self._outside)
        full = self.basis.shape[1] == len(self.mean)  # no direction is outside; a length outside is rounding
        rest = np.zeros(len(outside)) if full else outside / np.sqrt(self._outside)
        return np.column_stack([inside / scale, rest]).astype(np.float32)

    def leave_one_out(
        self, rows: NDArray[np.int64], copies: NDArray[np.int64], queries: Vectors | None = None
    ) -> _Floats:
        """Distances of some normal images to all, under the covariance of all images but themselves.

        The result is that of `Whitening.of` of the other images, which is computed only where rounding would be too
        large otherwise. Leaving out an image changes the covariance by one product v v', so its inverse by one more
        (Sherman and Morrison, 1950); the terms of Ledoit and Wolf's shrinkage change by sums of products of the images.

        Parameters
        ----------
        rows : (Q,) int64 array
            Rows of the images.
        copies : (Q,) int64 array
            Number of images that are equal to each, itself included: all of them are left out.
        queries : (Q, D) float32 array, optional
            Descriptors to measure distances from, in place of those of the images that are left out.

        Returns
        -------
        (Q, N) float64 array
            Squared distances. Those to an image that is left out have no meaning.
        """
        N, D = len(self.coordinates), len(self.mean)
        z, t = self.coordinates[rows], self.coordinates
        g = copies.astype(np.float64)
        n = np.maximum(N - g, 1)  # remaining images; 1 where none remain, as the result is not used then
        own = np.einsum("qr,qr->q", z, z)
        spread = np.einsum("qr,r->q", z**2, self.variance)  # z' S z
        # Without z the mean is at -m z of the old one, so each other x is at x + m z of the new one.
        m = g / n
        all_squares, all_fourth, all_thirds = self._sums
        fourth = all_fourth + 4 * m * (z @ all_thirds) + 4 * m**2 * N * spread + 2 * m**2 * own * all_squares
        fourth += N * (m**2 * own) ** 2 - g * (own * (1 + m) ** 2) ** 2
        # S of the others = (N / n) S - c z z'
        growth, c = N / n, g * N / n**2
        trace = growth * self.variance.sum() - c * own
        square = growth**2 * (self.variance**2).sum() - 2 * growth * c * spread + (c * own) ** 2
        a = _shrinkage(trace, square, fourth, n, D)
        weight = 1 / (((1 - a) * growth)[:, None] * self.variance + (a * trace / D)[:, None] + self._floor)
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
        unstable = (divisor[:, 0] < _STABLE) | (n < _FEW)
        divisor[unstable] = 1
        distance = np.asarray(np.maximum(plain + b * along**2 / divisor, 0))
        for row in np.flatnonzero(unstable & (copies < N)).tolist():
            distance[row] = self._direct(z[row], None if queries is None else queries[row])
        return distance

    def leave_out(
        self,
        left_out: Sequence[NDArray[np.int64]],
        rows: Sequence[NDArray[np.int64]],
        queries: Sequence[Vectors] | None = None,
    ) -> Iterator[_Floats]:
        """Distances of normal images to all, under the covariance of all images but a set; for one set after another.

        The result is that of `Whitening.of` of the other images, which is computed only where rounding would be too
        large otherwise, or where that is cheaper. Leaving out g images changes the covariance by g + 1 products, so its
        inverse by as many (Woodbury, 1950).

        Parameters
        ----------
        left_out : sequence of (g,) int64 arrays
            For each set the rows of its images, each once; at least one image must remain.
        rows : sequence of (Q,) int64 arrays
            For each set the rows of the images to measure distances from.
        queries : sequence of (Q, D) float32 arrays, optional
            Descriptors to measure distances from, in place of those of `rows`.

        Yields
        ------
        (Q, N) float64 array
            Squared distances. Those to an image that is left out have no meaning.
        """
        N, R = self.coordinates.shape
        width = max((len(one) for one in left_out), default=0) + 1
        together = max(1, _BLOCK_BYTES // (8 * N * width))
        for start in range(0, len(left_out), together):
            part = slice(start, start + together)
            if 2 * width > R or N - width < _FEW:  # then computing directly is cheaper, too
                updates: list[_Update | None] = [None] * len(left_out[part])
            else:
                updates = self._updates(left_out[part])
            for place, update in enumerate(updates, start):
                own = rows[place], None if queries is None else queries[place]
                yield self._without(left_out[place], *own) if update is None else self._updated(update, *own)

    def _updates(self, left_out: Sequence[NDArray[np.int64]]) -> "list[_Update | None]":
        """What changes when each of these sets is left out; None where rounding would be too large."""
        (N, D), t = (len(self.coordinates), len(self.mean)), self.coordinates
        n = np.array([N - len(rows) for rows in left_out])
        growth = N / n
        shifts = np.stack([-t[rows].sum(axis=0) for rows in left_out]) / n[:, None]  # the means of the others
        # S of the others = (N / n) S - F' F
        factors = [
            np.concatenate([t[rows] / np.sqrt(rest), shift[None]])
            for rows, rest, shift in zip(left_out, n, shifts, strict=True)
        ]
        trace = growth * self.variance.sum() - np.array([(F**2).sum() for F in factors])
        square = growth**2 * (self.variance**2).sum() + np.array([((F @ F.T) ** 2).sum() for F in factors])
        square -= 2 * growth * np.array([((F**2) @ self.variance).sum() for F in factors])
        norms = self._squares.sum(axis=1)[:, None] - 2 * t @ shifts.T + (shifts**2).sum(axis=1)  # (N, B)
        for place, rows in enumerate(left_out):
            norms[rows, place] = 0
        a = _shrinkage(trace, square, (norms**2).sum(axis=0), n, D)
        weights = 1 / (((1 - a) * growth)[:, None] * self.variance + (a * trace / D)[:, None] + self._floor)
        weighted = [F * weight for F, weight in zip(factors, weights, strict=True)]
        lengths = weights @ self._squares.T  # (B, N)
        products = np.concatenate(weighted) @ t.T  # (sum of g + 1, N)
        ends = np.cumsum([len(F) for F in factors])
        updates: list[_Update | None] = []
        for place, F in enumerate(factors):
            inner = np.eye(len(F)) - (1 - a[place]) * weighted[place] @ F.T
            if np.linalg.eigvalsh(inner)[0] < _STABLE:
                updates.append(None)
                continue
            root = np.sqrt(1 - a[place]) * np.linalg.cholesky(np.linalg.inv(inner))  # y' inner^-1 y = |root' y|^2
            along = root.T @ products[ends[place] - len(F) : ends[place]]
            outside = float(a[place] * trace[place] / D)
            updates.append(_Update(weights[place], outside, root.T @ weighted[place], along, lengths[place]))
        return updates

    def _updated(self, update: "_Update", rows: NDArray[np.int64], queries: Vectors | None) -> _Floats:
        """(Q, N) squared distances by an update of the whitening."""
        t = self.coordinates
        x, outside = (t[rows], np.zeros(len(rows))) if queries is None else self._projected(queries)
        weighted = update.weight * x
        distance = (weighted * x).sum(axis=1)[:, None] - 2 * weighted @ t.T + update.lengths
        if queries is not None:
            distance += self._beyond(outside, np.array([1.0]), np.array([update.outside * len(self.mean)]))[:, None]
        along = update.toward @ x.T  # (g + 1, Q)
        distance += (along**2).sum(axis=0)[:, None] - 2 * along.T @ update.along + (update.along**2).sum(axis=0)
        return np.asarray(np.maximum(distance, 0))

    def _beyond(self, squared: _Floats, shrinkage: _Floats, trace: _Floats) -> _Floats:
        """Distances for squared lengths in directions in which the normals do not differ; 0 if there are none."""
        D = len(self.mean)
        if self.basis.shape[1] == D:  # a length outside the basis is rounding
            return np.zeros(len(squared))
        return np.asarray(squared / (shrinkage * trace / D + self._floor))

    def _direct(self, z: _Floats, query: Vectors | None) -> _Floats:
        """(N,) squared distances of a query, or of the image at `z` (R,), under the covariance of the other images."""
        apart = np.abs(self.coordinates - z).max(axis=1, initial=0)  # for copies this is rounding of BLAS products
        copies = np.flatnonzero(apart <= _SAME * np.abs(self.coordinates).max(initial=0))
        return np.asarray(self._without(copies, copies[:1], None if query is None else query[None])[0])

    def _without(self, left_out: NDArray[np.int64], rows: NDArray[np.int64], queries: Vectors | None) -> _Floats:
        """(Q, N) squared distances by a whitening of the others."""
        vectors = self.mean + self.coordinates @ self.basis.T
        others = Whitening.of(np.delete(vectors, left_out, axis=0))
        embedded, points = others.embed(vectors), others.embed(vectors[rows] if queries is None else queries)
        differences = (embedded - point for point in points)
        return np.stack([np.einsum("nr,nr->n", one, one) for one in differences]).astype(np.float64)

    def distances(self, query: Vectors | _Floats, vectors: Vectors | _Floats) -> _Floats:
        """(N,) squared distances of a descriptor (D,) to normal images (N, D)."""
        difference = self.embed(vectors) - self.embed(query[None])
        return np.asarray(np.einsum("nr,nr->n", difference, difference), np.float64)


@dataclass(frozen=True, eq=False)
class _Update:
    """How distances change when a set of g images is left out.

    Attributes
    ----------
    weight : (R,) float64 array
        Weight of each direction, before the change of the covariance.
    outside : float
        Variance of the directions in which the normals do not differ.
    toward : (g + 1, R) float64 array
        Maps coordinates to the directions that change.
    along : (g + 1, N) float64 array
        The normal images there.
    lengths : (N,) float64 array
        Their squared lengths by `weight`.
    """

    weight: _Floats
    outside: float
    toward: _Floats
    along: _Floats
    lengths: _Floats


def standardised(vectors: Vectors) -> Vectors:
    """(N, D) descriptors with mean 0 and, where they differ at all, standard deviation 1 in each dimension."""
    spread = vectors.std(axis=0)
    return np.asarray((vectors - vectors.mean(axis=0)) / np.where(spread > 0, spread, 1))


def _shrinkage(trace: _Floats, square: _Floats, fourth: _Floats, N: NDArray[Any], D: int) -> _Floats:
    """Ledoit and Wolf's a, from tr S, ||S||^2 and the sum of ||x||^4 over N centred vectors of D dimensions."""
    delta = square - trace**2 / D
    beta = np.minimum((fourth / N - square) / N, delta)
    return np.asarray(np.where(delta > 0, np.maximum(beta, 0) / np.where(delta > 0, delta, 1), 0.0))
