"""What volumes of any size cost: peak memory at three sizes, and runs that are killed and resumed.

    python benchmarks/scale/scale.py memory --shapes 500,250,250 500,500,500 500,2000,2000
    python benchmarks/scale/scale.py neurons --shapes 500,250,250 500,500,500 500,2000,2000
    python benchmarks/scale/scale.py graph --fragments 100000 300000
    python benchmarks/scale/scale.py kill --runs 30

The volume is generated where it is read (nothing is stored of it), a mean over three sections stands for the
network, and its foreground is numbered, cleaned and compared with the truth by blocks; `neurons` does the
whole neuron pipeline on dense neurites, generated likewise, with a stand-in of a few operations for the
network; `graph` is the one step of it whose memory grows with the volume, on fragments in a lattice of random
affinities. Each line of results/*.jsonl is one measurement; what is there is not measured again, so a stopped
benchmark goes on, `neurons` within a size.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
from pathlib import Path

from results import keep, rows

WORK = Path("/tmp/morula-scale")
SHAPES = [(500, 250, 250), (500, 500, 500), (500, 2000, 2000)]


def one(folder: Path, shape: tuple[int, ...], block: tuple[int, ...], executor: str) -> None:
    """A volume in this process, with workers of its own or of a cluster; prints what it took."""
    from volume import segment_blobs

    from morula.blockwise import workers

    with workers(1, executor) as team:
        print(json.dumps(segment_blobs(folder, shape, block, team)))


def memory(shapes: list[tuple[int, int, int]], work: Path) -> None:
    """A process for each size that has no line yet."""
    for shape in shapes:
        if any(tuple(row["shape"]) == shape for row in rows("memory")):
            continue
        folder = work / "memory"
        shutil.rmtree(folder, ignore_errors=True)
        command = [sys.executable, __file__, "one", str(folder), ",".join(map(str, shape))]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        keep("memory", json.loads(done.stdout.splitlines()[-1]))
        shutil.rmtree(folder)


def tissue(folder: Path, shape: tuple[int, int, int], count: int) -> None:
    """Neurites in this process or by its workers; prints what they took."""
    from tissue import segment_tissue

    print(json.dumps(segment_tissue(folder, shape, count)))


def neurons(shapes: list[tuple[int, int, int]], work: Path, count: int) -> None:
    """A process for each size that has no line yet; what one did that was stopped is not done again."""
    for shape in shapes:
        if any(tuple(row["shape"]) == shape for row in rows("tissue")):
            continue
        size = ",".join(map(str, shape))
        folder = work / f"tissue-{size}"
        command = [sys.executable, __file__, "one-tissue", str(folder), size, "--workers", str(count)]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        keep("tissue", json.loads(done.stdout.splitlines()[-1]))
        shutil.rmtree(folder)


def graph(counts: list[int]) -> None:
    """A process for each number of fragments that has no line yet."""
    for count in counts:
        if any(row["asked"] == count for row in rows("graph")):
            continue
        command = [sys.executable, __file__, "one-graph", str(count)]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        keep("graph", json.loads(done.stdout.splitlines()[-1]))


def sizes(text: str) -> tuple[int, int, int]:
    """Three numbers z,y,x."""
    z, y, x = map(int, text.split(","))
    return z, y, x


def main() -> None:
    """Reads the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--work", type=Path, default=WORK, help="folder for what is written on the way")
    verbs = parser.add_subparsers(dest="verb", required=True)
    single = verbs.add_parser("one")
    single.add_argument("folder", type=Path)
    single.add_argument("shape", type=sizes)
    single.add_argument("--block", type=sizes, default=(64, 256, 256))
    single.add_argument("--executor", default="inline")
    alone = verbs.add_parser("one-tissue")
    alone.add_argument("folder", type=Path)
    alone.add_argument("shape", type=sizes)
    alone.add_argument("--workers", type=int, default=1)
    fragments = verbs.add_parser("one-graph")
    fragments.add_argument("fragments", type=int)
    many = verbs.add_parser("graph")
    many.add_argument("--fragments", type=int, nargs="+", default=[100_000, 300_000])
    for verb in ("memory", "neurons"):
        peak = verbs.add_parser(verb)
        peak.add_argument("--shapes", type=sizes, nargs="+", default=SHAPES)
        if verb == "neurons":
            peak.add_argument("--workers", type=int, default=1, help="processes besides this one")
    deaths = verbs.add_parser("kill")
    deaths.add_argument("--runs", type=int, default=30)
    asked = parser.parse_args()
    if asked.verb == "one":
        one(asked.folder, asked.shape, asked.block, asked.executor)
    elif asked.verb == "one-tissue":
        tissue(asked.folder, asked.shape, asked.workers)
    elif asked.verb == "one-graph":
        from tissue import join_lattice

        print(json.dumps(join_lattice(asked.fragments)))
    elif asked.verb == "graph":
        graph(asked.fragments)
    elif asked.verb == "memory":
        memory(asked.shapes, asked.work)
    elif asked.verb == "neurons":
        neurons(asked.shapes, asked.work, asked.workers)
    else:
        from kill import kill

        kill(asked.runs, asked.work)


if __name__ == "__main__":
    main()
