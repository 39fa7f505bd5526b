#!/usr/bin/env python3
"""Send HL7 v2 messages over MLLP and print each answer. Needs nothing but Python.

    python docs/send_hl7.py docs/samples/01_register.hl7 docs/samples/02_order.hl7
    python docs/send_hl7.py --port 2575 --as-written my_message.hl7

The samples tell of an exam on September 8, 2026. So that it happens today, all days of a message
are moved by the same number of days; --as-written sends the bytes as they are. Sent twice on one
day a message has the same bytes: the second time changes nothing.
"""

from __future__ import annotations

import argparse
import datetime as dt
import os
import re
import socket
import sys
from pathlib import Path
from zoneinfo import ZoneInfo

STORY_DAY = dt.date(2026, 9, 8)
SITE_ZONE = ZoneInfo("America/Chicago")
START, END = b"\x0b", b"\x1c\r"


def moved(message: bytes, days: int) -> bytes:
    """The message with every time (YYYYMMDDHHMMSS or YYYY-MM-DD of 2026) moved by whole days. Birth
    dates have no time and stay.
    """

    def move(found: re.Match[bytes]) -> bytes:
        digits = found.group(0).replace(b"-", b"").decode()
        day = dt.datetime.strptime(digits[:8], "%Y%m%d") + dt.timedelta(days=days)
        return (
            (day.strftime("%Y%m%d") + digits[8:]).encode()
            if b"-" not in found.group(0)
            else day.strftime("%Y-%m-%d").encode()
        )

    return re.sub(rb"\b2026\d{10}\b|\b2026-\d{2}-\d{2}\b", move, message)


def ask(connection: socket.socket, message: bytes) -> str:
    """Send one message; its acknowledgement."""
    connection.sendall(START + message + END)
    answer = b""
    while not answer.endswith(END):
        more = connection.recv(65536)
        if not more:
            raise OSError("the listener closed the connection")
        answer += more
    return answer[len(START) : -len(END)].decode(errors="replace")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=int(os.environ.get("MLLP_PORT", "2575")))
    parser.add_argument("--as-written", action="store_true", help="do not move the days")
    options = parser.parse_args()
    days = 0 if options.as_written else (dt.datetime.now(SITE_ZONE).date() - STORY_DAY).days
    refused = 0
    try:
        with socket.create_connection((options.host, options.port), timeout=30) as connection:
            for path in options.files:
                content = path.read_bytes().replace(b"\r\n", b"\r").replace(b"\n", b"\r")
                lines = ask(connection, moved(content, days)).split("\r")
                code = next(
                    (line.split("|")[1] for line in lines if line.startswith("MSA|")), "no MSA"
                )
                why = next(
                    (
                        line.split("|")[8]
                        for line in lines
                        if line.startswith("ERR|") and line.count("|") >= 8
                    ),
                    "",
                )
                refused += code != "AA"
                print(f"{path.name}: {code}{f' {why}' if why else ''}")
    except OSError as error:
        print(
            f"Nobody answers at {options.host}:{options.port} ({error}). Does `make run` run? It"
            " prints the port.",
            file=sys.stderr,
        )
        return 2
    return 1 if refused else 0


if __name__ == "__main__":
    raise SystemExit(main())
