"""Asynchronous generators: several at once, with pauses, until the client goes away."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine, Sequence
from contextlib import aclosing, suppress
from typing import Any

from fastapi import Request


async def merged(streams: Sequence[AsyncGenerator[Any, None]]) -> AsyncGenerator[tuple[int, Any], None]:
    """Yields the values of several generators as they come, with the index of each."""
    queue: asyncio.Queue[tuple[int, Any]] = asyncio.Queue()

    async def forward(index: int, stream: AsyncGenerator[Any, None]) -> None:
        async with aclosing(stream):
            async for value in stream:
                queue.put_nowait((index, value))

    tasks = [asyncio.create_task(forward(index, stream)) for index, stream in enumerate(streams)]
    for index, task in enumerate(tasks):
        task.add_done_callback(lambda ended, index=index: queue.put_nowait((index, ended)))  # type: ignore[misc]
    running = len(tasks)
    try:
        while running:
            index, value = await queue.get()
            if isinstance(value, asyncio.Task):
                value.result()  # raises what the generator raised
                running -= 1
            else:
                yield index, value
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def with_pauses(values: AsyncGenerator[Any, None], seconds: float) -> AsyncGenerator[Any, None]:
    """The values as they come, and None after each `seconds` without one."""
    async with aclosing(values):
        coming: asyncio.Future[Any] | None = None
        try:
            while True:
                coming = coming or asyncio.ensure_future(anext(values))
                done, _ = await asyncio.wait({coming}, timeout=seconds)
                if not done:
                    yield None
                    continue
                try:
                    value = coming.result()
                except StopAsyncIteration:
                    return
                coming = None
                yield value
        finally:
            if coming is not None:
                coming.cancel()
                await asyncio.gather(coming, return_exceptions=True)


async def chained(first: Sequence[Any], rest: AsyncIterator[Any]) -> AsyncGenerator[Any, None]:
    for value in first:
        yield value
    async for value in rest:
        yield value


async def drain(values: AsyncIterator[Any]) -> None:
    async for _ in values:
        pass


async def take_one(values: AsyncIterator[Any], into: list[Any]) -> None:
    with suppress(StopAsyncIteration):
        into.append(await anext(values))


async def unless_disconnected(request: Request, work: Coroutine[Any, Any, None]) -> bool:
    """Waits for the work; cancels it and returns False if the client goes away."""
    working, leaving = asyncio.create_task(work), asyncio.create_task(disconnected(request))
    try:
        await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            working.result()
            return True
        return False
    finally:
        working.cancel()
        leaving.cancel()
        await asyncio.gather(working, leaving, return_exceptions=True)


async def disconnected(request: Request) -> None:
    """Returns when the client has gone away."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
