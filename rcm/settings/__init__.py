"""Settings of the running product. Values come from the environment; without them the embedded
servers are used.
"""

from rcm.settings.base import *  # noqa: F403
