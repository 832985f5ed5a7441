"""Build hook: a wheel takes the compiled kernels along where g++, and nvcc, are at hand.

It tries and never fails an install: without a compiler the package builds its kernels at first use
of a machine that has one, or computes in torch.
"""

import importlib.util
import sys
import sysconfig
from pathlib import Path
from types import ModuleType
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


def kernel_builder(root: str) -> ModuleType:
    """manifolds/kernels/build.py by its path: the package itself needs torch."""
    path = Path(root) / "manifolds" / "kernels" / "build.py"
    spec = importlib.util.spec_from_file_location("manifolds_kernels_build", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


class KernelHook(BuildHookInterface):
    """Compiles (or finds in the cache) the C++ library and puts it into the wheel."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        try:
            builder = kernel_builder(self.root)
            built = builder.build_cpp()
        except Exception as reason:
            self.app.display_warning(f"no compiled kernels in this build: {reason}")
            return
        if version == "editable":
            return  # the cache is filled, and that is all a working tree needs
        inside = builder.bundled("cpp", builder.cpp_sources()).relative_to(self.root)
        build_data["force_include"][str(built.path)] = str(inside)
        try:
            device = builder.build_cuda()
            inside = builder.bundled("cuda", builder.cuda_sources()).relative_to(self.root)
            build_data["force_include"][str(device.path)] = str(inside)
        except Exception as reason:
            self.app.display_info(f"no CUDA kernels in this build: {reason}")
        build_data["pure_python"] = False
        platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
        build_data["tag"] = f"py3-none-{platform}"
