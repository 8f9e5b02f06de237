"""Lists known vulnerabilities of the pinned packages, by pip-audit; the exit code is 1 if there are some.

    python scripts/audit.py

Says "skipped" and ends with 0 where pip-audit is not installed or its service cannot be reached: a build without a
network is not thereby unsafe. The pins of torch and MuJoCo are asked about as on PyPI, whatever build is installed.
"""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SECONDS = 120


def main() -> int:
    """Audit; return the exit code."""
    if importlib.util.find_spec("pip_audit") is None:
        print("audit: skipped: pip-audit is not installed (pip install pip-audit)")
        return 0
    command = [sys.executable, "-m", "pip_audit", "--requirement", str(ROOT / "constraints.txt"), "--no-deps"]
    command += ["--disable-pip", "--progress-spinner", "off", "--format", "json"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
    except subprocess.TimeoutExpired:
        print(f"audit: skipped: no answer from the vulnerability service within {SECONDS} s")
        return 0
    try:
        packages = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError, TypeError):
        reason = done.stderr.strip().splitlines()[-1:] or ["no answer"]
        print(f"audit: skipped: the vulnerability service cannot be reached ({reason[0][:200]})")
        return 0
    known = [package for package in packages if "skip_reason" not in package]
    found = [(package, flaw) for package in known for flaw in package.get("vulns", ())]
    for package, flaw in found:
        remedy = ", ".join(flaw.get("fix_versions", ())) or "none yet"
        print(f"audit: {package['name']} {package['version']}: {flaw['id']}; repaired in: {remedy}")
    if not known:  # pip-audit itself would say that no vulnerabilities are known
        print(f"audit: skipped: the service knows none of the {len(packages)} packages")
    else:
        print(f"audit: {len(known)} of {len(packages)} packages looked up, {len(found)} known vulnerabilities")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
