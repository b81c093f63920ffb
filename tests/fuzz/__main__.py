"""Throw hostile inputs at every reader and program, and count what becomes of them.

python -m tests.fuzz --inputs=20000 --processes=2

Every subject runs in a process of its own. A fault is printed with the command that repeats it.
"""

import argparse
import collections
import json
import os
import pathlib
import resource
import subprocess
import sys
import time
from concurrent import futures

from tests.fuzz import harness


def work(task: tuple[str, int, int, int]) -> dict:
    """Judge some inputs of one subject in this process."""
    name, seed, start, count = task
    from tests.fuzz import programs, subjects

    subjects.SUBJECTS.update(programs.SUBJECTS)
    read = subjects.SUBJECTS[name].read
    for data in subjects.examples(name):
        # Warms up, and shows that the examples themselves are good.
        found = harness.judge(read, data)
        if found != harness.ACCEPTED:
            fault = found if found != harness.REFUSED else f"refused: {refusal(read, data)}"
            return {"name": name, "counts": {}, "faults": [("an example", fault)]}
    harness.guarded()
    counts: collections.Counter[str] = collections.Counter()
    faults, begun, longest = [], time.monotonic(), 0.0
    for number in range(start, start + count):
        data, before = subjects.hostile(name, seed, number), time.process_time()
        found = harness.judge(read, data)
        longest = max(longest, time.process_time() - before)
        kind = found if found in (harness.ACCEPTED, harness.REFUSED) else "fault"
        counts[kind] += 1
        if kind == "fault":
            faults.append((f"--subject={name} --seed={seed} --number={number}", found))
    return {
        "name": name,
        "counts": dict(counts),
        "faults": faults,
        "seconds": time.monotonic() - begun,
        "longest_s": longest,
        "most_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def refusal(read, data) -> str:
    """Return in which words an input is refused."""
    try:
        read(data)
    except (ValueError, OSError) as error:
        return str(error)[:200]
    return "no more"


def apart(task: tuple[str, int, int, int]) -> dict:
    """Judge some inputs of one subject in a process of its own; its death is a fault."""
    name, seed, start, count = task
    command = [sys.executable, "-m", "tests.fuzz", "--worker", f"--subject={name}"]
    command += [f"--seed={seed}", f"--start={start}", f"--inputs={count}"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=harness.ROOT, check=False)
    if done.returncode == 0:
        return json.loads(done.stdout.splitlines()[-1])
    what = f"the process ended with {done.returncode}: {done.stderr.strip()[-300:]}"
    return {"name": name, "counts": {"fault": 1}, "faults": [("the process", what)]}


def main() -> None:
    """Run as the flags say."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inputs", type=int, default=20000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--subject", action="append", help="only this one; may be repeated")
    parser.add_argument("--number", type=int, help="only this input of the subject")
    parser.add_argument("--start", type=int, default=0, help="number of the first input")
    parser.add_argument("--worker", action="store_true", help="judge in this process")
    parser.add_argument("--json", type=pathlib.Path)
    asked = parser.parse_args()
    os.environ["JAX_PLATFORMS"] = "cpu"
    from tests.fuzz import programs, subjects

    subjects.SUBJECTS.update(programs.SUBJECTS)
    if asked.worker:
        print(json.dumps(work((asked.subject[0], asked.seed, asked.start, asked.inputs))))
        return
    names = asked.subject or list(subjects.SUBJECTS)
    if asked.number is not None:
        tasks = [(names[0], asked.seed, asked.number, 1)]
    else:
        shares = subjects.shares(asked.inputs, names)
        tasks = [(name, asked.seed, 0, count) for name, count in shares.items()]
        tasks.sort(key=lambda task: -task[-1])
    rows = []
    with futures.ThreadPoolExecutor(asked.processes) as workers:
        for done in futures.as_completed([workers.submit(apart, task) for task in tasks]):
            row = done.result()
            rows.append(row)
            print(json.dumps({key: row[key] for key in row if key != "faults"}), flush=True)
            for where, what in row["faults"][:20]:
                print(f"  FAULT {where}: {ascii(what)}", flush=True)
    total = collections.Counter()
    for row in rows:
        total.update(row["counts"])
    summary = {
        "inputs": sum(total.values()),
        **{kind: total[kind] for kind in (harness.ACCEPTED, harness.REFUSED, "fault")},
        "longest_s": max(row.get("longest_s", 0.0) for row in rows),
        "most_mib": max(row.get("most_mib", 0.0) for row in rows),
    }
    print(json.dumps(summary))
    if asked.json:
        asked.json.write_text(json.dumps({"summary": summary, "subjects": rows}, indent=2))
    if any(row["faults"] for row in rows):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
