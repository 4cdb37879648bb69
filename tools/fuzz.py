"""Feed damaged copies of small clips to probing, reading, writing and joining, for as long as wanted.

    python tools/fuzz.py --count 2000 --seed 1 --keep /tmp/culprits

The quick form of this is tests/media/test_fuzz.py. Every copy is made from the seed and its number alone.
"""

from __future__ import annotations

import argparse
import collections
import shutil
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from damaging import CLIPS, damaged_copies, make_clips, try_all


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--clips", nargs="*", choices=list(CLIPS), help="default: all")
    parser.add_argument("--limit", type=float, default=20.0, help="seconds per file")
    parser.add_argument("--keep", type=Path, default=Path("culprits"), help="folder for files that failed")
    given = parser.parse_args()
    outcomes: collections.Counter[str] = collections.Counter()
    failures = 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files = damaged_copies(make_clips(folder, given.clips), folder, given.count, given.seed)
        for trial in try_all(files, folder, limit_s=given.limit):
            if trial.failure is None:
                outcomes[trial.outcome if trial.outcome == "refused" else "processed"] += 1
                continue
            failures += 1
            given.keep.mkdir(parents=True, exist_ok=True)
            kept = given.keep / f"{given.seed}_{trial.path.name}"
            shutil.copyfile(trial.path, kept)
            kept.with_name(f"{kept.name}.txt").write_text(trial.failure)
            print(f"{kept}: {trial.failure.strip().splitlines()[-1]}", flush=True)
    print(f"{dict(outcomes)}, {failures} failures", flush=True)
    sys.exit(bool(failures))


if __name__ == "__main__":
    main()
