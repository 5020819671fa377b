"""Lua scripts, loaded once and run by their digest."""

from importlib.resources import files
from typing import Any, cast

from redis.asyncio import Redis
from redis.exceptions import NoScriptError

from charter_otel.redis import replication


class Script:
    """A script by its file's name; the head of each file describes its arguments and result.

    Args:
        package: The package that the file lies in; pass ``__package__``.
        name: The file's name without ``.lua``.
    """

    def __init__(self, package: str, name: str) -> None:
        self._source = files(package).joinpath(f"{name}.lua").read_text(encoding="utf-8")
        self._digest = ""

    async def __call__(
        self, client: Redis, keys: list[str], *arguments: Any, replicas: int = 0
    ) -> Any:
        """Run the script; the whole text is sent only to a server that does not know it.

        Args:
            client: Where to run it.
            keys: Its keys.
            arguments: Its arguments.
            replicas: How many replicas must have its writes.

        Raises:
            NotReplicated: It ran, and too few replicas confirmed its writes in time.
            RedisError: The server cannot be reached, or refuses.
        """
        if self._digest:
            try:
                return await self._run(client, keys, arguments, replicas)
            except NoScriptError:
                pass
        self._digest = await client.script_load(self._source)
        return await self._run(client, keys, arguments, replicas)

    async def _run(
        self, client: Redis, keys: list[str], arguments: tuple[Any, ...], replicas: int
    ) -> Any:
        if not replicas:
            return await cast("Any", client).evalsha(self._digest, len(keys), *keys, *arguments)
        async with client.pipeline(transaction=False) as pipeline:
            pipeline.evalsha(self._digest, len(keys), *keys, *arguments)
            [reply] = await replication.execute(pipeline, replicas)
            return reply
