import subprocess
import sys
import time

from tests.experiments.programs import ROOT

# A thread that nobody waits for would keep an interpreter from ending for a minute.
INTERRUPTED = """
import os, signal, sys, threading, time
sys.path.insert(0, "experiments")
import command_line

signal.signal(signal.SIGINT, signal.default_int_handler)

def main():
    threading.Thread(target=time.sleep, args=(60,)).start()
    print("begun")
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(60)

command_line.run(main)
"""


def test_an_interrupt_ends_a_program_at_once_in_one_word():
    start = time.monotonic()
    found = subprocess.run(
        [sys.executable, "-c", INTERRUPTED], cwd=ROOT, capture_output=True, text=True, timeout=50
    )
    assert (found.returncode, found.stdout, found.stderr) == (130, "begun\n", "interrupted\n")
    assert time.monotonic() - start < 50
