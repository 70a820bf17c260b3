"""Measures Cellpose 3 and StarDist from scratch beside recipe cupre, on the same labels; resumable.

    python benchmarks/cupre/peers.py --data DATA --budget 4 --seeds 0 1 2

Each has an environment of its own below --work, made with `uv`, with the versions that are pinned here. A
plain folder of TIFF files goes to and fro, so that all are scored by one piece of code. Each trains on the
images that a row of table.py has as labelled, for as many minutes of the process's time, from random
weights; the images without labels are of no use to it.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import torch
from exchange import Exchange
from protocol import SETS, Objects, Problem, opened, scores
from table import HERE, table

from morula.core.files import write_json, write_text
from morula.engine import hardware, read_json
from morula.engine.launch import use_cores


class Peer(NamedTuple):
    """A program: the script that runs it, and what its environment holds."""

    script: str
    packages: tuple[str, ...]


PEERS: Mapping[str, Peer] = {
    "cellpose": Peer("peer_cellpose.py", ("cellpose==3.1.1.2", "torch==2.15.0", "numpy==2.0.2")),
    "stardist": Peer("peer_stardist.py", ("stardist==0.9.2", "tensorflow-cpu==2.15.1", "numpy==1.26.4")),
}


def main() -> None:
    """Fills in what is missing, then writes the table."""
    options = _options()
    use_cores()
    for name in options.peers:
        python = environment(options.work / f"environment-{name}", PEERS[name])
        for problem in [opened(options.data, each, part=options.part) for each in options.sets]:
            for seed in options.seeds:
                for count in [each for each in SETS[problem.name].counts if each in options.counts]:
                    measure(name, python, problem, count, seed, options)
    write_text(options.results.parent / "README.md", table(options.results))


def environment(folder: Path, peer: Peer) -> Path:
    """The Python of an environment with a peer's packages."""
    python, ready = folder / "bin" / "python", folder / "ready.json"
    if not ready.exists() or read_json(ready)["packages"] != list(peer.packages):
        subprocess.run(
            ["uv", "venv", "--quiet", "--clear", "--python", sys.executable, str(folder)], check=True
        )
        subprocess.run(
            ["uv", "pip", "install", "--quiet", "--python", str(python), *peer.packages], check=True
        )
        write_json(ready, {"packages": list(peer.packages)})
    return python.absolute()


def measure(
    name: str, python: Path, problem: Problem, count: int, seed: int, options: argparse.Namespace
) -> None:
    """Lets a peer train on a draw, and scores what it found on the test third, unless that was done."""
    path = options.results / f"{problem.name}-{name}-{count}-{seed}.json"
    if path.exists():
        return
    folder = options.work / f"{problem.name}-{name}-{count}-{seed}"
    shutil.rmtree(folder, ignore_errors=True)
    exchange = Exchange(folder)
    for record in problem.drawn(count, seed):
        if record.labels is not None:
            exchange.give("train", record.id, record.image.read_yxc(), record.labels())
    for record in problem.test:
        exchange.give("test", record.id, record.image.read_yxc())
    known = options.work / f"{problem.name}-{name}-steps.json"  # the same for all draws
    steps = read_json(known)["steps"] if known.exists() else 0
    settings = ["--minutes", str(options.budget), "--seed", str(seed), "--steps", str(steps)]
    threads = str(torch.get_num_threads())
    own = {**os.environ, "PYTHONPATH": "", "OMP_NUM_THREADS": threads, "TF_NUM_INTRAOP_THREADS": threads}
    with (options.work / f"{folder.name}.log").open("w") as log:
        subprocess.run(
            [str(python), str(HERE / PEERS[name].script), str(folder), *settings],
            env=own, stdout=log, stderr=subprocess.STDOUT, check=True,
        )  # fmt: skip
    objects, times = exchange.found()
    write_json(known, {"steps": times["steps"], "minutes": options.budget})
    result = {
        "set": problem.name,
        "row": name,
        "labels": count,
        "seed": seed,
        "budget": [0.0, options.budget],
        "steps": [0, times["steps"]],
        "train_seconds": round(times["train"], 1),
        "predict_seconds": round(times["predict"], 3),
        "images": [len(problem.train), len(problem.test)],
        "hardware": hardware(torch.device("cpu")),
        "scores": scores({each: Objects(*found) for each, found in objects.items()}, problem.test),
    }
    write_json(path, result)
    write_text(options.results.parent / "README.md", table(options.results))
    print(problem.name, name, count, seed, result["train_seconds"], result["scores"], flush=True)
    shutil.rmtree(folder)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS))
    parser.add_argument("--peers", nargs="+", choices=PEERS, default=list(PEERS))
    parser.add_argument("--counts", nargs="+", type=int, default=[1, 3, 5, 10], help="labelled images")
    parser.add_argument("--budget", type=float, default=4.0, help="minutes of training")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument(
        "--part", choices=["test", "tune"], default="test", help="tune: without the test third"
    )
    parser.add_argument("--work", type=Path, default=Path("runs/benchmarks-cupre"))
    parser.add_argument("--results", type=Path, default=HERE / "results")
    return parser.parse_args()


if __name__ == "__main__":
    main()
