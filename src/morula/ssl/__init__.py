"""Parts that self-supervised recipes share; the moving average of weights is `morula.engine.ema_`."""

from morula.ssl.momentum import MomentumEncoder
from morula.ssl.projection import Projection
from morula.ssl.queue import KeyQueue

__all__ = ["KeyQueue", "MomentumEncoder", "Projection"]
