"""Lets a CUDA build of torchvision import beside a CPU build of torch; copied into the test environment's packages.

The registry's torchvision is linked against CUDA, so beside torch+cpu its compiled operators do not load. Its Python
part then registers shape functions for `nms` and `qnms` and fails because nobody declared them. transformers needs only
the Python part (resizing, normalising) for Qwen2-VL images, so declaring the two is enough; calling them still fails.
"""

import sys
from importlib.abc import MetaPathFinder

_OPERATORS = ("nms", "qnms")


class _DeclareBeforeImport(MetaPathFinder):
    """Waits for the first look at torchvision, so that interpreters that never use it do not pay for torch."""

    def find_spec(self, name, path, target=None):
        if name == "torchvision":
            sys.meta_path.remove(self)
            self._declare()
        return None  # the ordinary finders go on

    def _declare(self):
        import torch

        # Kept on the class: a Library that is collected takes its declarations with it.
        _DeclareBeforeImport.library = torch.library.Library("torchvision", "DEF")
        for operator in _OPERATORS:
            self.library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")


sys.meta_path.insert(0, _DeclareBeforeImport())
