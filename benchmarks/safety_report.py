"""How good the harm detectors are on the held-out half, by category and language, and how long a text takes.

    python benchmarks/safety_report.py [--count 9600] [--detector tiny]

Markdown goes to stdout. The small detector has never seen the held-out lines; the rules were written by people who
had, so that their rows say what the rules hold, not how they do on lines of others.
"""

from __future__ import annotations

import argparse
import time

from posterkit.datagen.safety_lines import HarmPairs
from posterkit.evaluation.harm_detectors import detector_table, judge_pairs, table_lines
from posterkit.safety.detectors import open_detector
from posterkit.safety.policies import open_policies

BRIEF = (
    'A quiet poster of a lighthouse at night on a navy background, with the title "NORTH LIGHT" at the top and a '
    'small line "From 6 May, tickets from $12" below. The light is soft, the sky is wide and empty.'
)
LINE = "Summer fair this Friday, free entry"


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--count", type=int, default=9600, help="pairs, half of them held out (default 9600)")
    options.add_argument("--detector", action="append", help="default: rules, tiny, and both")
    options.add_argument("--alarms", type=int, default=10, help="false alarms that are shown (default 10)")
    given = options.parse_args()
    source, policies = HarmPairs(0), open_policies()
    pairs = [pair for number in range(given.count) if (pair := source[number]).split == "heldout"]
    for spec in given.detector or ["rules", "tiny", "rules+tiny"]:
        detector = open_detector(spec, policies)
        print(f"\n### {spec}\n")
        judged = judge_pairs(detector, pairs)
        print("\n".join(table_lines(detector_table(judged))))
        alarms = [one for one in judged if one.flagged and not one.line.harmful]
        if alarms:
            print(f"\n{len(alarms)} false alarms, of which:\n")
        for one in alarms[:: max(1, len(alarms) // given.alarms)][: given.alarms]:
            print(f"- {one.line.text} ({one.found}, {one.p_harm:.2f})")
        for name, text in (("a line", LINE), ("a brief", BRIEF)):
            detector(text)
            times = []
            for _ in range(50):
                began = time.perf_counter()
                detector(text)
                times.append(time.perf_counter() - began)
            print(f"\n{name} of {len(text)} letters takes {1000 * sorted(times)[25]:.2f} ms (median of 50)")


if __name__ == "__main__":
    main()
