"""Schemathesis against a running server: all checks, many examples, then `prove`.

    make run                                  # in another window
    python bench/api_fuzz.py [EXAMPLES] [URL] [CLIENT] [SECRET] [SEED]

Prints the runner's own report; the exit code is the runner's. The client's rows are invented ones:
run it on a demo only.
"""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.parse
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DEFAULTS = (
    "1000",
    "http://127.0.0.1:8000",
    "demo-partner",
    "demo-partner-secret-for-play-only",
    "1",
)


def main() -> int:
    examples, url, client, secret, seed = (*sys.argv[1:6], *DEFAULTS[len(sys.argv) - 1 :])[:5]
    form = urllib.parse.urlencode(
        {"grant_type": "client_credentials", "client_id": client, "client_secret": secret}
    ).encode()
    with urllib.request.urlopen(f"{url}/api/v1/oauth/token", form, timeout=30) as answer:
        token = json.load(answer)["access_token"]
    runner = Path(sys.executable).with_name("schemathesis")
    done = subprocess.run(
        [
            str(runner),
            "run",
            f"{url}/api/v1/openapi.json",
            "-u",
            url,
            "-c",
            "all",
            "-n",
            examples,
            "--continue-on-failure",
            "--seed",
            seed,
            "--generation-database",
            "none",
            "-H",
            f"Authorization: Bearer {token}",
        ],
        check=False,
    )
    proof = subprocess.run([sys.executable, "manage.py", "prove"], cwd=ROOT, check=False)
    return done.returncode or proof.returncode


if __name__ == "__main__":
    raise SystemExit(main())
