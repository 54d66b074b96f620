"""Telescoping sum boosting (Huang et al. 2018): votes of a network's blocks, costs, edges."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

CERTAIN = 1 - 1e-9  # an edge of 1 would have an infinite weight


@dataclass(frozen=True)
class Votes:
    """What the blocks so far say of m training examples in K classes.

    h_t = a_{t+1} o_{t+1} - a_t o_t with o the answers, (m, K) probabilities, so the sum of votes
    telescopes to a_{T+1} o_{T+1}. Two classes are the paper's binary case, with o_1 - o_0 in
    [-1, 1] for its o: costs are then its weights D, m times as large together.

    `total`: the sum of h, float64. `answers`: o of the last block. `alpha`: its a. `edge`: its
    edge. Before the first block all are 0.
    """

    total: Tensor
    answers: Tensor
    alpha: float = 0.0
    edge: float = 0.0

    @staticmethod
    def none(examples: int, classes: int) -> "Votes":
        """Before the first block."""
        nothing = torch.zeros(examples, classes, dtype=torch.float64)
        return Votes(nothing, nothing)

    def cost(self, labels: Tensor) -> Tensor:
        """C(i, l) = exp(s(i, l) - s(i, y_i)) for l other than y_i; rows add up to 0."""
        right = labels[:, None]
        cost = (self.total - self.total.gather(1, right)).exp()
        cost.scatter_(1, right, 0)
        return cost.scatter_(1, right, -cost.sum(1, keepdim=True))

    def joined(self, answers: Tensor, labels: Tensor) -> "Votes":
        """With the next block's answers: its edge under the costs of now, and its weight
        a = 1/2 ln((1 + edge) / (1 - edge)), which minimises the bound on the next costs."""
        cost = self.cost(labels)
        edge = -((answers * cost).sum() / cost.clamp_min(0).sum()).item()
        alpha = math.atanh(max(-CERTAIN, min(CERTAIN, edge)))
        vote = alpha * answers - self.alpha * self.answers
        return Votes(self.total + vote, answers, alpha, edge)

    def gain(self, before: "Votes") -> float:
        """gamma^2 = (edge^2 - e^2) / (1 - e^2), e the edge before: what the block has added.

        While the edge under equal costs is at least this one, the training error is at most (K - 1)
        exp(-sum of gains / 2); with two classes that is the paper's exp(-T gamma^2 / 2). Negative
        where the edge fell.
        """
        known = min(CERTAIN, abs(before.edge)) ** 2
        return (self.edge**2 - known) / (1 - known)
