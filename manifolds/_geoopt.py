"""Imports geoopt without its deprecation warnings; the package does this before all else."""

import warnings

with warnings.catch_warnings():
    # geoopt 0.5.1 decorates 73 functions with torch.jit.script, deprecated since torch 2.13; under
    # `-W error` it could not be imported. Nothing else is silenced, here or later.
    warnings.filterwarnings("ignore", "`torch.jit.script` is deprecated", DeprecationWarning)
    import geoopt  # noqa: F401
