#!/usr/bin/env python3
r"""A partner system's first day with the Isocenter API, from sign-in to the work that came of it.
Needs Python 3.9 and nothing else.

    python docs/partner_quickstart.py http://127.0.0.1:8000 demo-partner \
        demo-partner-secret-for-play-only

The third argument may stand in the variable ISOCENTER_SECRET instead. Every patient here is
invented.
"""

import base64
import datetime as dt
import json
import os
import sys
import urllib.error
import urllib.parse
import urllib.request
import uuid

BASE = (sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8000").rstrip("/") + "/api/v1"
CLIENT = sys.argv[2] if len(sys.argv) > 2 else "demo-partner"
SECRET = (
    sys.argv[3]
    if len(sys.argv) > 3
    else os.environ.get("ISOCENTER_SECRET", "demo-partner-secret-for-play-only")
)
TODAY = dt.date.today()


def call(method, path, body=None, *, form=False, **headers):
    """One request. Returns (status, answer, headers); a refusal is an answer like any other."""
    data = None
    if body is not None:
        data = (urllib.parse.urlencode(body) if form else json.dumps(body)).encode()
        headers["Content-Type"] = (
            "application/x-www-form-urlencoded" if form else "application/json"
        )
    request = urllib.request.Request(BASE + path, data=data, method=method, headers=headers)
    try:
        answer = urllib.request.urlopen(request, timeout=60)
    except urllib.error.HTTPError as refusal:
        answer = refusal
    with answer:
        return answer.status, json.loads(answer.read() or b"null"), answer.headers


def expect(status, answer, *wanted):
    if status not in wanted:
        sys.exit(f"Expected {wanted}, got {status}: {json.dumps(answer, indent=1)}")
    return answer


# 1. Sign in: client credentials, half an hour, no more scopes than you need.
status, token, _ = call(
    "POST",
    "/oauth/token",
    {
        "grant_type": "client_credentials",
        "client_id": CLIENT,
        "client_secret": SECRET,
        "scope": (
            "orders:read orders:write exams:read rules:read remittances:read remittances:write"
            " work:read"
        ),
    },
    form=True,
)
expect(status, token, 200)
ME = {"Authorization": f"Bearer {token['access_token']}"}
print(f"1. Signed in for {token['expires_in']} s with {len(token['scope'].split())} scopes")

# 2. Place an order, its patient and coverage in one write. The Idempotency-Key makes a repeat
# harmless: send the same key and body
#    again after a timeout and you get the first answer.
number = uuid.uuid4().hex[:10].upper()
order = {
    "placer_number": f"QS-{number}",
    "patient": {
        "mrn": f"QS{number}",
        "last_name": "Quickstart",
        "first_name": "Paula",
        "born_on": "1971-05-04",
        "sex": "F",
    },
    "coverages": [{"payer": "PHP", "member_id": "PRA123456789"}],
    "exams": [{"code": "70551"}],
    "ordering_npi": "1932102084",
    "ordering_last_name": "Referrer",
    "indication": "Headache with new weakness of the right arm",
    "diagnoses": ["R519"],
    "signed": True,
}
status, placed, _ = call("POST", "/orders", order, **ME, **{"Idempotency-Key": number})
expect(status, placed, 201)
status, again, headers = call("POST", "/orders", order, **ME, **{"Idempotency-Key": number})
expect(status, again, 201)
assert again["id"] == placed["id"] and headers["Idempotent-Replayed"] == "true"
print(f"2. Order {placed['placer_number']} is {placed['id']}; sent twice, placed once")

# 3. Read performed exams, newest first, page by page. The cursor is opaque: follow `next`.
seen, path = 0, "/exams?page_size=50"
while path and seen < 150:
    status, page, _ = call("GET", path, **ME)
    expect(status, page, 200)
    seen += len(page["results"])
    path = page["next"][page["next"].index("/exams") :] if page["next"] else ""
print(f"3. Read {seen} performed exams" + (" and there are more" if path else ""))

# 4. Ask what a payer should pay, and why.
question = {
    "payer": "MEDICARE",
    "date_of_service": TODAY.isoformat(),
    "pos": "11",
    "zip": "60601",
    "lines": [{"code": "70553"}, {"code": "72148"}],
}
status, quote, _ = call("POST", "/pricing/quote", question, **ME)
expect(status, quote, 200)
print(f"4. {quote['payer']} pays {quote['totals']['allowed']} for both; of the first line it says:")
for step in quote["lines"][0]["derivation"][:3]:
    print(f"   {step['text']}")

# 5. Send an 835. It is kept byte for byte, must balance to the cent, and the same file again
# changes nothing.
day = TODAY.strftime("%Y%m%d")
segments = [
    (
        "ISA*00*          *00*          *ZZ*QUICKPAYER     *ZZ*QUICKSTART    "
        f" *{day[2:]}*0800*^*00501*{int(number, 16) % 10**9:09d}*0*T*:"
    ),
    f"GS*HP*QUICKPAYER*QUICKSTART*{day}*0800*1*X*005010X221A1",
    "ST*835*0001",
    f"BPR*I*80*C*ACH*CCP*01*011000015*DA*0001*1512345678**01*071000013*DA*9988*{day}",
    f"TRN*1*QS{number}*1512345678",
    f"DTM*405*{day}",
    "N1*PR*QUICK PAYER*XV*QUICK1",
    "N3*1 MAIN ST",
    "N4*CHICAGO*IL*60601",
    "PER*BL*EDI DESK*TE*8005550100",
    "N1*PE*QUICKSTART IMAGING*XX*1679576722",
    "LX*1",
    f"CLP*QS{number}*1*100*80**12*ICN{number}",
    "NM1*QC*1*QUICKSTART*PAULA****MI*PRA123456789",
    f"DTM*232*{day}",
    "SVC*HC:70551*100*80**1",
    f"DTM*472*{day}",
    "CAS*CO*45*20",
    "AMT*B6*80",
]
segments += [f"SE*{len(segments) - 1}*0001", "GE*1*1", f"IEA*1*{int(number, 16) % 10**9:09d}"]
file = {
    "content": base64.b64encode(("~".join(segments) + "~").encode()).decode(),
    "file_name": f"{number}.835",
}
status, received, _ = call("POST", "/remittances", file, **ME)
expect(status, received, 201, 202)
for remittance in received["remittances"]:
    print(
        f"5. Remittance {remittance['trace']} of {remittance['amount']} is {remittance['status']}"
    )
status, repeated, _ = call("POST", "/remittances", file, **ME)
assert expect(status, repeated, 200)["repeated"] is True

# 6. See what stopped somewhere and waits for a person, nearest deadline first on their screen.
status, work, _ = call("GET", "/work-items?status=open&page_size=5", **ME)
expect(status, work, 200)
print(f"6. {len(work['results'])} of the newest work items:")
for item in work["results"]:
    print(f"   {item['queue']}: {item['title']}")

# 7. Follow the event feed from where you stopped; keep the last public_id.
status, events, _ = call("GET", "/events?page_size=3", **ME)
expect(status, events, 200)
last = events["results"][-1]["public_id"] if events["results"] else ""
status, later, _ = call("GET", f"/events?after={last}&page_size=3" if last else "/events", **ME)
expect(status, later, 200)
print(f"7. Events: first page of {len(events['results'])}, and on from {last or 'the start'}")

# 8. A refusal is problem+json: a title in plain words, a code for programs, and the fields with
# what to do.
status, refusal, headers = call("POST", "/orders", {"placer_number": "QS-WRONG"}, **ME)
expect(status, refusal, 400)
print(f"8. Refused as it should be: {refusal['title']} {[e['field'] for e in refusal['errors']]}")
