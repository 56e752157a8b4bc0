"""`occhand doctor`."""

from __future__ import annotations

import json as json_module

from occhand.cli.console import EXIT_BAD_INPUT
from occhand.doctor import diagnose


def doctor(json: bool = False) -> int:
    """Say what is installed, found and missing, and the next step for each.

    Args:
        json: Print as JSON.
    """
    findings = diagnose()
    if json:
        print(json_module.dumps([finding._asdict() for finding in findings], indent=2))
    else:
        for finding in findings:
            print(f"{finding.state:8} {finding.what:16} {finding.detail}")
            if finding.next_step:
                print(f"{'':25} -> {finding.next_step}")
    return EXIT_BAD_INPUT if any(finding.state == "broken" for finding in findings) else 0
