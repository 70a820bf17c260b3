"""Predicts a volume or an image of any size with workers that Slurm starts.

    pip install ".[slurm]"
    python predict_on_slurm.py RUN big.ome.zarr seg.ome.zarr --jobs 16 --cpus 4 --memory 16GB

Run it where jobs may be submitted from (a login node, or a job of its own), and let it run until the end: the
scheduler lives in it. If it stops, or its jobs do, repeat it; finished blocks are not done again.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from dask_jobqueue import SLURMCluster
from distributed import Client

from morula.workflows.big import predict_big


def main() -> None:
    """Reads the command, starts the jobs, predicts, and ends the jobs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("image")
    parser.add_argument("out", type=Path)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--cpus", type=int, default=1, help="of each job; the network uses them all")
    parser.add_argument("--memory", default="16GB", help="of each job")
    parser.add_argument("--walltime", default="08:00:00")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--directive", action="append", default=[], help="another line for sbatch")
    given = parser.parse_args()
    with (
        SLURMCluster(
            cores=1,  # threads of a worker: one block at a time
            processes=1,
            job_cpu=given.cpus,
            memory=given.memory,
            walltime=given.walltime,
            job_extra_directives=given.directive,
        ) as cluster,
        Client(cluster) as client,
    ):
        cluster.scale(jobs=given.jobs)
        client.wait_for_workers(given.jobs)  # blocks go to those that are there when it begins
        address = str(cluster.scheduler_address).removeprefix("tcp://")
        told = predict_big(
            given.run, given.image, out=given.out, executor=f"dask://{address}", device=given.device
        )
        print(told)


if __name__ == "__main__":
    main()
