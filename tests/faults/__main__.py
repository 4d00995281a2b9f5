"""Faults: regcred and PostgreSQL are killed, cut off and filled up under load, and nothing may be lost.

    python3 tests/faults                    every scenario, short: what the gate runs
    python3 tests/faults --rounds 200       the long form
    python3 tests/faults --only kills,full  some of them

Needs PostgreSQL's programs, and for `failover` patroni, etcd and haproxy; `full` needs to be root, to mount a small
tmpfs. Builds nothing: `--program` names the regcred to run (target/debug/regcred). Prints a table of figures; exit
code 1 if anything was lost, and 2 where a scenario could not be run at all.

What must hold after every round, whatever was done in it:

- a write that was acknowledged is there: the credential has the secret of the last one, or of a later attempt that was
  cut off;
- a rendering that was delivered is in the audit trail, under its request id;
- the service answers again by itself.

And at the end `regcred audit verify` finds the trail whole.
"""

import argparse
import os
import shutil
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import scenarios  # noqa: E402
from figures import table  # noqa: E402


def arguments():
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    parser = argparse.ArgumentParser(prog="tests/faults", description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=8, help="rounds of kills; the others take a part of it")
    parser.add_argument("--seconds", type=float, default=15, help="how long the mixed requests run")
    parser.add_argument("--only", help="scenarios, separated by commas: " + ", ".join(scenarios.ALL))
    parser.add_argument("--program", default=os.path.join(root, "target", "debug", "regcred"))
    parser.add_argument("--keep", action="store_true", help="keep the directory with all logs")
    return parser.parse_args()


def main():
    asked = arguments()
    names = asked.only.split(",") if asked.only else list(scenarios.ALL)
    directory = tempfile.mkdtemp(prefix="regcred-faults-")
    os.chmod(directory, 0o755)
    program = shutil.copy(asked.program, os.path.join(directory, "regcred"))
    results, skipped = [], []
    for name in names:
        own = os.path.join(directory, name)
        os.mkdir(own)
        os.chmod(own, 0o755)
        started = time.monotonic()
        print(f"== {name}", flush=True)
        try:
            results.append(scenarios.ALL[name](own, program, asked))
        except scenarios.CannotRun as why:
            skipped.append(name)
            print(f"{name} cannot run here: {why}", flush=True)
            continue
        print(f"{results[-1].line()} ({time.monotonic() - started:.0f} s)", flush=True)
    print("\n" + table(results))
    failed = [result for result in results if result.wrong]
    for result in failed:
        for wrong in result.wrong[:10]:
            print(f"{result.name}: {wrong}")
    if skipped:
        print(f"NOT RUN, and so nothing is known of them: {', '.join(skipped)}", file=sys.stderr, flush=True)
    if failed or asked.keep:
        print(f"logs are in {directory}")
    else:
        shutil.rmtree(directory, ignore_errors=True)
    return 1 if failed else 2 if skipped else 0


if __name__ == "__main__":
    sys.exit(main())
