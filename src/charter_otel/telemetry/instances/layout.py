"""What lies in Redis: keys under the hash tag that they share with the event stream."""

from importlib.resources import files

from charter_otel.streams.redis.layout import Layout as StreamLayout


class Layout:
    """The keys.

    Args:
        prefix: What all keys begin with.
    """

    def __init__(self, prefix: str = "{charter}") -> None:
        stream = StreamLayout(prefix)
        self.open = stream.open
        """Hash "connection -> instance, newline, details in JSON"; moves with the stream."""
        self.closed = stream.lost
        """Sorted set of the connections that were closed for a dead instance."""
        self.instances = f"{prefix}:instances"
        """Hash "instance -> beats, Unix seconds of the last"."""
        self.lost = f"{prefix}:instances:lost"
        """Sorted set of the instances that were declared lost."""
        self.mail = f"{prefix}:instances:mail:"
        """Beginning of the lists of connections that an instance lost to another one."""
        self.reaper = f"{prefix}:instances:reaper"
        """Who looks for orphans now."""
        self.owners = f"{prefix}:owners"
        """Hash "robot -> epoch, Unix seconds of accept, instance, connection"."""
        self.presence = f"{prefix}:presence"
        self.readings = f"{prefix}:readings"
        self.offline = f"{prefix}:offline"
        """Sorted set of the offline robots."""


def script(name: str) -> str:
    """Give the text of a script beside this file."""
    return files(__package__).joinpath(f"{name}.lua").read_text(encoding="utf-8")
