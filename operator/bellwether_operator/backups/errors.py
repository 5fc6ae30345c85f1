"""Whether a snapshot that reports an error may still come about by itself. Pure.

The snapshot controller tries again whatever failed, and keeps the last error beside a snapshot that is ready at last.
So nearly every error is waited for, up to the deadline. These say what no waiting changes.
"""

from __future__ import annotations

import re

_FINAL = re.compile(
    r"failed to get snapshot class|snapshotclass .*not found|no default snapshot class|volumesnapshotclass.*not found|"
    r"driver .*(does not match|mismatch)|not supported|unimplemented|persistentvolumeclaim .*not found|"
    r"failed to get input parameters|invalid argument",
    re.IGNORECASE,
)


def is_final(message: str) -> bool:
    """Whether an error of a snapshot stays whatever is waited for."""
    return _FINAL.search(message) is not None
