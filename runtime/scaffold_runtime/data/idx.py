"""The IDX files of MNIST and of the data sets that follow its form."""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from pathlib import Path

import torch
from torch import Tensor

from scaffold_runtime.errors import UserError

UNSIGNED_BYTES = 8  # The code of the only type of values that is read here.


def read_idx(path: Path, dimensions: int) -> Tensor:
    """
    Return the bytes of a compressed IDX file as a tensor of its shape.

    The form is that of Y. LeCun, C. Cortes and C. Burges, "The MNIST database of
    handwritten digits": two zeros, the type and the number of dimensions, a byte
    each; the sizes, 32 bits each with the highest first; the values.

    Args:
        path: The file, compressed by gzip.
        dimensions: How many it must have.

    Raises:
        UserError: It is not such a file, or its length is not what its header says.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp(), "labels.gz")
    >>> path.write_bytes(gzip.compress(bytes([0, 0, 8, 1, 0, 0, 0, 3, 7, 2, 1]))) > 0
    True
    >>> read_idx(path, dimensions=1)
    tensor([7, 2, 1], dtype=torch.uint8)
    """
    try:
        content = gzip.decompress(path.read_bytes())
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise UserError(f"{path} cannot be unpacked: {error}") from None
    header = 4 + 4 * dimensions
    if len(content) < header or content[:4] != bytes([0, 0, UNSIGNED_BYTES, dimensions]):
        raise UserError(f"{path} is not an IDX file of bytes in {dimensions} dimensions")
    shape = struct.unpack_from(f">{dimensions}I", content, offset=4)
    if len(content) != header + math.prod(shape):
        raise UserError(
            f"{path} holds {len(content) - header} values, but its header says {math.prod(shape)}"
        )
    values = torch.frombuffer(bytearray(content), dtype=torch.uint8, offset=header)
    return values.reshape(shape)
