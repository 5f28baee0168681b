"""A session the way people script it: Dask maps a scikit-image chain over the frames.

    python session_chain.py SESSION.zarr OUT.parquet WORKERS

Stands alone: it reads a session's first stack with zarr, segments each frame as
``stempede_bench.peers.segment`` does, and writes one table of the same features.
"""

from __future__ import annotations

import runpy
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import zarr
from dask.distributed import Client, LocalCluster

PIXEL_NM = 0.2


def chain() -> dict[str, Any]:
    """Load the chain from its file, so that workers need nothing of ours installed."""
    return runpy.run_path(str(Path(__file__).parents[1] / "peers.py"))


def measure(session: str, frame: int) -> pd.DataFrame:
    """Return the feature table of one frame."""
    peers = chain()
    image = np.asarray(zarr.open_array(f"{session}/stacks/0/frames", mode="r")[frame])
    labels = peers["segment"](image)
    table = pd.DataFrame(peers["feature_table"](labels, image.astype(np.float32)))
    table.insert(0, "frame", frame)
    table["major_axis_nm"] = table["axis_major_length"] * PIXEL_NM
    return table


def main() -> None:
    """Measure a session and write its table."""
    session, out, workers = sys.argv[1], sys.argv[2], int(sys.argv[3])
    n_frames = zarr.open_array(f"{session}/stacks/0/frames", mode="r").shape[0]
    with (
        LocalCluster(workers, threads_per_worker=1, dashboard_address=None) as cluster,
        Client(cluster) as client,
    ):
        tables = client.gather(client.map(measure, [session] * n_frames, range(n_frames)))
    whole = pd.concat(tables, ignore_index=True)
    whole.to_parquet(out)
    print(len(whole))


if __name__ == "__main__":
    main()
