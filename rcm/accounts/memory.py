"""What a process has loaded stays until it ends: the collector of cycles need not look at it."""

from __future__ import annotations

import gc


def settle() -> None:
    """Call when the code is loaded and before the work begins. Every full collection would walk
    through all models, forms and views again, and bulk work makes many: a third of the processor
    of posting a file.
    """
    gc.collect()
    gc.freeze()
    # what work makes goes by itself when it is done; cycles are few and can wait for more company
    gc.set_threshold(10_000, 20, 20)
