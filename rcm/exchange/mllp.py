"""The MLLP listener: frames off the socket, each stored and answered.

One event loop holds the connections; a few threads store. Limits are per connection and for all
together, so that idle, dripping, endless or rubbish senders cost little and a good one still gets
through: a frame has a largest size and must keep a least pace, an idle connection is closed, and
when all places are taken the one idle longest gives way.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from rcm.exchange.batch import split
from rcm.exchange.origin import Origin

log = logging.getLogger(__name__)

START, END = 0x0B, 0x1C
CHUNK = 64 * 1024
NO_FRAME = "What came is no MLLP frame: it does not begin with the start mark."


@dataclass(frozen=True, slots=True)
class Limits:
    """What one sender, and all of them, may use."""

    message_bytes: int = 32 * 1024 * 1024
    total_bytes: int = 96 * 1024 * 1024
    connections: int = 2000
    idle_seconds: float = 55.0
    # a frame may take the idle time, and beyond it one second for each of so many bytes
    bytes_per_second: int = 2000
    rubbish_bytes: int = 64 * 1024
    kept_of_rubbish: int = 64 * 1024
    large_bytes: int = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Frame:
    """One message as framed. `fault` says what was wrong with the frame; `last` that the connection
    ends after the answer.
    """

    content: bytes
    fault: str = ""
    last: bool = False


class TooSlow(Exception):
    pass


@dataclass(slots=True, eq=False)
class Peer:
    """One connection: what it holds, and when it last spoke."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    spoke: float = 0.0
    held: int = 0
    busy: bool = False
    buffer: bytearray = field(default_factory=bytearray)


class Listener:
    """`store(content, fault, origin) -> acknowledgement` is called in a thread and blocks until the message
    is committed. A frame of several messages has several acknowledgements, each sent in its own
    frame.
    """

    def __init__(
        self,
        store: Callable[[bytes, str, Origin], bytes],
        *,
        limits: Limits | None = None,
        threads: int = 4,
    ) -> None:
        self.store = store
        self.limits = limits or Limits()
        self.peers: set[Peer] = set()
        self.held = 0
        self.closing = False
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="mllp-store")
        self._large = asyncio.Semaphore(1)

    async def serve(
        self,
        host: str,
        port: int,
        *,
        tls: ssl.SSLContext | None = None,
        ready: Callable[[int], None] | None = None,
    ) -> None:
        """Listen until cancelled; then no new connection, and what is being stored is still
        answered.
        """
        extra = {"ssl_handshake_timeout": 10.0} if tls else {}
        server = await asyncio.start_server(
            self._connected, host, port, limit=CHUNK, backlog=512, ssl=tls, **extra
        )
        watch = asyncio.create_task(self._watch())
        try:
            if ready:
                ready(server.sockets[0].getsockname()[1])
            await asyncio.Event().wait()
        finally:
            self.closing = True
            server.close()
            watch.cancel()
            for peer in [p for p in self.peers if not p.busy]:
                peer.writer.close()
            until = time.monotonic() + 20
            while any(p.busy for p in self.peers) and time.monotonic() < until:
                await asyncio.sleep(0.05)
            self._threads.shutdown(wait=True)

    async def _watch(self) -> None:
        """Close idle connections. One clock for all instead of a timer for each."""
        while True:
            await asyncio.sleep(min(1.0, self.limits.idle_seconds / 4))
            before = time.monotonic() - self.limits.idle_seconds
            for peer in [p for p in self.peers if not p.busy and p.spoke < before]:
                # ends the reading; what is no frame is still answered and kept
                with contextlib.suppress(Exception):
                    peer.writer.transport.pause_reading()  # type: ignore[attr-defined]
                    peer.reader.feed_eof()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = Peer(reader, writer, time.monotonic())
        if len(self.peers) >= self.limits.connections:
            idle = [p for p in self.peers if not p.busy and not p.held]
            if not idle:
                writer.transport.abort()
                return
            oldest = min(idle, key=lambda p: p.spoke)
            oldest.writer.transport.abort()
            self.peers.discard(oldest)
        self.peers.add(peer)
        try:
            async for frame in self._frames(reader, peer):
                peer.busy = True
                answer = await self._answer(frame, origin_of(writer))
                for one in split(answer).messages or (answer,):
                    writer.write(bytes((START,)) + one + bytes((END, 0x0D)))
                async with asyncio.timeout(self.limits.idle_seconds):
                    await writer.drain()
                peer.busy = False
                peer.spoke = time.monotonic()
                if frame.last:
                    await self._linger(reader, writer)
                if frame.last or self.closing:
                    break
        except (OSError, TimeoutError, TooSlow, asyncio.IncompleteReadError, ssl.SSLError):
            pass
        except Exception:
            log.exception("MLLP connection failed")
        finally:
            self.held -= peer.held
            self.peers.discard(peer)
            with contextlib.suppress(Exception):
                writer.close()

    @staticmethod
    async def _linger(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Read on for a moment, so that a sender in full flow gets the answer and no reset."""
        if writer.can_write_eof():
            writer.write_eof()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(2):
                while await reader.read(CHUNK):
                    pass

    async def _answer(self, frame: Frame, origin: Origin) -> bytes:
        loop = asyncio.get_running_loop()
        if len(frame.content) > self.limits.large_bytes:
            # large ones one at a time: storing takes several times a message's size
            async with self._large:
                return await loop.run_in_executor(
                    self._threads, self.store, frame.content, frame.fault, origin
                )
        return await loop.run_in_executor(
            self._threads, self.store, frame.content, frame.fault, origin
        )

    async def _frames(self, reader: asyncio.StreamReader, peer: Peer) -> AsyncIterator[Frame]:
        """Cut the stream into frames. What stands outside of start and end marks is a frame with a
        fault.
        """
        limits, buffer = self.limits, peer.buffer
        begun = 0.0
        searched = 0
        while True:
            end = buffer.find(END, searched)
            if end >= 0:
                frame = self._cut(bytes(memoryview(buffer)[:end]))
                del buffer[: end + 1]
                searched = 0
                self._hold(peer)
                begun = time.monotonic()
                if frame is not None:
                    yield frame
                continue
            searched = len(buffer)
            if blank := _leading(buffer, b"\r\n"):
                # the carriage return behind an end mark
                del buffer[:blank]
                searched = 0
                self._hold(peer)
                continue
            if fault := self._excess(peer):
                kept = bytes(buffer[: limits.kept_of_rubbish]).removeprefix(bytes((START,)))
                buffer.clear()
                self._hold(peer)
                yield Frame(kept, fault, last=True)
                return
            chunk = await reader.read(CHUNK)
            now = time.monotonic()
            peer.spoke = now
            if not chunk:
                # half a message is not kept: it was never acknowledged, so its sender sends it
                # again
                if buffer and buffer[0] != START:
                    yield Frame(bytes(buffer[: limits.kept_of_rubbish]), NO_FRAME, last=True)
                return
            if not buffer:
                begun = now
            buffer += chunk
            self._hold(peer)
            if now - begun > limits.idle_seconds + len(buffer) / limits.bytes_per_second:
                raise TooSlow

    def _excess(self, peer: Peer) -> str:
        """Why this connection may hold no more, or nothing."""
        limits, buffer = self.limits, peer.buffer
        if len(buffer) > limits.rubbish_bytes and START not in buffer[:64]:
            return NO_FRAME
        if len(buffer) > limits.message_bytes:
            size = limits.message_bytes // 1_000_000
            return (
                f"The message is larger than {size} MB or has no end mark; only its beginning is"
                " kept."
            )
        if self.held > limits.total_bytes and peer.held == max(p.held for p in self.peers):
            return "Too much is being received at once; send it again later."
        return ""

    def _cut(self, raw: bytes) -> Frame | None:
        raw = raw.lstrip(b"\r\n")
        if not raw:
            return None
        if raw[0] != START:
            at = raw.find(bytes((START,)))
            if at < 0:
                return Frame(raw, "The start mark of the frame is missing.")
            raw = raw[at:]
        body = raw[1:]
        again = body.rfind(bytes((START,)) + b"MSH")
        if again >= 0:
            # the sender gave up one message and began the next; the last is whole
            body = body[again + 1 :]
        if not body.strip():
            return Frame(body, "The frame is empty.")
        return Frame(body)

    def _hold(self, peer: Peer) -> None:
        self.held += len(peer.buffer) - peer.held
        peer.held = len(peer.buffer)


def origin_of(writer: asyncio.StreamWriter) -> Origin:
    """The sender's address, and the common name of its client certificate."""
    peer = writer.get_extra_info("peername") or ("",)
    certificate = writer.get_extra_info("peercert") or {}
    names = {key: value for part in certificate.get("subject", ()) for key, value in part}
    return Origin(str(peer[0]), names.get("commonName", ""))


def _leading(buffer: bytearray, characters: bytes) -> int:
    """How many of these characters stand at the beginning."""
    count = 0
    while count < len(buffer) and buffer[count] in characters:
        count += 1
    return count


def tls_context(certificate: str, key: str, client_authority: str = "") -> ssl.SSLContext:
    """TLS 1.2 or later; with a client authority only senders with a certificate of it are let
    in.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(certificate, key or None)
    if client_authority:
        context.load_verify_locations(client_authority)
        context.verify_mode = ssl.CERT_REQUIRED
    return context
