"""How many files, and so connections, this process may have open."""

import resource
from contextlib import suppress


def raise_open_file_limit() -> None:
    """Allow as many as the system lets this process have."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    # macOS reports a hard limit that it does not grant.
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
