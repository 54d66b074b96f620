"""A network trained, a third of its units removed by what their deletion costs, the rest healed,
measured and written for other runtimes."""

from pathlib import Path

import torch
import torch.nn.functional as F

from residuum import progress, surgery
from residuum.anatomy import Examples
from residuum.data import load
from residuum.data.augment import Pixels
from residuum.data.normalise import fit
from residuum.networks.resnet import cifar_network, three_stages
from residuum.networks.stages import residual
from residuum.parts.arrangements import PREACT
from residuum.parts.init import HE_FAN_OUT

torch.set_num_threads(1)
progress.quiet = True
network = cifar_network(16, three_stages(3, 16), 10, residual(arrangement=PREACT))
HE_FAN_OUT(network, seed=0)

data = load("digits")
normaliser = fit(data.train, "channel")
train, test = (
    Examples(*Pixels(part, normaliser, "cpu").batch(torch.arange(len(part))))
    for part in (data.train, data.test)
)
optimiser = torch.optim.AdamW(network.parameters(), 3e-3)
for epoch in range(4):
    for at in torch.randperm(len(train), generator=torch.Generator().manual_seed(epoch)).split(64):
        batch = train.some(at)
        optimiser.zero_grad()
        F.cross_entropy(network(batch.inputs), batch.targets).backward()
        optimiser.step()
network.eval()

steps = surgery.greedy(network, train.spread(300), surgery.Target(units=3))
small = surgery.removed(network, steps[-1].removed)
unhealed = surgery.lost(network, test, [steps[-1].removed])[0]
surgery.heal(small, network, train, surgery.Healing(epochs=2, learning_rate=1e-3))

counts = len(network.units), len(small.units)
found = surgery.compare_sizes(network, small, counts, test, test.inputs[:64], rounds=10)
print(f"removed, in this order: {steps[-1].removed}; error ahead of healing {unhealed.error}")
for name, before, after in found.table.rows:
    print(f"{name:>27}  {before:>28}  {after:>28}")
speed, change = found.speedup, found.loss_change
print(f"{speed.value:.2f} times as fast [{speed.low:.2f}, {speed.high:.2f}]")
print(f"the loss changes by {change.value:+.4f} [{change.low:+.4f}, {change.high:+.4f}]")
Path("small.onnx").unlink(missing_ok=True)
written = surgery.write_onnx(small, "small.onnx", test.inputs[:2])
print(f"{written.file}: within {written.difference:.1e} of the network's outputs")
