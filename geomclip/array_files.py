"""Arrays in .npy, .npz and .safetensors files, as tensors. Pickled arrays are refused, they could
run code.

Half precision is widened block by block, so that no second copy of a large array is ever held.
"""

import contextlib
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from geomclip.errors import RequestError

# Rows that are read or looked at together.
BLOCK = 8192

_HALF = {"F16": torch.float16, "BF16": torch.bfloat16}


def read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The arrays by name, and the metadata. Raises RequestError for another kind of file."""
    from safetensors import SafetensorError, safe_open

    arrays = {}
    try:
        with safe_open(path, "pt") as file:
            for name in file.keys():
                part = file.get_slice(name)
                if part.get_dtype() in _HALF and len(part.get_shape()) == 2:
                    arrays[name] = whole = torch.empty(part.get_shape())
                    for start in range(0, len(whole), BLOCK):
                        whole[start : start + BLOCK] = part[start : start + BLOCK]
                else:
                    arrays[name] = file.get_tensor(name)
            return arrays, file.metadata() or {}
    except SafetensorError as error:
        raise RequestError(f"{path}: no safetensors file ({error})", "Check the file.") from error


def read_npz(path: Path) -> dict[str, Any]:
    """The arrays by name: tensors of numbers; arrays of strings as they are. Raises RequestError
    for another kind of file, or pickled objects."""
    # Opened here: numpy leaves a broken archive open.
    with _refusing_pickles(path), open(path, "rb") as opened:
        file = np.load(opened, allow_pickle=False)
        if not hasattr(file, "files"):
            raise RequestError(f"{path}: no npz archive", "Name a single array .npy.")
        return {name: _tensor(file[name]) for name in file.files}


def read_npy(path: Path) -> Any:
    """The array. Raises as `read_npz`."""
    with _refusing_pickles(path):
        try:
            mapped = np.load(path, mmap_mode="r", allow_pickle=False)
        except ValueError:
            # Neither objects nor nothing can be mapped; the plain way says what is wrong.
            return _tensor(np.load(path, allow_pickle=False))
        if not isinstance(mapped, np.memmap):
            mapped.close()
            raise RequestError(f"{path}: no npy file", "Name an archive of arrays .npz.")
        if mapped.dtype != np.float16 or mapped.ndim != 2 or not mapped.flags.c_contiguous:
            return _tensor(np.load(path, allow_pickle=False))
        whole = torch.empty(mapped.shape)
        for start in range(0, len(whole), BLOCK):
            rows = whole[start : start + BLOCK].numpy()
            # Mapped anew: pages that were read count as memory until their map is gone.
            offset = mapped.offset + start * mapped.strides[0]
            rows[:] = np.memmap(path, mapped.dtype, "r", offset, rows.shape)
        return whole


@contextlib.contextmanager
def _refusing_pickles(path: Path) -> Iterator[None]:
    """Turns numpy's errors about contents into one line."""
    try:
        yield
    except RequestError:
        raise
    except (ValueError, EOFError, zipfile.BadZipFile, zlib.error, KeyError) as error:
        text = str(error).splitlines()[0] if str(error) else type(error).__name__
        if "pickle" in text.lower():
            # numpy takes for a pickle whatever it does not know.
            with open(path, "rb") as file:
                if not file.read(6).startswith((b"\x80", b"PK", b"\x93NUMPY")):
                    raise RequestError(f"{path}: no {path.suffix} file", "Check it.") from error
            raise RequestError(
                f"{path}: holds pickled objects, which could run code, and is not read",
                "Save plain arrays: of numbers, or of strings with dtype str and not object.",
            ) from error
        raise RequestError(f"{path}: can't be read ({text})", "Check the file.") from error


def _tensor(array: Any) -> Any:
    """A tensor of numbers; arrays of strings stay as they are."""
    if array.dtype.kind not in "fiub":
        return array
    if array.dtype.kind == "u" and array.dtype.itemsize > 1:
        array = array.astype(np.int64)
    if not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    if array.dtype == np.longdouble and array.dtype.itemsize > 8:
        array = array.astype(np.float64)
    # In C's order and writable, as torch wants it; a mapped or reversed array is neither.
    return torch.from_numpy(np.require(array, requirements=["C", "W"]).reshape(array.shape))
