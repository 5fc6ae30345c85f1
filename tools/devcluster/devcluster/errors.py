"""The one error that a user of the cluster meets."""


class ClusterError(Exception):
    """What went wrong and what would put it right; the command line prints it without a traceback."""
