"""Known vulnerabilities of the packages in a folder: ``make audit``.

    python tests/support/audit.py SITE-PACKAGES

pip-audit ends well where the registry knows none of the packages, as behind a mirror that has
files alone. So each that it could not look up is a fault here, but our own, which nobody has yet.
"""

import json
import subprocess
import sys

OWN = {"layerdropback"}


def faults(report):
    """What is wrong, a line each, of pip-audit's JSON."""
    for package in report["dependencies"]:
        name = package["name"]
        if "skip_reason" in package and name not in OWN:
            yield f"{name} could not be looked up: {package['skip_reason']}"
        for found in package.get("vulns", ()):
            fixed = ", ".join(found["fix_versions"]) or "no release"
            yield f"{name} {package['version']}: {found['id']}, mended in {fixed}"


def main():
    command = [sys.executable, "-m", "pip_audit", "--format", "json", "--progress-spinner", "off"]
    done = subprocess.run([*command, "--path", sys.argv[1]], stdout=subprocess.PIPE, check=False)
    try:
        report = json.loads(done.stdout)
    except ValueError:
        sys.exit(f"pip-audit ended with {done.returncode} and without a report")
    found = list(faults(report))
    print(f"{len(report['dependencies'])} packages, {len(found)} faults")
    sys.exit("\n".join(found) or None)


if __name__ == "__main__":
    main()
