"""Kill a small journey at random moments until it ends, again and again.

python -m tests.resume --kills=50
"""

import argparse
import json
import pathlib
import tempfile

from tests.resume import runs


def main() -> None:
    """Run as the flags say."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=pathlib.Path)
    asked = parser.parse_args()
    folder = asked.folder or pathlib.Path(tempfile.mkdtemp(prefix="greennas_kills_"))
    found = runs.study(folder, asked.kills, asked.seed, lambda line: print(line, flush=True))
    print(json.dumps(found))
    if found["identical"] != found["runs"]:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
