"""The system's clock."""

import time


class SystemClock:
    """The port `Clock`. The functions of `time` themselves: a request reads the clock some ten times."""

    now = staticmethod(time.time)
    monotonic = staticmethod(time.monotonic)
