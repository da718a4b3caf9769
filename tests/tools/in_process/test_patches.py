"""A convolution over whole patches becomes a product that gives the same."""

from pathlib import Path

import pytest
import torch
from torch import nn

from ctgi.tools.backends.hf_checkpoint import load_checkpoint
from ctgi.tools.backends.hf_patches import PatchProduct, with_patch_products


@pytest.mark.parametrize("bias", [True, False])
def test_a_product_gives_what_the_convolution_gave(bias: bool) -> None:
    conv = nn.Conv3d(3, 8, kernel_size=(2, 14, 14), stride=(2, 14, 14), bias=bias)
    patches, clip = torch.randn(5, 3, 2, 14, 14), torch.randn(1, 3, 4, 28, 28)
    expected, of_clip = conv(patches), conv(clip)
    with_patch_products(nn.Sequential(conv))
    assert type(conv) is PatchProduct
    torch.testing.assert_close(conv(patches), expected)
    torch.testing.assert_close(conv(clip), of_clip)


@pytest.mark.parametrize("other", [{"stride": (1, 14, 14)}, {"padding": 1}, {"groups": 2}, {"dilation": 2}])
def test_other_convolutions_stay(other: dict[str, int]) -> None:
    conv = nn.Conv3d(**{"in_channels": 2, "out_channels": 8, "kernel_size": (2, 14, 14), "stride": (2, 14, 14)} | other)
    with_patch_products(nn.Sequential(conv))
    assert type(conv) is nn.Conv3d


def test_a_loaded_model_embeds_its_patches_by_a_product(model: Path) -> None:
    network = load_checkpoint(str(model), "cpu", "auto").network
    assert [type(one) for one in network.modules() if isinstance(one, nn.Conv3d)] == [PatchProduct]
