"""Master data of the demo: two imaging groups with five sites in five states, machines, readers,
arrangements, prices, contracts, connections.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from charges.models import BillingArrangement, ContrastStock, Reader, ReadingGroup, Scanner
from rcm.accounts.actor import Actor
from rcm.accounts.clock import office_clock
from rcm.accounts.models import Organization, Site
from rcm.accounts.scope import scope
from rcm.demo.catalogue import FLAT, LIST_TIMES, PAID_SHARE, STUDIES
from rcm.exchange.models import Connection, ConnectionKind
from rcm.exchange.transport import SIMULATOR
from rcm.network.models import NetworkSpan, Party, Standing
from rcm.pricing.models import ContractRate, FeeRow, ListPrice
from rcm.pricing.services import contract_create
from rcm.reference.models import Payer, Provider
from rcm.simulator.habits import habit

SINCE = date(2026, 1, 1)
TURN = date(2026, 7, 1)
STORIES = (
    (Standing.PENDING, Standing.IN),
    (Standing.IN, Standing.OUT),
    (Standing.NONE, Standing.PENDING),
)
"""How we stood and stand with payers of whom we have hardly any patient."""
CENT = Decimal("0.01")
HOUSE = "CLRHOUSE"


def npi(number: int) -> str:
    """The NPI whose first nine digits are `number`: with its check digit (Luhn over 80840 and the
    number).
    """
    digits = f"{number:09d}"
    total = 24 + sum(
        sum(divmod(int(d) * (2 if i % 2 == 0 else 1), 10)) for i, d in enumerate(reversed(digits))
    )
    return f"{digits}{-total % 10}"


@dataclass(frozen=True, slots=True)
class Place:
    """A site of the demo. `share` of the organization's visits; `payers` its mix, in parts."""

    code: str
    name: str
    address: str
    city: str
    state: str
    zip: str
    zone: str
    share: int
    modalities: tuple[str, ...]
    payers: dict[str, int]
    pos: str = "11"
    home_zips: tuple[str, ...] = ()


ALL = ("MR", "CT", "PET", "US", "XR", "MG")
PLACES: dict[str, tuple[Place, ...]] = {
    "IMGCTR01": (
        Place(
            "IMGCTR01-MAIN",
            "Springfield Imaging",
            "700 Capitol Ave",
            "Springfield",
            "IL",
            "627011503",
            "America/Chicago",
            50,
            ALL,
            {"MCR": 30, "GMA": 8, "PSM": 8, "PHP": 26, "LBI": 10, "SMB": 6, "KWF": 2, "SELF": 3},
            home_zips=("62701", "62702", "62703", "62704"),
        ),
        Place(
            "IMGCTR01-DALLAS",
            "Dallas Imaging",
            "4200 Elm St",
            "Dallas",
            "TX",
            "752042118",
            "America/Chicago",
            30,
            ("MR", "CT", "US", "XR", "MG"),
            {"MCR": 26, "GMA": 8, "LBI": 24, "SMB": 14, "PHP": 10, "KWF": 8, "SELF": 5},
            home_zips=("75201", "75204", "75219", "75230"),
        ),
        Place(
            "IMGCTR01-TAMPA",
            "Tampa Hospital Reading",
            "1 Harbor Dr",
            "Tampa",
            "FL",
            "336074652",
            "America/New_York",
            20,
            ("CT", "US", "XR"),
            {"MCR": 36, "GMA": 14, "HCC": 22, "LBI": 14, "SMB": 8, "SELF": 2},
            pos="22",
            home_zips=("33602", "33607", "33612"),
        ),
    ),
    "BAYSIDE": (
        Place(
            "BAYSIDE-SF",
            "Bayside San Francisco",
            "55 Mission St",
            "San Francisco",
            "CA",
            "941033117",
            "America/Los_Angeles",
            58,
            ALL,
            {"MCR": 26, "GMA": 6, "CFH": 34, "SMB": 16, "LBI": 10, "SELF": 4},
            home_zips=("94102", "94103", "94110", "94114"),
        ),
        Place(
            "BAYSIDE-BK",
            "Bayside Brooklyn",
            "300 Court St",
            "Brooklyn",
            "NY",
            "112012740",
            "America/New_York",
            42,
            ("MR", "CT", "US", "XR", "MG"),
            {"MCR": 28, "GMA": 6, "LBI": 34, "SMB": 12, "HCC": 8, "KWF": 3, "SELF": 3},
            home_zips=("11201", "11215", "10003"),
        ),
    ),
}
NAMES = {
    "IMGCTR01": (
        "Imaging Centers of Illinois",
        167957672,
        "371234567",
        "700 Capitol Ave",
        "Springfield",
        "IL",
        "627011503",
        "2175550100",
    ),
    "BAYSIDE": (
        "Bayside Imaging Group",
        183146025,
        "943216549",
        "55 Mission St",
        "San Francisco",
        "CA",
        "941033117",
        "4155550110",
    ),
}
READERS: dict[str, tuple[tuple[str, str, tuple[tuple[str, str], ...]], ...]] = {
    # group name, relation, readers
    "IMGCTR01": (
        (
            "Prairie Radiologists",
            "reassigned",
            (("Reader", "Ivan"), ("Holm", "Greta"), ("Okafor", "Ada")),
        ),
        ("Lone Star Radiology Partners", "independent", (("Reyes", "Luis"), ("Nguyen", "Kim"))),
        ("Night Owl Teleradiology", "purchased", (("Stone", "Mara"),)),
    ),
    "BAYSIDE": (
        (
            "Bayside Radiologists",
            "employee",
            (("Chen", "Laura"), ("Rossi", "Marco"), ("Patel", "Anya")),
        ),
    ),
}
FIRST_READER_NPI = "1801889019"  # Ivan Reader, whom the sample messages of docs/samples name


@dataclass(slots=True)
class World:
    """The rows that the calendar needs again and again."""

    organizations: dict[str, Organization] = field(default_factory=dict)
    sites: dict[str, Site] = field(default_factory=dict)
    readers: dict[str, list[Provider]] = field(default_factory=dict)
    orderers: list[Provider] = field(default_factory=list)


def world_make(*, simulator: str, actor_name: str = "set-up") -> World:
    """Create all master data. `simulator` is the address under which the payers answer now."""
    world = World()
    for code, (name, number, tin, address, city, state, zip_code, phone) in NAMES.items():
        world.organizations[code] = Organization.objects.create(
            code=code,
            name=name,
            npi=npi(number),
            tin=tin,
            address=address,
            city=city,
            state=state,
            zip=zip_code,
            phone=phone,
            contact="Billing office",
        )
    actor = Actor.system(actor_name, [o.pk for o in world.organizations.values()])
    with scope(actor):
        for n, (code, organization) in enumerate(world.organizations.items()):
            for m, place in enumerate(PLACES[code]):
                world.sites[place.code] = Site.objects.create(
                    organization=organization,
                    code=place.code,
                    name=place.name,
                    npi=npi(145700000 + n * 100 + m),
                    address=place.address,
                    city=place.city,
                    state=place.state,
                    zip=place.zip,
                    phone=organization.phone,
                    time_zone=place.zone,
                    pos=place.pos,
                    mqsa=f"23{n}{m}01" if "MG" in place.modalities else "",
                )
            _machines(organization, world)
        _orderers(world)
        for n, (code, organization) in enumerate(world.organizations.items()):
            _readers(code, n, organization, world)
            _payers(organization, world, _prices(organization), actor)
            connections_make(organization, simulator)
    return world


def world_load() -> World:
    """The same rows, read again by another process. Call in a scope of all organizations."""
    world = World(
        {o.code: o for o in Organization.objects.all()},
        {s.code: s for s in Site.objects.select_related("organization")},
    )
    for code, site in world.sites.items():
        rows = (
            Reader.objects.filter(organization=site.organization)
            .select_related("provider", "group")
            .order_by("id")
        )
        relation = {"IMGCTR01-DALLAS": "independent"}.get(code)
        own = [
            r
            for r in rows
            if (
                r.group.relation == relation
                if relation
                else r.group.relation in ("reassigned", "employee")
            )
        ]
        world.readers[code] = [r.provider for r in own]
        world.readers[f"{code}:purchased"] = [
            r.provider for r in rows if r.group.relation == "purchased"
        ]
    world.orderers = list(Provider.objects.filter(practice__startswith="Demo ").order_by("id"))
    return world


def _machines(organization: Organization, world: World) -> None:
    rows = []
    for place in PLACES[organization.code]:
        for modality in place.modalities:
            station = f"{place.code.split('-')[1]}{modality}1"
            rows.append(
                Scanner(
                    organization=organization,
                    site=world.sites[place.code],
                    station=station,
                    modality=modality,
                    name=f"{modality} 1 {place.city}",
                    film=place.code == "IMGCTR01-TAMPA" and modality == "XR",
                    computed_radiography=place.code == "IMGCTR01-DALLAS" and modality == "XR",
                    xr29=not (place.code == "BAYSIDE-BK" and modality == "CT"),
                    effective_from=SINCE,
                )
            )
    Scanner.objects.bulk_create(rows)
    ContrastStock.objects.bulk_create(
        ContrastStock(
            organization=organization,
            agent=agent,
            code=code,
            single_dose=organization.code == "BAYSIDE" and code == "A9585",
            effective_from=SINCE,
        )
        for agent, code in (("gadobutrol", "A9585"), ("Omnipaque 350", "Q9967"))
    )


def _orderers(world: World) -> None:
    names = (
        ("Referrer", "Ann"),
        ("Vale", "Tom"),
        ("Brook", "Lia"),
        ("Ridge", "Sam"),
        ("Field", "Joan"),
        ("Marsh", "Omar"),
        ("Glen", "Ruth"),
        ("Heath", "Paul"),
        ("Cliff", "Dana"),
        ("Lake", "Igor"),
    )
    for n, (last, first) in enumerate(names):
        number = "1932102084" if n == 0 else npi(172450000 + n)
        row, _ = Provider.objects.update_or_create(
            npi=number,
            defaults={
                "last_name": last,
                "first_name": first,
                "credentials": "MD",
                "taxonomy": "207Q00000X",
                "phone": f"21755504{n:02d}",
                "practice": f"Demo Practice {n + 1}",
            },
        )
        world.orderers.append(row)


def _readers(code: str, n: int, organization: Organization, world: World) -> None:
    """Groups, readers, and who owns the scanner and who reads at each site (rule `arrangement`):
    global, TC only, 26 only, split, purchased.
    """
    groups: dict[str, ReadingGroup] = {}
    for g, (name, relation, members) in enumerate(READERS[code]):
        home = PLACES[code][min(g, len(PLACES[code]) - 1)]
        city, state, zip_code = (
            ("Chicago", "IL", "606015927")
            if relation == "purchased"
            else (home.city, home.state, home.zip)
        )
        group = ReadingGroup.objects.create(
            organization=organization,
            name=name,
            npi=npi(136400000 + n * 100 + g),
            tin=f"36000{n}{g:03d}",
            relation=relation,
            address="1 Reading Room",
            city=city,
            state=state,
            zip=zip_code,
        )
        groups[relation] = group
        for m, (last, first) in enumerate(members):
            number = (
                FIRST_READER_NPI
                if (code, g, m) == ("IMGCTR01", 0, 0)
                else npi(180188000 + n * 1000 + g * 100 + m)
            )
            provider, _ = Provider.objects.update_or_create(
                npi=number,
                defaults={
                    "last_name": last,
                    "first_name": first,
                    "credentials": "MD",
                    "taxonomy": "2085R0202X",
                    "practice": name,
                },
            )
            Reader.objects.create(
                organization=organization, group=group, provider=provider, credentialed_from=SINCE
            )
    rows = []
    for place in PLACES[code]:
        site = world.sites[place.code]
        base = {"organization": organization, "site": site, "effective_from": SINCE}
        if place.pos == "22":
            # the hospital owns the scanner: we bill the reading only
            rows.append(
                BillingArrangement(
                    **base,
                    equipment_owner="hospital",
                    tech_employer="hospital",
                    reader_relation="reassigned",
                    group=groups["reassigned"],
                )
            )
            continue
        for relation, group in groups.items():
            rows.append(
                BillingArrangement(
                    **base,
                    reader_relation=relation,
                    group=group,
                    **(
                        {"anti_markup": True, "purchase_price": Decimal("45.00")}
                        if relation == "purchased"
                        else {}
                    ),
                )
            )
    BillingArrangement.objects.bulk_create(rows)


def _prices(organization: Organization) -> dict[tuple[str, str], Decimal]:
    """The center's own charges: three times the public fee, whole dollars. Returns those without a
    public fee.
    """
    unlisted = {
        (name.partition("-")[0], name.partition("-")[2]): Decimal(dollars)
        for name, dollars in FLAT.items()
    }
    codes = (
        {s.code for s in STUDIES}
        | {s.other for s in STUDIES if s.other}
        | {s.addon for s in STUDIES if s.addon}
    )
    rows = {}
    for fee in FeeRow.objects.filter(code__in=codes, year=2026, schedule="mpfs", status="A"):
        total = (fee.work or 0) + (fee.pe_nonfac or 0) + (fee.mp or 0)
        amount = (total * (fee.conversion_factor or Decimal("33.4")) * LIST_TIMES).quantize(
            Decimal(1), ROUND_HALF_UP
        )
        rows[(fee.code, fee.mod)] = max(amount, Decimal(10))
    for code in sorted({code for code, _ in rows}):
        # some tests have a public fee for the whole only
        whole = rows.get((code, ""))
        if whole is not None and (code, "26") not in rows:
            rows[(code, "26")] = (whole * Decimal("0.3")).quantize(Decimal(1), ROUND_HALF_UP)
            rows[(code, "TC")] = whole - rows[(code, "26")]
            unlisted.update({(code, "26"): rows[(code, "26")], (code, "TC"): rows[(code, "TC")]})
    rows |= unlisted
    ListPrice.objects.bulk_create(
        ListPrice(organization=organization, code=c, mod=m, amount=a, effective_from=SINCE)
        for (c, m), a in rows.items()
    )
    return unlisted


def _network(organization: Organization, sites: list[Site], payers: list[Payer]) -> None:
    """Everybody is in network with the payers of our patients; with a few others not yet."""
    readers = Reader.objects.filter(organization=organization).order_by("pk")
    npis = list(dict.fromkeys(readers.values_list("provider__npi", flat=True)))
    parties: list[tuple[str, Site | None, str]] = [
        (Party.ORGANIZATION, None, organization.npi),
        *((Party.SITE, site, "") for site in sites),
        *((Party.READER, None, number) for number in npis),
    ]
    others = Payer.objects.filter(active=True).exclude(kind="self_pay")
    known = office_clock().begins(SINCE)

    def span(party: tuple[str, Site | None, str], payer: Payer, **told: Any) -> NetworkSpan:
        kind, site, number = party
        return NetworkSpan(
            organization=organization,
            kind=kind,
            site=site,
            npi=number,
            payer=payer,
            recorded_by="Demo",
            recorded_at=known,
            **told,
        )

    rows = [
        span(party, payer, status=Standing.IN, effective_from=SINCE)
        for party in parties
        for payer in payers
    ]
    strangers = others.exclude(pk__in=[p.pk for p in payers]).order_by("code")[:3]
    for payer, (before, after) in zip(strangers, STORIES, strict=False):
        rows.append(span(parties[1], payer, status=Standing.IN, effective_from=SINCE))
        for party in parties[:1] + parties[2:]:
            rows += [
                span(
                    party,
                    payer,
                    status=before,
                    effective_from=SINCE,
                    effective_to=TURN - timedelta(days=1),
                    ended_by="Demo",
                    ended_at=known,
                    note="Application sent",
                ),
                span(party, payer, status=after, effective_from=TURN),
            ]
    NetworkSpan.objects.bulk_create(rows, batch_size=500)


def _payers(
    organization: Organization, world: World, unlisted: dict[tuple[str, str], Decimal], actor: Actor
) -> None:
    """Network, enrollment and contracts. Each contract says what its payer really pays, so that a
    difference is the payer's doing.
    """
    used = {code for place in PLACES[organization.code] for code in place.payers} | {"ESB"}
    payers = {p.code: p for p in Payer.objects.filter(code__in=used)}
    sites = [world.sites[p.code] for p in PLACES[organization.code]]
    _network(organization, sites, [p for p in payers.values() if p.kind != "self_pay"])
    for p in payers.values():
        if p.kind == "self_pay":
            continue
        h = habit(p.edi_id)
        medicare = p.kind == "medicare"
        terms: dict[str, object] = {
            "percent": str(h.percent * 100),
            "equipment_reductions": True,
            "sequestration": medicare,
            "lesser_of": True,
        }
        terms |= (
            {"mppr_scope": "none"}
            if h.no_mppr
            else {
                "mppr_scope": "group",
                "mppr_pc_pct": "95",
                "mppr_tc_pct": "50",
                "mppr_cardio_tc_pct": "75",
            }
        )
        contract = contract_create(
            organization_id=organization.pk,
            payer=p,
            name=f"{p.name} 2026",
            method="percent_of_medicare",
            terms=terms,
            effective_from=SINCE,
            actor=actor,
        )
        rates = [
            ContractRate(
                organization=organization,
                contract=contract,
                code=code,
                mod=part or "global",
                method="flat",
                amount=(dollars * Decimal(PAID_SHARE)).quantize(CENT),
                effective_from=SINCE,
            )
            for (code, part), dollars in unlisted.items()
        ]
        ContractRate.objects.bulk_create(rates)


# --- partners -------------------------------------------------------------------------------------


def connections_make(organization: Organization, simulator: str) -> None:
    """HL7, DICOM, upload, and the clearinghouse: at once, in batches, and its mailbox."""
    code = organization.code
    common = {"organization": organization}
    payer = {"receiver": HOUSE, "submitter": code}
    Connection.objects.bulk_create(
        [
            Connection(
                **common, kind=ConnectionKind.MLLP, name=f"{code} RIS", sender=f"RIS|{code}"
            ),
            Connection(
                **common,
                kind=ConnectionKind.DICOM,
                name=f"{code} modalities",
                sender=f"{code[:8]}AE",
            ),
            Connection(**common, kind=ConnectionKind.UPLOAD, name="Files by hand"),
            Connection(
                **common,
                kind=ConnectionKind.HTTP,
                name="Clearinghouse, at once",
                url=f"{simulator}/x12/realtime",
                config={**payer, "sets": ["270", "276", "278"]},
            ),
            Connection(
                **common,
                kind=ConnectionKind.HTTP,
                name="Clearinghouse, batches",
                url=f"{simulator}/x12/batch",
                config={
                    **payer,
                    "sets": ["837P", "837I", "275"],
                    "mailbox": f"{simulator}/x12/mailbox/{code}",
                },
            ),
        ]
    )


def final_address() -> str:
    """The payer simulator by name: its port may be another one tomorrow."""
    return f"http://{SIMULATOR}"
