"""The simulator's HTTP door: a small threaded server with real sockets.

POST /x12/realtime   270, 276 or 278 in, the answer out at once
POST /x12/batch      837 in; 202. Answers come to the sender's mailbox
GET  /x12/mailbox/<receiver>[?as_of=YYYY-MM-DD]   the oldest file due (200 with X-Mail-Id and X-Mail-Kind), or 204
POST /x12/mailbox/<receiver>/<id>/taken           the receiver has stored it
POST /auth/token                                  SMART backend-services sign-in
POST /fhir/Claim/$submit, /fhir/Claim/$inquire    FHIR prior authorization, with a token
POST /appeals/<icn>[?as_of=…]                     a letter of appeal about a paid or denied claim
GET  /healthz

An Idempotency-Key that was seen before gets the first answer again and has no second effect.
"""

from __future__ import annotations

import hashlib
from datetime import date
from http.server import BaseHTTPRequestHandler, HTTPServer, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from django.db import connection, transaction

from rcm.accounts.clock import office_day
from rcm.simulator import fhir, post
from rcm.simulator.models import Call, Mail
from rcm.x12 import NotX12

LIMIT = 64 * 1024 * 1024


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "Payers"
    sys_version = ""
    timeout = 30

    def finish(self) -> None:
        """The end of a caller's connection: its thread ends, and the thread's database connection
        with it.
        """
        try:
            super().finish()
        finally:
            if not isinstance(self.server, OneByOne):
                connection.close()

    def log_message(self, *args: Any) -> None:
        """Nothing of a message goes to a log."""

    def _answer(
        self, status: int, body: bytes = b"", kind: str = "application/edi-x12", **headers: str
    ) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def _sentence(self, status: int, text: str) -> None:
        self._answer(status, text.encode(), "text/plain; charset=utf-8")

    def _as_of(self) -> date | None:
        values = parse_qs(urlsplit(self.path).query).get("as_of")
        return date.fromisoformat(values[0]) if values else None

    def do_GET(self) -> None:
        try:
            parts = urlsplit(self.path).path.strip("/").split("/")
            if parts == ["healthz"]:
                return self._sentence(200, "ok")
            if len(parts) == 3 and parts[:2] == ["x12", "mailbox"]:
                post.fill(parts[2], self._as_of())
                mail = Mail.objects.filter(receiver=parts[2], taken=False).order_by("pk").first()
                if mail is None:
                    return self._answer(204)
                return self._answer(
                    200, bytes(mail.content), X_Mail_Id=str(mail.pk), X_Mail_Kind=mail.kind
                )
            return self._sentence(404, "There is nothing here.")
        except ValueError:
            return self._sentence(400, "The day must be written YYYY-MM-DD.")

    def do_POST(self) -> None:
        try:
            length = int(self.headers.get("Content-Length") or 0)
            if length > LIMIT:
                self.close_connection = True
                return self._sentence(413, "The file is larger than this clearinghouse takes.")
            body = self.rfile.read(length)
            path = urlsplit(self.path).path
            parts = path.strip("/").split("/")
            if path in ("/x12/realtime", "/x12/batch"):
                return self._once(path, body)
            if path == "/auth/token":
                status, answer = fhir.token(body, address=self._address(path))
                return self._answer(status, answer, "application/json")
            if parts[:2] == ["fhir", "Claim"]:
                return self._fhir(path, body)
            if len(parts) == 5 and parts[:2] == ["x12", "mailbox"] and parts[4] == "taken":
                Mail.objects.filter(receiver=parts[2], pk=int(parts[3])).update(taken=True)
                return self._answer(204)
            if len(parts) == 2 and parts[0] == "appeals":
                taken = post.appeal(parts[1], self._as_of() or office_day())
                return self._sentence(200, "overturned" if taken else "upheld")
            return self._sentence(404, "There is nothing here.")
        except ValueError:
            return self._sentence(400, "The request could not be read.")

    def _address(self, path: str) -> str:
        """This door as its caller writes it."""
        return f"http://{self.headers.get('Host', '')}{path}"

    def _fhir(self, path: str, body: bytes) -> None:
        operations = {"/fhir/Claim/$submit": fhir.submit, "/fhir/Claim/$inquire": fhir.inquire}
        try:
            fhir.require_token(self.headers.get("Authorization", ""))
            if path not in operations:
                raise fhir.Refusal(404, "not-supported", "There is no such operation.")
            answer = operations[path](body, self._as_of() or office_day())
        except fhir.Refusal as refusal:
            return self._answer(refusal.status, fhir.outcome(refusal), fhir.FHIR)
        return self._answer(200, answer, fhir.FHIR)

    def _once(self, path: str, body: bytes) -> None:
        """Do it, or give the first answer again. The key's row is the lock: two at once, one works
        and the other waits.
        """
        digest = hashlib.sha256(body).hexdigest()
        key = self.headers.get("Idempotency-Key") or f"{path}:{digest}"
        try:
            with transaction.atomic():
                call, new = Call.objects.get_or_create(
                    key=key[:80], defaults={"path": path, "sha256": digest, "answer": b""}
                )
                call = Call.objects.select_for_update().get(pk=call.pk)
                if not new:
                    if call.sha256 != digest:
                        return self._sentence(
                            422, "This Idempotency-Key was used for another file."
                        )
                    Call.objects.filter(pk=call.pk).update(repeats=call.repeats + 1)
                    answer = bytes(call.answer)
                elif path == "/x12/realtime":
                    answer = post.realtime(body)
                elif post.holds_papers(body):
                    post.papers(body)
                    answer = b""
                else:
                    post.receive(body)
                    answer = b""
                if new:
                    Call.objects.filter(pk=call.pk).update(answer=answer)
        except NotX12 as refusal:
            return self._sentence(400, str(refusal))
        return self._answer(200 if answer else 202, answer)


class Server(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 64


class Brief(Handler):
    """One question a connection: the next caller need not wait for the first to hang up."""

    protocol_version = "HTTP/1.0"


class OneByOne(HTTPServer):
    """Answers one caller after the other in the thread that serves, over one database connection:
    opening one costs more than most answers.
    """

    allow_reuse_address = True
    request_queue_size = 64


def serve(host: str, port: int, *, one_by_one: bool = False) -> HTTPServer:
    """A bound server; call `serve_forever` (in a thread for tests and the demo). Port 0 picks a
    free one.
    """
    return OneByOne((host, port), Brief) if one_by_one else Server((host, port), Handler)
