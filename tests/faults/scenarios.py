"""The scenarios. Each gets a directory of its own and gives what it found."""

import contextlib
import os
import random
import shutil
import subprocess
import time

import mixed
from cluster import PROGRAMS, Cluster
from figures import Result
from load import Api, Load, untold
from machine import Ended, Postgres, Regcred, give_to_postgres, postgres_programs, until


class CannotRun(Exception):
    """Something that the scenario needs is not here."""


class Service:
    """Two replicas on a database, and load on them."""

    def __init__(self, directory, program, url, name):
        if postgres_programs() is None:
            raise CannotRun("PostgreSQL is not installed")
        self.replicas = [Regcred(program, directory, url, f"regcred-{number}") for number in (1, 2)]
        first = self.replicas[0]
        first.run("keys", "create", first.environment["REGCRED_KEY_FILE"])
        first.run("migrate")
        token = first.run("token", "create", "--role", "admin", "--name", "faults").splitlines()[-1]
        self.api = Api([replica.base for replica in self.replicas], token)
        self.load = Load(self.api)
        self.result = Result(name)

    def start(self):
        for replica in self.replicas:
            replica.start()
        self.all_ready()
        self.load.prepare()
        self.load.start()

    def all_ready(self):
        return until("every replica is ready", lambda: all(replica.is_ready() for replica in self.replicas), 120)

    def answers_again(self, since):
        """Waits until load is served again, and notes the longest time without an answer."""
        over = time.monotonic()
        until("load is served again", lambda: self.load.last_answer() > over, 120)
        self.result.outages.append(self.load.longest_silence(since))
        self.all_ready()

    def round(self, fault):
        """Some load, the fault in its midst, and then nothing may be lost."""
        time.sleep(random.uniform(0.1, 0.6))
        since = time.monotonic()
        fault()
        self.answers_again(since)
        self.result.rounds += 1
        self.result.wrong += [f"round {self.result.rounds}: {wrong}" for wrong in self.load.lost()]

    def finish(self, psql):
        """Ends the load and looks at everything once more."""
        self.load.end()
        self.result.wrong += self.load.lost()
        self.result.wrong += untold(psql, self.load.delivered)
        self.result.wrong += self.load.unexpected
        try:
            self.replicas[0].run("audit", "verify")
        except RuntimeError as broken:
            self.result.wrong.append(f"the trail is broken: {broken}")
        for replica in self.replicas:
            replica.stop()
        self.result.writes = self.load.writes
        self.result.renderings = len(self.load.delivered)
        self.result.refused = self.load.refused
        return self.result


def kills(directory, program, asked):
    """regcred and PostgreSQL are killed in turn, and PostgreSQL is restarted as an operator does."""
    database = Postgres(directory)
    database.start()
    service = Service(directory, program, database.url, "kills of regcred and PostgreSQL")
    service.start()

    def kill_database():
        database.kill()
        until("PostgreSQL comes back", lambda: started_again(database))

    def kill_replica():
        replica = random.choice(service.replicas)
        replica.kill()
        replica.start()

    faults = [kill_replica, kill_database, kill_replica, kill_database, database.restart]
    for number in range(asked.rounds):
        service.round(faults[number % len(faults)])
    result = service.finish(database.psql)
    database.stop()
    return result


def started_again(database):
    """A crashed server's processes may hold on to its memory for a moment."""
    try:
        database.start()
        return True
    except Ended:
        return False


def cut(directory, program, asked):
    """Sessions are ended in the midst of statements, again and again."""
    database = Postgres(directory)
    database.start()
    service = Service(directory, program, database.url, "connections cut in mid-statement")
    service.start()
    end_all = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'"
    for _ in range(max(3, asked.rounds // 2)):

        def sever():
            for _ in range(20):
                database.psql(end_all)
                time.sleep(random.uniform(0.0, 0.05))

        service.round(sever)
    result = service.finish(database.psql)
    database.stop()
    return result


def readonly(directory, program, asked):
    """The database takes no writes for a while, as a standby does or a full one that an operator locked."""
    database = Postgres(directory)
    database.start()
    service = Service(directory, program, database.url, "read-only database")
    service.start()

    def lock_for_a_while():
        setting = "ALTER SYSTEM SET default_transaction_read_only = {}"
        database.psql(setting.format("on"))
        database.psql("SELECT pg_reload_conf()")
        time.sleep(1.5)
        status, _, body = service.api.ask("PUT", service.load.path(0), {"registry": "r0.example.com", "username": "robot", "secret": "x"})
        if status != 503:
            service.result.wrong.append(f"a write into a read-only database: {status} {body[:200]}")
        status, _, body = service.api.ask("GET", service.load.path(0) + "/manifest")
        if status != 503 or b"s-0-" in body:
            service.result.wrong.append(f"a rendering that cannot be noted: {status} {body[:200]}")
        database.psql("SET default_transaction_read_only = off", setting.format("off"), "SELECT pg_reload_conf()")

    for _ in range(max(2, asked.rounds // 10)):
        service.round(lock_for_a_while)
    result = service.finish(database.psql)
    database.stop()
    return result


def full(directory, program, asked):
    """The disk of the database is full, until somebody makes room."""
    disk = os.path.join(directory, "disk")
    os.mkdir(disk)
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256m,mode=0755", "tmpfs", disk], capture_output=True, text=True)
    if mounted.returncode:
        raise CannotRun(mounted.stderr.strip())
    try:
        give_to_postgres(disk)
        database = Postgres(disk)
        database.start()
        service = Service(directory, program, database.url, "full disk")
        service.start()
        ballast = os.path.join(disk, "ballast")

        def fill():
            # Without a buffer: what it could not write it would try again at its end.
            with open(ballast, "wb", buffering=0) as file, contextlib.suppress(OSError):
                while True:
                    file.write(bytes(1 << 20))
            time.sleep(4)
            os.remove(ballast)
            if not database.answers():
                database.kill()
                until("PostgreSQL comes back", lambda: started_again(database))

        for _ in range(max(2, asked.rounds // 10)):
            service.round(fill)
        result = service.finish(database.psql)
        database.stop()
        return result
    finally:
        subprocess.run(["umount", "--lazy", disk], check=False)


def failover(directory, program, asked):
    """The first of two synchronous servers is killed with everything on it; the other takes over."""
    missing = [name for name in PROGRAMS if shutil.which(name, path=os.environ["PATH"] + ":/usr/sbin") is None]
    if missing:
        raise CannotRun(f"{', '.join(missing)} must be installed")
    cluster = Cluster(directory)
    cluster.start()
    try:
        service = Service(directory, program, cluster.url, "fail-over")
        service.start()

        def lose_the_first():
            lost = cluster.kill_primary()
            cluster.new_primary(lost)
            cluster.start_again(lost)

        for _ in range(max(2, asked.rounds // 10)):
            cluster.in_step()
            service.round(lose_the_first)
        return service.finish(cluster.psql)
    finally:
        cluster.stop()


def mix(directory, program, asked):
    """Requests of every kind at once on two replicas, without a fault: no 5xx, and no deadlock in PostgreSQL's log."""
    database = Postgres(directory)
    database.start()
    service = Service(directory, program, database.url, "mixed requests")
    for replica in service.replicas:
        replica.start()
    service.all_ready()
    result = mixed.run(service.api, asked.seconds, service.result)
    deadlocks = database.logged("deadlock detected")
    result.wrong += [f"PostgreSQL: {line}" for line in deadlocks]
    for replica in service.replicas:
        replica.stop()
    database.stop()
    return result


ALL = {"kills": kills, "cut": cut, "readonly": readonly, "full": full, "failover": failover, "mixed": mix}
