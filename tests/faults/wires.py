"""A wire to a server, which is cut, goes dead while it stays up, or leads to another server."""

import asyncio
from contextlib import suppress
from pathlib import Path

from tests.databases import asynchronous


class Wire:
    """A port that leads to a Unix socket. All of it runs beside the tests, on a loop of its own."""

    def __init__(self, upstream: Path) -> None:
        self.upstream = upstream
        self._is_cut = False
        self._writers: set[asyncio.StreamWriter] = set()
        self.port = asynchronous(self._open())

    def cut(self) -> None:
        """End all connections, and any that is tried."""
        self._is_cut = True
        asynchronous(self._drop())

    def freeze(self) -> None:
        """Leave everything up, and let nothing through, in neither direction."""
        asynchronous(self._stand())

    def mend(self) -> None:
        """Take connections again, and let everything through, also what was held back."""
        self._is_cut = False
        asynchronous(self._flow())

    def close(self) -> None:
        """Take it down."""
        self.cut()
        asynchronous(self._close())

    async def _open(self) -> int:
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return int(self._server.sockets[0].getsockname()[1])

    async def _drop(self) -> None:
        self._flowing.set()
        for writer in self._writers:
            writer.transport.abort()

    async def _stand(self) -> None:
        self._flowing.clear()

    async def _flow(self) -> None:
        self._flowing.set()

    async def _close(self) -> None:
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._flowing.wait()
        if self._is_cut:
            writer.transport.abort()
            return
        try:
            backwards, forwards = await asyncio.open_unix_connection(str(self.upstream))
        except OSError:  # nobody listens there now
            writer.transport.abort()
            return
        await asyncio.gather(self._pump(reader, forwards), self._pump(backwards, writer))

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        with suppress(OSError):
            while data := await reader.read(1 << 16):
                await self._flowing.wait()
                writer.write(data)
                await writer.drain()
            await self._flowing.wait()
        self._writers.discard(writer)
        writer.close()
