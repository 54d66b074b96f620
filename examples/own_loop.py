"""Networks are plain nn.Modules: build one of your own parts, train it in a loop of your own."""

import torch
import torch.nn.functional as F

from residuum.anatomy import Examples, count_paths, delete_each
from residuum.data import load
from residuum.data.augment import Pixels
from residuum.data.normalise import fit
from residuum.networks.stages import Stage, residual, row
from residuum.parts.arrangements import PREACT
from residuum.parts.branches import basic
from residuum.parts.heads import linear_head
from residuum.parts.init import HE_FAN_OUT
from residuum.parts.shortcuts import option_a
from residuum.parts.stems import cifar_stem
from residuum.units import ResidualNetwork

torch.set_num_threads(1)
stages = [Stage(units=3, width=16, stride=1), Stage(units=3, width=32, stride=2)]
units = row(16, stages, residual(basic, option_a, PREACT))
network = ResidualNetwork(cifar_stem(16, PREACT), units, linear_head(32, 10, PREACT))
HE_FAN_OUT(network, seed=0)

data = load("digits")
normaliser = fit(data.train, "channel")
train, test = (Pixels(part, normaliser, "cpu") for part in (data.train, data.test))
optimiser = torch.optim.AdamW(network.parameters(), 3e-3)
for epoch in range(4):
    for indices in torch.randperm(len(train), generator=torch.Generator().manual_seed(epoch)).split(
        64
    ):
        images, labels = train.batch(indices)
        optimiser.zero_grad()
        F.cross_entropy(network(images), labels).backward()
        optimiser.step()

intact, lesions = delete_each(network, Examples(*test.batch(torch.arange(len(test)))))
print(
    f"{count_paths(network).total} paths; intact error {100 * intact.value:.1f} % (n = {intact.n})"
)
for lesion in lesions:
    low, high = lesion.error.interval
    print(
        f"without unit {lesion.deleted[0]}: {100 * lesion.error.value:.1f} % "
        f"[{100 * low:.1f}, {100 * high:.1f}]"
    )
