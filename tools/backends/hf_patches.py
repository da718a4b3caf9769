"""Patches embedded by a matrix product.

Qwen2-VL and its relatives embed each patch by a convolution in 3D that it fills. On a CPU the equal product takes a
quarter of the time. On a GPU, some versions of torch and cuDNN take such patches one by one in half precision.
"""

import torch.nn.functional as F
from torch import Tensor, nn


class PatchProduct(nn.Conv3d):
    """A convolution in 3D that is a product where the input has the kernel's size."""

    def forward(self, input: Tensor) -> Tensor:
        """[N, C, *kernel_size] -> [N, D, 1, 1, 1]; of a larger input, the convolution."""
        if tuple(input.shape[2:]) != self.kernel_size:
            return super().forward(input)
        embedded = F.linear(input.flatten(1), self.weight.flatten(1), self.bias)
        return embedded[:, :, None, None, None]


def with_patch_products(network: nn.Module) -> nn.Module:
    """The network, whose convolutions over whole patches are products now; weights and their names stay."""
    for module in network.modules():
        if type(module) is nn.Conv3d and _is_plain(module):
            module.__class__ = PatchProduct
    return network


def _is_plain(conv: nn.Conv3d) -> bool:
    return (
        conv.stride == conv.kernel_size
        and conv.groups == 1
        and conv.padding == (0, 0, 0)
        and conv.dilation == (1, 1, 1)
    )
