"""The Lua scripts beside this file."""

from importlib.resources import files
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import NoScriptError


class Script:
    """A script by the name of its file; each says in its head what it takes and returns."""

    def __init__(self, name: str) -> None:
        package = __name__.rpartition(".")[0]
        self._source = files(package).joinpath(f"{name}.lua").read_text(encoding="utf-8")
        self._digest = ""

    async def __call__(self, client: Redis, keys: list[str], *arguments: Any) -> Any:
        """Run the script; the whole text is sent only to a server that does not know it.

        Raises:
            RedisError: The server cannot be reached, or refuses.
        """
        if self._digest:
            try:
                return await client.evalsha(self._digest, len(keys), *keys, *arguments)
            except NoScriptError:
                pass
        self._digest = await client.script_load(self._source)
        return await client.evalsha(self._digest, len(keys), *keys, *arguments)
