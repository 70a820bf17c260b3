"""Morula segments microscopy with few labels or none.

>>> import morula
>>> morula.__all__
['evaluate', 'plan', 'predict', 'report', 'run', 'select', 'train']
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from morula.workflows.evaluate import evaluate
    from morula.workflows.plan import plan
    from morula.workflows.predict import predict
    from morula.workflows.report import report
    from morula.workflows.run import run
    from morula.workflows.select import select
    from morula.workflows.train import train

__all__ = ["evaluate", "plan", "predict", "report", "run", "select", "train"]


def __getattr__(name: str) -> Any:
    """Loads a workflow when it is first used, so that `import morula` is quick."""
    if name in __all__:
        return getattr(import_module(f"morula.workflows.{name}"), name)
    raise AttributeError(f"module 'morula' has no attribute {name!r}")
