"""What modalities, information systems, partners and people tell us about an exam: plain facts,
before any row exists.

The HL7, DICOM and REST doors build these; `charges.services` records them. None or blank means "not
said", which never erases what another source said before.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

PRELIMINARY, FINAL, CORRECTED, CANCELLED = "P", "F", "C", "X"


@dataclass(frozen=True, slots=True)
class Keys:
    """What names an exam, in the order in which it is looked for: accession, filler number, placer
    number with MRN (rule `exam-match-order`).
    """

    accession: str = ""
    filler_number: str = ""
    placer_number: str = ""
    mrn: str = ""


@dataclass(frozen=True, slots=True)
class ContrastGiven:
    """Contrast as the technologist recorded it. `pre`/`post` say which series were acquired;
    amounts are millilitres.
    """

    route: str = ""
    agent: str = ""
    given_ml: Decimal | None = None
    wasted_ml: Decimal | None = None
    pre: bool | None = None
    post: bool | None = None


@dataclass(frozen=True, slots=True)
class SupplyGiven:
    """A supply or add-on as it was charged or consumed: units of the code's own unit."""

    code: str
    units: Decimal = Decimal(1)
    modifiers: tuple[str, ...] = ()
    credit: bool = False


@dataclass(frozen=True, slots=True)
class PerformedRecord:
    """One message about an exam that was (or is being) performed.

    `source` is mpps, oru, dft, api or screen. `status` is in_progress, completed or discontinued.
    `performed_at` is aware, or the site's wall clock when naive. `purchased`: net charge of a
    purchased reading. `pet`: {"strategy": initial|subsequent, "oncologic": bool,
    "prior_subsequent": n}.
    """

    organization_id: int
    source: str
    keys: Keys
    status: str = "completed"
    performed_at: datetime | None = None
    site_code: str = ""
    modality: str = ""
    code: str = ""
    laterality: str = ""
    station: str = ""
    study_uid: str = ""
    contrast: ContrastGiven | None = None
    views: int | None = None
    extent: str = ""
    supplies: tuple[SupplyGiven, ...] = ()
    addons: tuple[SupplyGiven, ...] = ()
    coded: tuple[tuple[str, tuple[str, ...]], ...] = ()
    """Every line as it was coded by the sender: the code and its modifiers."""
    diagnoses: tuple[str, ...] = ()
    pet: Mapping[str, object] | None = None
    preventive: bool | None = None
    for_safety: bool | None = None
    dose: Mapping[str, str] | None = None
    """CTDIvol (`ctdi_vol`, mGy), dose length product (`dlp`, mGy·cm) and area dose product (`area`,
    dGy·cm²), decimal text."""
    images: int | None = None
    """Images the modality made; None when it does not say."""
    interchange_id: int | None = None
    position: int = 0


@dataclass(frozen=True, slots=True)
class ReportRecord:
    """One version of a report as it arrived. `status` is P, F, C or X (OBR-25); `sections` by the
    names of `charges.report_check`.

    Times are aware, or the site's wall clock when naive.
    """

    organization_id: int
    keys: Keys
    status: str
    sections: Mapping[str, str]
    reported_at: datetime
    signed_at: datetime | None = None
    reader_npi: str = ""
    reader_name: str = ""
    code: str = ""
    modality: str = ""
    site_code: str = ""
    performed_at: datetime | None = None
    study_uid: str = ""
    laterality: str = ""
    station: str = ""
    interchange_id: int | None = None
    position: int = 0


@dataclass(frozen=True, slots=True)
class Recorded:
    """What became of one record. `exam_id` None: nothing matched, and `unsolicited_id` names what
    waits for a person instead.
    """

    exam_id: int | None
    new: bool = False
    changed: bool = False
    unsolicited_id: int | None = None
    sentence: str = ""
