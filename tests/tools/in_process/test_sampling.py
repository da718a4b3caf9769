"""The random numbers that draw a reply: each prompt's own, wherever and beside whatever it is answered."""

import torch

from ctgi.tools.backends.hf_sampling import _uniform


def test_the_draws_of_a_prompt_are_its_own_and_spread_evenly() -> None:
    keys = torch.tensor([1, 2, 2**55 + 3])
    drawn = torch.stack([_uniform(keys, step, 1000) for step in range(30)])
    assert drawn.min() >= 0
    assert drawn.max() < 1
    alone = torch.stack([_uniform(keys[1:2], step, 1000) for step in range(30)])
    assert torch.equal(alone[:, 0], drawn[:, 1])
    of_each = drawn.transpose(0, 1).flatten(1)  # 30,000 of each prompt
    for row in of_each:
        shares = torch.histc(row, bins=10, min=0, max=1) / len(row)
        assert (shares - 0.1).abs().max() < 0.01  # more than five standard deviations
    assert (torch.corrcoef(of_each) - torch.eye(3)).abs().max() < 0.03
    neighbors = torch.stack([torch.corrcoef(torch.stack([row[:-1], row[1:]]))[0, 1] for row in of_each])
    steps = torch.stack([torch.corrcoef(torch.stack([row[:-1000], row[1000:]]))[0, 1] for row in of_each])
    assert neighbors.abs().max() < 0.03
    assert steps.abs().max() < 0.03
