"""X12 5010 for an imaging billing office: read, write, balance, check against the guide.

Everything the rest of the product uses is importable from here; the vocabulary is
``rcm.x12.model``. Sources are bytes, a path or an open binary file. Readers are generators and
raise only ``NotX12`` (or its kind ``WrongSet``), each with a sentence; whatever else is wrong with
a file is a ``Finding`` on what they return.
"""

from __future__ import annotations

from rcm.x12.document import Document, raw_segments
from rcm.x12.model import Envelope, Finding, NotX12, Written, WrongSet
from rcm.x12.readers.acknowledgement import read_999, read_ta1
from rcm.x12.readers.authorization import read_278, read_278_requests, read_278_responses
from rcm.x12.readers.claim import read_837
from rcm.x12.readers.eligibility import read_270, read_271
from rcm.x12.readers.remittance import balance_835, read_835, stream_835
from rcm.x12.readers.status import read_276, read_277, read_277ca
from rcm.x12.writers.acknowledgement import acknowledge, write_999, write_ta1
from rcm.x12.writers.authorization import write_278_request, write_278_response
from rcm.x12.writers.claim import write_837i, write_837p
from rcm.x12.writers.eligibility import write_270, write_271
from rcm.x12.writers.remittance import write_835
from rcm.x12.writers.status import write_276, write_277, write_277ca

__all__ = [
    "Document",
    "Envelope",
    "Finding",
    "NotX12",
    "Written",
    "WrongSet",
    "acknowledge",
    "balance_835",
    "raw_segments",
    "read_270",
    "read_271",
    "read_276",
    "read_277",
    "read_277ca",
    "read_278",
    "read_278_requests",
    "read_278_responses",
    "read_835",
    "read_837",
    "read_999",
    "read_ta1",
    "stream_835",
    "write_270",
    "write_271",
    "write_276",
    "write_277",
    "write_277ca",
    "write_278_request",
    "write_278_response",
    "write_835",
    "write_837i",
    "write_837p",
    "write_999",
    "write_ta1",
]
