"""The HL7 messages of one invented patient's exam, written as a registration desk, an order system,
a scheduler and a RIS write them.
"""

from __future__ import annotations

import socket
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import count
from zoneinfo import ZoneInfo

CENTER, SITE = "IMGCTR01", "IMGCTR01-MAIN"
ZONE = ZoneInfo("America/Chicago")
ORDERER = "1932102084^REFERRER^ANN^^^MD^^^NPI"
READER = "1801889019&READER&IVAN&&&MD"
_control = count(1)


def stamp(moment: datetime) -> str:
    return moment.astimezone(ZONE).strftime("%Y%m%d%H%M%S")


@dataclass(frozen=True, slots=True)
class Story:
    """One exam of one patient: who, what is ordered, when it begins, and under which numbers it
    travels.
    """

    number: str
    last: str
    first: str
    member: str
    begins: datetime
    payer: str = "PHP^PRAIRIE HEALTH PLAN"
    code: str = "70553^MR BRAIN WO W"
    modality: str = "MR"
    room: str = "MR1"
    diagnosis: str = "R51.9^Headache, unspecified"
    reason: str = "headache, new focal weakness"
    technique: str = "Multiplanar sequences before and after 8 mL gadobutrol IV."
    findings: str = "No acute infarct. No enhancing mass. Ventricles of normal size."

    @property
    def accession(self) -> str:
        return f"ACC{self.number}"

    @property
    def mrn(self) -> str:
        return f"MRN{self.number}"

    @property
    def common(self) -> list[str]:
        return [
            (
                f"PID|1||{self.mrn}^^^{CENTER}^MR||{self.last}^{self.first}||19740611|F|||118 TEST"
                " ST^^SPRINGFIELD^IL^62701||^PRN^PH^^^217^5550142"
            ),
            f"PV1|1|O|{self.room}^^^{SITE}||||{ORDERER}|{ORDERER}",
        ]

    @property
    def insurance(self) -> str:
        fields = {
            1: "1",
            2: self.payer,
            3: self.payer.partition("^")[0],
            16: f"{self.last}^{self.first}",
            17: "SEL",
            18: "19740611",
            36: self.member,
        }
        return "IN1|" + "|".join(fields.get(n, "") for n in range(1, 37))

    def message(self, kind: str, *segments: str) -> bytes:
        head = f"MSH|^~\\&|RIS|{CENTER}|RCM|{CENTER}|{stamp(self.begins)}||{kind}|E{self.number}{next(_control):05d}|P|2.5.1"
        return "\r".join((head, *segments, "")).encode()

    def register(self) -> bytes:
        return self.message(
            "ADT^A04^ADT_A01", f"EVN|A04|{stamp(self.begins)}", *self.common, self.insurance
        )

    def order(self) -> bytes:
        return self.message(
            "ORM^O01^ORM_O01",
            *self.common,
            self.insurance,
            f"ORC|NW|ORD{self.number}^EMR|FIL{self.number}^RIS||SC||^^^{stamp(self.begins)}^^R||{stamp(self.begins - timedelta(days=1))}|||{ORDERER}",
            f"OBR|1|ORD{self.number}^EMR|FIL{self.number}^RIS|{self.code}^C4|||||||||^{self.reason}|||{ORDERER}||{self.accession}|RP1||{CENTER}|||{self.modality}|S",
            f"DG1|1||{self.diagnosis}^I10|||W",
        )

    def schedule(self) -> bytes:
        start, end = stamp(self.begins), stamp(self.begins + timedelta(minutes=45))
        return self.message(
            "SIU^S12^SIU_S12",
            f"SCH|ORD{self.number}|FIL{self.number}||||NEW^New^HL70276|EXAM|{self.modality}|45|min|^^45^{start}^{end}|||||||||SCHED1|||||Booked",
            *self.common,
            "RGS|1",
            f"AIS|1|A|{self.code}^C4|{start}||||45|min",
            f"AIL|1|A|{SITE}^{self.room}",
        )

    def _result(self, status: str, at: datetime, *rows: str) -> bytes:
        return self.message(
            "ORU^R01^ORU_R01",
            *self.common,
            f"ORC|RE|ORD{self.number}^EMR|FIL{self.number}^RIS||CM",
            f"OBR|1|ORD{self.number}^EMR|FIL{self.number}^RIS|{self.code}^C4|||{stamp(self.begins)}||||||^{self.reason}|||{ORDERER}||{self.accession}|RP1||{CENTER}"
            f"|{stamp(at)}||{self.modality}|{status}|||||||{READER}",
            *(f"OBX|{n}|TX|{row}||||||{status}" for n, row in enumerate(rows, 1)),
        )

    def preliminary(self, at: datetime) -> bytes:
        return self._result("P", at, "IMP^Impression^L||PRELIMINARY - not for billing")

    def final(self, at: datetime) -> bytes:
        """A report that says what the code needs: technique with the contrast, findings,
        impression, signature.
        """
        return self._result(
            "F",
            at,
            f"IND^Clinical indication^L||{self.reason.capitalize()}.",
            f"TECH^Technique^L||{self.technique}",
            "COMP^Comparison^L||None.",
            f"FIND^Findings^L||{self.findings}",
            "IMP^Impression^L||No acute abnormality.",
            "SIG^Signature^L||Electronically signed by Ivan Reader MD"
            f" {at.astimezone(ZONE):%Y-%m-%d %H:%M}",
        )


CHEST = {
    "code": "71046^XR CHEST 2 VIEWS",
    "modality": "DX",
    "room": "XR1",
    "diagnosis": "R05.9^Cough",
    "reason": "cough for three weeks",
    "technique": "PA and lateral, two views.",
    "findings": "Lungs clear. Heart of normal size.",
}
"""A study that needs no authorization: its story goes on without anybody."""

KNEE = CHEST | {
    "code": "73562^XR KNEE 3 VIEWS",
    "diagnosis": "M25.561^Pain in right knee",
    "reason": "knee pain after a twist",
    "technique": "Three views of the knee.",
    "findings": "No fracture. Joint space kept.",
}
"""A study of one side whose order and report name none: a coder has to look."""


class Sender:
    """One MLLP connection: `ask` sends a message and returns MSA-1 of its answer with the whole
    answer.
    """

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=30)

    def ask(self, message: bytes) -> tuple[str, str]:
        self.socket.sendall(b"\x0b" + message + b"\x1c\r")
        answer = b""
        while not answer.endswith(b"\x1c\r"):
            more = self.socket.recv(65536)
            assert more, "the listener hung up"
            answer += more
        text = answer[1:-2].decode()
        msa = next(line for line in text.split("\r") if line.startswith("MSA|"))
        return msa.split("|")[1], text

    def close(self) -> None:
        self.socket.close()
