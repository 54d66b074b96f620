"""How alike two sets of features of the same examples are: CKA, unbiased, over minibatches.

Needs no torch.
"""

from collections.abc import Iterable

import numpy as np

LEAST = 4  # examples in a minibatch that the unbiased estimate needs


def hsic(first: np.ndarray, second: np.ndarray) -> float:
    """The unbiased estimate of the Hilbert-Schmidt independence criterion of two kernel matrices
    (n, n), n >= 4 (Song et al. 2012, eq. 5; Nguyen et al. 2021, eq. 3):

    (tr K L + 1'K1 1'L1 / ((n-1)(n-2)) - 2/(n-2) 1'K L1) / (n (n-3)), diagonals set to zero.

    ValueError: fewer examples.
    """
    n = len(first)
    if n < LEAST:
        raise ValueError(f"the unbiased estimate needs {LEAST} examples, and there are {n}")
    k, l = first.astype(float), second.astype(float)  # noqa: E741 - the paper's letters
    np.fill_diagonal(k, 0.0)
    np.fill_diagonal(l, 0.0)
    rows_k, rows_l = k.sum(0), l.sum(0)
    alike = (k * l.T).sum() + rows_k.sum() * rows_l.sum() / ((n - 1) * (n - 2))
    return float((alike - 2 / (n - 2) * rows_k @ rows_l) / (n * (n - 3)))


class MinibatchCKA:
    """Centred kernel alignment of several sets of features, batch by batch (Kornblith et al. 2019;
    Nguyen et al. 2021, eq. 2): means over batches of HSIC(K, L), each pair's divided by the root of
    HSIC(K, K) HSIC(L, L).

    Every batch gives one kernel matrix (n, n) a set. Its expectation does not depend on the size of
    a batch; values may lie a little outside [0, 1]. Compare (1 - CKA): alike sets are near 0.
    """

    def __init__(self, sets: int, pairs: Iterable[tuple[int, int]] | None = None):
        """`pairs`: those that are asked for (all)."""
        self.pairs = list(np.ndindex(sets, sets) if pairs is None else pairs)
        self.sums = np.zeros((sets, sets))
        self.wanted = {(min(p), max(p)) for p in self.pairs} | {(i, i) for i in range(sets)}

    def add(self, kernels: list[np.ndarray]) -> None:
        for i, j in self.wanted:
            self.sums[i, j] += hsic(kernels[i], kernels[j])

    @property
    def values(self) -> np.ndarray:
        """(sets, sets); not a number where it was not asked for, or features do not vary."""
        found = np.full(self.sums.shape, np.nan)
        for i, j in self.pairs:
            scale = self.sums[i, i] * self.sums[j, j]
            if self.sums[i, i] > 0 and self.sums[j, j] > 0:
                found[i, j] = self.sums[min(i, j), max(i, j)] / scale**0.5
        return found
