"""The keys in Redis, under the hash tag that they share with the event stream."""

from charter_otel.streams.register import RegisterKeys


class ClusterKeys:
    """The keys; the prefix holds the hash tag that keeps them in one slot."""

    def __init__(self, prefix: str = "{charter}") -> None:
        register = RegisterKeys(prefix)
        self.open = register.open
        self.closed = register.lost
        self.instances = f"{prefix}:instances"
        """Hash "instance -> beats, Unix seconds of the last"."""
        self.lost = f"{prefix}:instances:lost"
        """Sorted set of the instances that were declared lost."""
        self.notices = f"{prefix}:instances:notices:"
        """Prefix of the lists of connections that an instance lost to another one."""
        self.reaper = f"{prefix}:instances:reaper"
        """The instance that looks for orphans now."""
        self.owners = f"{prefix}:owners"
        """Hash "robot -> epoch, Unix seconds of accept, instance, connection"."""
        self.presence = f"{prefix}:presence"
        self.readings = f"{prefix}:readings"
        """Hash "robot -> epoch of the connection that brought it, newest reading"."""
        self.offline = f"{prefix}:offline"
        """Sorted set of the offline robots."""
