"""The identity of a scan: one hash of its voxels and its grid, whatever file or name they came from."""

from __future__ import annotations

import hashlib

import numpy as np

from maskwright.core.volume import Volume

_AFFINE_DECIMALS = 6  # a millionth of a millimetre: far below any meaning, far above rounding noise of a reader


def fingerprint(volume: Volume) -> str:
    """Return 64 hexadecimal digits that change when a voxel, the dtype, the shape or the placement changes.

    The byte order of the machine, the file name and the modality do not count.
    """
    voxels = volume.voxels
    dtype = voxels.dtype.newbyteorder("<")
    affine = np.round(volume.geometry.affine, _AFFINE_DECIMALS) + 0.0  # + 0.0 turns -0.0 into 0.0
    digest = hashlib.sha256()
    digest.update(f"{dtype.str} {voxels.shape}".encode())
    digest.update(affine.astype("<f8").tobytes())
    for slice_yx in voxels:  # one at a time, so that strided voxels are never copied as a whole
        digest.update(np.ascontiguousarray(slice_yx, dtype=dtype).data)
    return digest.hexdigest()
