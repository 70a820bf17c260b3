"""The command `morula`: one command, verbs, and errors that say what to do."""

from __future__ import annotations

import sys
import traceback

import morula.cli.neurons
import morula.cli.predicting
import morula.cli.viewing  # noqa: F401  these three register their verbs
from morula.cli.options import join_sizes, rank
from morula.cli.verbs import app
from morula.core.errors import MorulaError

__all__ = ["main"]

OUT_OF_RESOURCES, INTERRUPTED, BUG = 4, 130, 1
_STOPPED = "stopped; a run, or a volume done by blocks, goes on with the same command"


def main(arguments: list[str] | None = None) -> None:
    """Runs the command line and exits: 0 ok, 2 usage, 3 data, 4 resources, 1 bug, 130 interrupted."""
    sys.exit(_run(arguments))


def _run(arguments: list[str] | None) -> int:
    try:
        app(join_sizes(sys.argv[1:] if arguments is None else arguments), standalone_mode=True)
    except SystemExit as stop:
        code = int(stop.code or 0)
        return _say(_STOPPED, INTERRUPTED) if code == INTERRUPTED else code
    except MorulaError as error:
        return _say(str(error), error.exit_code)
    except KeyboardInterrupt:
        return _say(_STOPPED, INTERRUPTED)
    except MemoryError:
        return _say("not enough memory. Fix: use smaller images, or close other programs", OUT_OF_RESOURCES)
    except Exception:  # noqa: BLE001  the outermost frame: what gets here is a bug, and is shown whole
        traceback.print_exc()
        return _say("this is a bug in Morula; please report it with the lines above", BUG)
    return 0


def _say(message: str, code: int) -> int:
    who = f"morula, process {rank()}" if rank() else "morula"
    print(f"{who}: {message}", file=sys.stderr)
    return code


if __name__ == "__main__":
    main()
