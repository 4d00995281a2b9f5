"""Processes on loopback: PostgreSQL, regcred, and ports for them."""

import atexit
import glob
import os
import pwd
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request


# What was started, to be ended with this program however it ends.
STARTED = []


def launch(command, **options):
    process = subprocess.Popen(command, **options)
    STARTED.append(process)
    return process


@atexit.register
def end_what_runs():
    for process in STARTED:
        if process.poll() is None:
            process.kill()


def free_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


def postgres_programs():
    found = sorted(glob.glob("/usr/lib/postgresql/*/bin/initdb"), key=lambda path: int(path.split("/")[4]))
    return os.path.dirname(found[-1]) if found else None


# PostgreSQL refuses to run as root.
AS_POSTGRES = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"] if os.geteuid() == 0 else []


def give_to_postgres(path):
    if os.geteuid() == 0:
        user = pwd.getpwnam("postgres")
        os.chown(path, user.pw_uid, user.pw_gid)


def until(what, holds, limit=60.0):
    """Waits for something to hold, and gives the seconds that it took."""
    started = time.monotonic()
    while time.monotonic() - started < limit:
        if holds():
            return time.monotonic() - started
        time.sleep(0.05)
    raise TimeoutError(f"{what}: not within {limit:.0f} s")


class Ended(Exception):
    """A process that should run does not."""


class Postgres:
    """A server with default durability in a directory of its own."""

    def __init__(self, directory, port=None):
        self.bin = postgres_programs()
        self.data = os.path.join(directory, "data")
        self.log = os.path.join(directory, "postgres.log")
        self.port = port or free_port()
        self.process = None
        if not os.path.exists(self.data):
            os.makedirs(self.data)
        give_to_postgres(directory)
        give_to_postgres(self.data)
        command = [self.program("initdb"), "-D", self.data, "-U", "regcred", "--auth=trust", "--encoding=UTF8", "--locale=C"]
        subprocess.run(AS_POSTGRES + command, check=True, stdout=subprocess.DEVNULL)

    def program(self, name):
        return os.path.join(self.bin, name)

    @property
    def url(self):
        return f"postgres://regcred@127.0.0.1:{self.port}/postgres"

    def start(self):
        command = [
            self.program("postgres"), "-D", self.data, "-p", str(self.port), "-c", "listen_addresses=127.0.0.1",
            "-c", "unix_socket_directories=", "-c", "max_connections=60", "-c", "log_lock_waits=on",
        ]
        log = open(self.log, "ab")
        self.process = launch(AS_POSTGRES + command, stdout=log, stderr=log)
        until("PostgreSQL starts", lambda: self.process.poll() is not None or self.answers())
        if self.process.poll() is not None:
            raise Ended("PostgreSQL ended at once")

    def answers(self):
        return self.psql("SELECT 1", check=False).strip() == "1"

    def psql(self, *statements, check=True):
        """Statements in one session, each by itself."""
        command = [self.program("psql"), "-XAtq", "-v", "ON_ERROR_STOP=1", "-d", self.url]
        for statement in statements:
            command += ["-c", statement]
        done = subprocess.run(command, capture_output=True, text=True)
        if check and done.returncode:
            raise RuntimeError(done.stderr)
        return done.stdout

    def kill(self):
        """As a crash: the postmaster first, then what it leaves behind ends by itself."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def restart(self):
        """As an operator does: sessions are ended, nothing is cut in two."""
        self.stop()
        self.start()

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            self.process.wait()

    def logged(self, words):
        with open(self.log, errors="replace") as log:
            return [line.strip() for line in log if words in line]


class Regcred:
    """A replica."""

    def __init__(self, program, directory, url, name):
        self.program = program
        self.port = free_port()
        self.log = os.path.join(directory, f"{name}.log")
        self.environment = {
            "PATH": os.environ["PATH"],
            "DATABASE_URL": url,
            "REGCRED_KEY_FILE": os.path.join(directory, "key"),
            "REGCRED_LISTEN": f"127.0.0.1:{self.port}",
            "REGCRED_LOG_FORMAT": "text",
        }
        self.process = None

    @property
    def base(self):
        return f"http://127.0.0.1:{self.port}"

    def run(self, *arguments):
        done = subprocess.run([self.program, *arguments], env=self.environment, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"{arguments}: {done.stderr}")
        return done.stdout.strip()

    def start(self):
        log = open(self.log, "ab")
        self.process = launch([self.program, "serve"], env=self.environment, stdout=log, stderr=log)

    def is_ready(self):
        try:
            with urllib.request.urlopen(self.base + "/readyz", timeout=5) as answer:
                return answer.status == 200
        except (urllib.error.URLError, OSError):
            return False

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(timeout=60)
            except subprocess.TimeoutExpired:
                self.kill()
