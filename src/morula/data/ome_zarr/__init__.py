"""OME-Zarr 0.4 and 0.5: multiscale images of any size, local or remote, with labels beside them.

Arrays of Zarr without its metadata are read, too, and never written.
"""

from morula.data.ome_zarr.metadata import Layout, Level, Multiscale
from morula.data.ome_zarr.pyramid import Shrinking, factors_of, shrink
from morula.data.ome_zarr.read import (
    absent_chunks,
    check_chunks,
    is_ome_zarr,
    offset_nm,
    open_ome_zarr,
    read_multiscale,
)
from morula.data.ome_zarr.store import StoredArray
from morula.data.ome_zarr.write import create_image, create_labels, scratch, write_image, write_labels

__all__ = [
    "Layout",
    "Level",
    "Multiscale",
    "Shrinking",
    "StoredArray",
    "absent_chunks",
    "check_chunks",
    "create_image",
    "create_labels",
    "factors_of",
    "is_ome_zarr",
    "offset_nm",
    "open_ome_zarr",
    "read_multiscale",
    "scratch",
    "shrink",
    "write_image",
    "write_labels",
]
