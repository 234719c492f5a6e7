"""Time to start: `import anomalign` and `anomalign --help`, whole processes, beside an empty Python process.

python benchmarks/startup.py [--runs 15]
"""

import argparse
import statistics
import subprocess
import sys
import sysconfig
import time
from pathlib import Path


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure how long `import anomalign` and `anomalign --help` take.")
    parser.add_argument("--runs", type=int, default=15)
    options = parser.parse_args()
    commands = {
        "python -c pass": [sys.executable, "-c", "pass"],
        "import anomalign": [sys.executable, "-c", "import anomalign"],
        "from anomalign import Bank, Detector": [sys.executable, "-c", "from anomalign import Bank, Detector"],
        "anomalign --help": [str(Path(sysconfig.get_path("scripts")) / "anomalign"), "--help"],
    }
    times: dict[str, list[float]] = {name: [] for name in commands}
    for number in range(options.runs + 1):
        for name, command in commands.items():
            start = time.perf_counter()
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            if number:  # the first round fills caches
                times[name].append(time.perf_counter() - start)
    for name, seconds in times.items():
        print(f"{name:<38} median {statistics.median(seconds):.3f} s   ({min(seconds):.3f} .. {max(seconds):.3f})")


if __name__ == "__main__":
    main()
