"""Random damage to X12 files: nothing but NotX12 may come out of a reader, and no file may take
long.

    python bench/fuzz_x12.py [runs per seed file] [random seed] [folder of X12 files]

Each reader is a target; every mutant goes to the reader of its set, to the facts of the command and
to the tokeniser. The seeds are the product's own files and, when given, those of a folder. A
failing mutant is written beside the script's output as ``crash-<n>.x12``. The suite runs a short
one of this.
"""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "bench")]

from x12_files import ENVELOPE, RECEIVER, SUBMITTER, claims, remittance  # noqa: E402

from rcm import x12  # noqa: E402
from rcm.x12.facts import describe  # noqa: E402

SECONDS_PER_100_KB = 1.0


def own_seeds() -> list[bytes]:
    """Small files of the product's own making."""
    return [
        b"".join(remittance(3)),
        x12.write_837p(ENVELOPE, claims(3), submitter=SUBMITTER, receiver=RECEIVER).data,
        x12.write_837i(ENVELOPE, claims(2), submitter=SUBMITTER, receiver=RECEIVER).data,
        (
            b"ISA*00*          *00*          *ZZ*A              *ZZ*B             "
            b" *261102*1015*^*00501*000000001*0*T*:~GS*HB*A*B*20261102*1015*1*X*005010X279A1~ST*271*0001*005010X279A1~BHT*0022*11*1*20261102*1015~HL*1**20*1~NM1*PR*2*ACME*****PI*60054~HL*2*1*21*1~NM1*1P*2*BAYSIDE*****XX*1234567893~HL*3*2*22*0~TRN*2*T1*9123456789~NM1*IL*1*DOE*JANE****MI*W1~DMG*D8*19800214*F~EB*1**30^4**PLAN~EB*B**4***27*50~MSG*NO"
            b" REFERRAL~AAA*N**42*C~SE*17*0001~GE*1*1~IEA*1*000000001~"
        ),
        (
            b"ISA*00*          *00*          *ZZ*A              *ZZ*B             "
            b" *261102*1015*^*00501*000000002*0*T*:~"
            b"GS*HN*A*B*20261102*1015*1*X*005010X214~ST*277*0001*005010X214~BHT*0085*08*1*20261102*1015*TH~HL*1**20*1~"
            b"NM1*PR*2*ACME*****PI*60054~TRN*1*1~DTP*050*D8*20261102~HL*2*1*21*1~NM1*41*2*BAYSIDE*****46*1~TRN*2*B1~"
            b"STC*A1:19:PR*20261102*WQ*850~HL*3*2*19*1~NM1*85*2*BAYSIDE*****XX*1234567893~HL*4*3*PT~NM1*QC*1*DOE*JANE****MI*W1~"
            b"TRN*2*ACC1-1~STC*A7:562:85*20261102*U*850~REF*1K*ICN1~DTP*472*D8*20261028~SVC*HC:72148*850~STC*A7:21*20261102*U~"
            b"SE*21*0001~GE*1*1~IEA*1*000000002~"
        ),
        (
            b"ISA*00*          *00*          *ZZ*A              *ZZ*B             "
            b" *261102*1015*^*00501*000000003*0*T*:~"
            b"TA1*000000101*261102*1015*A*000~GS*FA*A*B*20261102*1015*1*X*005010X231A1~ST*999*0001*005010X231A1~"
            b"AK1*HC*101*005010X222A1~AK2*837*0001*005010X222A1~IK3*CLM*22*2300*8~CTX*CLM01:ACC1-1~IK4*5:1*1331*7*XX~IK5*R*5~"
            b"AK9*R*1*1*0~SE*9*0001~GE*1*1~IEA*1*000000003~"
        ),
        (
            b"ISA*00*          *00*          *ZZ*A              *ZZ*B             "
            b" *261102*1015*^*00501*000000004*0*T*:~"
            b"GS*HI*A*B*20261102*1015*1*X*005010X217~ST*278*0001*005010X217~BHT*0007*11*1*20261102*1015*18~HL*1**20*1~"
            b"NM1*X3*2*ACME*****PI*60054~HL*2*1*21*1~NM1*1P*2*BAYSIDE*****XX*1234567893~HL*3*2*22*1~NM1*IL*1*DOE*JANE****MI*W1~"
            b"HL*4*3*EV*1~TRN*2*T1*9123456789~UM*HS*I*4*11:B~HCR*A1*PA1~DTP*AAH*RD8*20261101-20261130~HI*ABK:M5416~HL*5*4*SS*0~"
            b"HCR*A2*PA1*0U~SV1*HC:72148*850*UN*1~AAA*N**15*C~SE*19*0001~GE*1*1~IEA*1*000000004~"
        ),
    ]


def folder_seeds(folder: Path) -> list[bytes]:
    return [
        path.read_bytes()[:120_000]
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.suffix != ".json"
    ]


def mutants(seed: bytes, dice: random.Random) -> Iterator[bytes]:
    """Endless damage: flipped, cut, doubled, swapped and foreign bytes, segments and separators."""
    odd = (
        b"\x00",
        b"\xff",
        b"~",
        b"*",
        b":",
        b"^",
        b"ISA*",
        b"\n",
        b"\x1d",
        b"\xef\xbb\xbf",
        b"NaN",
        b"1E999999",
        b"-",
        b"*" * 50,
        b"99999999999999999999",
        "ü€１".encode(),
        b"\xf0\x28",
        b" " * 200,
        b"HL*1*1*22*1~",
        b"SE*1*1~",
        b"ST*835*1~",
        b"CLP~",
        b"SVC~",
        b"CAS~",
        b"PLB~",
        b"NM1~",
        b"EB~",
        b"STC~",
        b"AAA~",
        b"UM~",
        b"HCR~",
        b"CLM~",
        b"LX~",
        b"SBR~",
    )
    while True:
        data = bytearray(seed)
        for _ in range(dice.choice((1, 1, 2, 4, 12))):
            if not data:
                break
            at = dice.randrange(len(data))
            kind = dice.randrange(9)
            if kind == 0:
                data[at] = dice.randrange(256)
            elif kind == 1:
                del data[at : at + dice.choice((1, 2, 20, 400))]
            elif kind == 2:
                data[at:at] = dice.choice(odd)
            elif kind == 3:
                data = data[: at + 1]
            elif kind == 4:
                data = data[at:]
            elif kind == 5:
                segments = bytes(data).split(b"~")
                i, j = dice.randrange(len(segments)), dice.randrange(len(segments))
                segments[i], segments[j] = segments[j], segments[i]
                data = bytearray(b"~".join(segments))
            elif kind == 6:
                segments = bytes(data).split(b"~")
                i = dice.randrange(len(segments))
                segments[i:i] = [segments[i]] * dice.choice((1, 2, 30))
                data = bytearray(b"~".join(segments))
            elif kind == 7:
                a, b = dice.sample(b"~*:^0123456789 ", 2)
                data = bytearray(
                    bytes(data).translate(bytes.maketrans(bytes((a, b)), bytes((b, a))))
                )
            else:
                segments = bytes(data).split(b"~")
                i = dice.randrange(len(segments))
                elements = segments[i].split(b"*")
                elements[dice.randrange(len(elements))] = dice.choice(odd)
                segments[i] = b"*".join(elements)
                data = bytearray(b"~".join(segments))
        yield bytes(data)


TARGETS: dict[str, Callable[[bytes], object]] = {
    "facts": lambda data: describe(data),
    "835": lambda data: [item.findings for item in x12.read_835(data)],
    "837": lambda data: list(x12.read_837(data)),
    "270": lambda data: list(x12.read_270(data)),
    "271": lambda data: list(x12.read_271(data)),
    "276": lambda data: list(x12.read_276(data)),
    "277": lambda data: list(x12.read_277(data)),
    "278": lambda data: list(x12.read_278(data)),
    "999": lambda data: list(x12.read_999(data)),
    "TA1": lambda data: list(x12.read_ta1(data)),
    "raw": lambda data: x12.raw_segments(data, 1, 5),
    "acknowledge": lambda data: x12.acknowledge(data),
}


def run(
    seeds: list[bytes],
    runs: int,
    number: int,
    on_failure: Callable[[str, bytes, BaseException], None],
) -> int:
    """``runs`` mutants of each seed through every target; the number of target runs."""
    done = 0
    for place, seed in enumerate(seeds):
        dice = random.Random(f"{number}/{place}")
        source = mutants(seed, dice)
        for _ in range(runs):
            data = next(source)
            for name, target in TARGETS.items():
                start = time.process_time()  # what else the machine does is not the reader's
                try:
                    target(data)
                except x12.NotX12:
                    pass
                except BaseException as error:
                    on_failure(name, data, error)
                taken = time.process_time() - start
                if taken > SECONDS_PER_100_KB * max(1.0, len(data) / 100_000):
                    on_failure(name, data, TimeoutError(f"{taken:.2f} s for {len(data)} bytes"))
                done += 1
    return done


def main() -> None:
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 500
    number = int(sys.argv[2]) if len(sys.argv) > 2 else 1
    seeds = own_seeds() + (folder_seeds(Path(sys.argv[3])) if len(sys.argv) > 3 else [])
    failures: list[str] = []

    def report(name: str, data: bytes, error: BaseException) -> None:
        failures.append(name)
        path = Path(f"crash-{len(failures)}.x12")
        path.write_bytes(data)
        print(f"{name}: {type(error).__name__}: {error} ({path})")
        if len(failures) >= 20:
            raise SystemExit("too many failures")

    start = time.perf_counter()
    done = run(seeds, runs, number, report)
    taken = time.perf_counter() - start
    print(
        f"seed {number}: {done:,} runs over {len(seeds)} files in {taken:.0f} s"
        f" ({done / taken:,.0f} runs/s), {len(failures)} failures"
    )
    raise SystemExit(1 if failures else 0)


if __name__ == "__main__":
    main()
