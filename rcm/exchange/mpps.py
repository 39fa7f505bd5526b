"""The DICOM listener: a guard on the public port, and behind it pynetdicom as the MPPS service
class provider.

pynetdicom believes the length that a PDU announces. The guard reads each PDU's six-byte header
first and ends the association before memory grows; only a complete, modest A-ASSOCIATE-RQ opens a
way to pynetdicom, which listens on a private loopback port.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian, generate_uid
from pynetdicom import AE, evt
from pynetdicom.sop_class import ModalityPerformedProcedureStep, Verification  # type: ignore[attr-defined]

log = logging.getLogger(__name__)

CHUNK = 32 * 1024
ASSOCIATE, ABORT = 0x01, bytes((0x07, 0, 0, 0, 0, 4, 0, 0, 2, 6))
PDU_TYPES = range(0x01, 0x08)
PRIVATE = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Limits:
    """What one association, and all of them, may use."""

    pdu_bytes: int = 1024 * 1024
    associate_bytes: int = 64 * 1024
    association_bytes: int = 16 * 1024 * 1024
    associations: int = 300
    first_seconds: float = 10.0
    idle_seconds: float = 60.0


class Unwelcome(Exception):
    """The other side does what no modality does; the text is for the log and holds no content."""


@dataclass(slots=True, eq=False)
class Peer:
    writer: asyncio.StreamWriter
    spoke: float
    associated: bool = False


class Guard:
    """Relays associations to the private port while they keep to the limits."""

    def __init__(self, private_port: int, limits: Limits) -> None:
        self.private_port, self.limits = private_port, limits
        self.peers: set[Peer] = set()

    async def serve(
        self, host: str, port: int, *, ready: Callable[[int], None] | None = None
    ) -> None:
        server = await asyncio.start_server(self._connected, host, port, limit=CHUNK, backlog=128)
        async with server:
            if ready:
                ready(server.sockets[0].getsockname()[1])
            await asyncio.Event().wait()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = Peer(writer, time.monotonic())
        if len(self.peers) >= self.limits.associations:
            waiting = [p for p in self.peers if not p.associated] or list(self.peers)
            oldest = min(waiting, key=lambda p: p.spoke)
            oldest.writer.transport.abort()
            self.peers.discard(oldest)
        self.peers.add(peer)
        inner: asyncio.StreamWriter | None = None
        back: asyncio.Task[None] | None = None
        try:
            first = await self._associate(reader)
            inner_reader, inner = await asyncio.open_connection(
                PRIVATE, self.private_port, limit=CHUNK
            )
            peer.associated = True
            inner.write(first)
            back = asyncio.create_task(self._back(inner_reader, writer, peer))
            await self._forth(reader, inner, peer, len(first))
        except Unwelcome as reason:
            log.warning("DICOM association ended: %s", reason)
            with contextlib.suppress(OSError):
                writer.write(ABORT)
        except (OSError, TimeoutError, asyncio.IncompleteReadError):
            pass
        finally:
            self.peers.discard(peer)
            if inner is not None:
                inner.close()
            if back is not None:
                with contextlib.suppress(Exception, asyncio.CancelledError):
                    await asyncio.wait_for(back, 5)
            writer.close()

    async def _associate(self, reader: asyncio.StreamReader) -> bytes:
        async with asyncio.timeout(self.limits.first_seconds):
            header = await reader.readexactly(6)
            length = int.from_bytes(header[2:], "big")
            if header[0] != ASSOCIATE:
                raise Unwelcome("the first PDU asks for no association")
            if length > self.limits.associate_bytes:
                raise Unwelcome(f"an association request of {length} bytes")
            return header + await reader.readexactly(length)

    async def _forth(
        self, reader: asyncio.StreamReader, inner: asyncio.StreamWriter, peer: Peer, total: int
    ) -> None:
        limits = self.limits
        while True:
            async with asyncio.timeout(limits.idle_seconds):
                header = await reader.readexactly(6)
            peer.spoke = time.monotonic()
            left = int.from_bytes(header[2:], "big")
            total += left + 6
            if header[0] not in PDU_TYPES or header[0] == ASSOCIATE:
                raise Unwelcome("a PDU of a type that has no place here")
            if left > limits.pdu_bytes:
                raise Unwelcome(f"a PDU that announces {left} bytes")
            if total > limits.association_bytes:
                raise Unwelcome(f"more than {limits.association_bytes} bytes in one association")
            # a whole PDU before any of it goes on, within its time: half a PDU would hold a thread
            # of pynetdicom
            async with asyncio.timeout(limits.idle_seconds):
                body = await reader.readexactly(left) if left else b""
            inner.write(header + body)
            await inner.drain()

    async def _back(
        self, inner: asyncio.StreamReader, writer: asyncio.StreamWriter, peer: Peer
    ) -> None:
        with contextlib.suppress(OSError):
            while chunk := await inner.read(CHUNK):
                peer.spoke = time.monotonic()
                writer.write(chunk)
                await writer.drain()
            # pynetdicom has ended the association; so do we
            if writer.can_write_eof():
                writer.write_eof()


class Provider(AE):
    """pynetdicom's application entity, whose list of callers is asked for at every association."""

    def __init__(self, title: str, callers: Callable[[], list[str]]) -> None:
        super().__init__(ae_title=title)
        self._callers = callers

    @property
    def require_calling_aet(self) -> list[str]:
        # an empty list would mean everybody; a title with a backslash cannot exist
        return self._callers() or ["\\"]

    @require_calling_aet.setter
    def require_calling_aet(self, ae_titles: list[str]) -> None:
        raise AttributeError("the callers come from the connections")


Store = Callable[..., int]


def start_provider(
    title: str, callers: Callable[[], list[str]], store: Store, limits: Limits
) -> Any:
    """Start the service behind the guard on a private port; returns pynetdicom's server.

    `store(dataset, *, operation, sop_instance_uid, transfer_syntax, calling_ae) -> status` returns
    once the message is committed.
    """
    entity = Provider(title, callers)
    syntaxes = [ExplicitVRLittleEndian, ImplicitVRLittleEndian]
    entity.add_supported_context(Verification, syntaxes)
    entity.add_supported_context(ModalityPerformedProcedureStep, syntaxes)
    entity.maximum_pdu_size = 64 * 1024
    entity.maximum_associations = limits.associations
    entity.acse_timeout = limits.first_seconds
    entity.dimse_timeout = entity.network_timeout = limits.idle_seconds

    def create(event: Any) -> tuple[int, Any]:
        request = event.request
        return (
            _keep(
                event,
                "N-CREATE",
                request.AffectedSOPInstanceUID or generate_uid(),
                request.AttributeList,
            ),
            None,
        )

    def change(event: Any) -> tuple[int, Any]:
        request = event.request
        return (
            _keep(event, "N-SET", request.RequestedSOPInstanceUID, request.ModificationList),
            None,
        )

    def _keep(event: Any, operation: str, uid: Any, data: Any) -> int:
        return store(
            data.getvalue() if data is not None else b"",
            operation=operation,
            sop_instance_uid=str(uid),
            transfer_syntax=str(event.context.transfer_syntax),
            calling_ae=str(event.assoc.requestor.ae_title).strip(),
        )

    handlers: list[Any] = [(evt.EVT_N_CREATE, create), (evt.EVT_N_SET, change)]
    # associations are threads: small stacks, since there may be hundreds
    threading.stack_size(512 * 1024)
    return entity.start_server((PRIVATE, 0), block=False, evt_handlers=handlers)
