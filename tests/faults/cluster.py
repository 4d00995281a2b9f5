"""Two PostgreSQL servers that follow each other synchronously, with Patroni, etcd and haproxy from Debian's packages."""

import json
import os
import signal
import subprocess
import urllib.error
import urllib.request

from machine import AS_POSTGRES, free_port, give_to_postgres, launch, postgres_programs, until

PROGRAMS = ("patroni", "etcd", "haproxy")
NAMES = ("one", "two")

CONFIGURATION = """
scope: regcred
name: {name}
restapi: {{listen: "127.0.0.1:{rest}", connect_address: "127.0.0.1:{rest}"}}
etcd3: {{host: "127.0.0.1:{etcd}"}}
bootstrap:
  dcs:
    ttl: 20
    loop_wait: 2
    retry_timeout: 5
    maximum_lag_on_failover: 1048576
    synchronous_mode: true
    synchronous_mode_strict: false
    postgresql: {{use_pg_rewind: true, parameters: {{max_connections: 60, wal_log_hints: "on", hot_standby: "on"}}}}
  initdb: [{{encoding: UTF8}}, {{locale: C}}, {{auth-local: trust}}, {{auth-host: trust}}]
postgresql:
  listen: "127.0.0.1:{port}"
  connect_address: "127.0.0.1:{port}"
  data_dir: "{data}"
  bin_dir: "{bin}"
  pgpass: "{data}.pgpass"
  authentication:
    superuser: {{username: regcred}}
    replication: {{username: replicator}}
    rewind: {{username: regcred}}
  parameters: {{unix_socket_directories: "{sockets}"}}
  pg_hba: ["local all all trust", "host all all 127.0.0.1/32 trust", "host replication all 127.0.0.1/32 trust"]
"""

PROXY = """
global
  maxconn 500
defaults
  mode tcp
  timeout connect 2s
  timeout client 30m
  timeout server 30m
listen database
  bind 127.0.0.1:{port}
  option httpchk OPTIONS /primary
  http-check expect status 200
  default-server inter 1s fall 2 rise 1 on-marked-down shutdown-sessions
{servers}
"""


class Cluster:
    def __init__(self, directory):
        self.directory = directory
        self.bin = postgres_programs()
        self.port = free_port()
        self.etcd_port = free_port()
        self.ports = {name: free_port() for name in NAMES}
        self.rest = {name: free_port() for name in NAMES}
        self.processes = {}

    @property
    def url(self):
        return f"postgres://regcred@127.0.0.1:{self.port}/postgres"

    def launch(self, name, command, as_postgres):
        log = open(os.path.join(self.directory, f"{name}.log"), "ab")
        prefix = AS_POSTGRES if as_postgres else []
        # A session of its own: what is killed takes its children with it.
        self.processes[name] = launch(prefix + command, stdout=log, stderr=log, start_new_session=True)

    def start(self):
        peers = free_port()
        self.launch("etcd", [
            "etcd", "--data-dir", os.path.join(self.directory, "etcd"),
            "--listen-client-urls", f"http://127.0.0.1:{self.etcd_port}", "--advertise-client-urls", f"http://127.0.0.1:{self.etcd_port}",
            "--listen-peer-urls", f"http://127.0.0.1:{peers}", "--initial-advertise-peer-urls", f"http://127.0.0.1:{peers}",
            "--initial-cluster", f"default=http://127.0.0.1:{peers}",
        ], as_postgres=False)
        for name in NAMES:
            self.configure(name)
            self.start_again(name)
        servers = "\n".join(
            f"  server {name} 127.0.0.1:{self.ports[name]} check port {self.rest[name]}" for name in NAMES
        )
        path = os.path.join(self.directory, "haproxy.cfg")
        with open(path, "w") as file:
            file.write(PROXY.format(port=self.port, servers=servers))
        program = "/usr/sbin/haproxy" if os.path.exists("/usr/sbin/haproxy") else "haproxy"
        self.launch("haproxy", [program, "-db", "-f", path], as_postgres=False)
        until("a first server is chosen", self.primary, 180)
        self.in_step()
        until("the proxy lets through", lambda: self.psql("SELECT 1", check=False).strip() == "1")

    def configure(self, name):
        home = os.path.join(self.directory, name)
        os.mkdir(home)
        give_to_postgres(home)
        sockets = os.path.join(home, "sockets")
        os.mkdir(sockets)
        give_to_postgres(sockets)
        with open(os.path.join(home, "patroni.yml"), "w") as file:
            file.write(CONFIGURATION.format(
                name=name, rest=self.rest[name], etcd=self.etcd_port, port=self.ports[name],
                data=os.path.join(home, "data"), bin=self.bin, sockets=sockets,
            ))

    def start_again(self, name):
        self.launch(name, ["patroni", os.path.join(self.directory, name, "patroni.yml")], as_postgres=True)

    def state(self, name):
        return self.ask(name, "patroni")

    def ask(self, name, what):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.rest[name]}/{what}", timeout=2) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            return json.load(error)
        except (OSError, ValueError):
            return {}

    def primary(self, but=None):
        for name in NAMES:
            state = self.state(name)
            if name != but and state.get("role") in ("primary", "master") and state.get("state") == "running":
                return name
        return None

    def in_step(self):
        """Waits until the second server confirms every commit."""
        until("the second server follows synchronously", self.has_synchronous_standby, 180)

    def has_synchronous_standby(self):
        """What Patroni has written down, not what PostgreSQL does: only then may the standby take over."""
        primary = self.primary()
        members = self.ask(primary, "cluster").get("members", []) if primary else []
        return any(member["role"] == "sync_standby" and member.get("lag") == 0 for member in members)

    def kill_primary(self):
        """The machine is gone: Patroni and PostgreSQL at once."""
        name = self.primary()
        with open(os.path.join(self.directory, name, "data", "postmaster.pid")) as file:
            postmaster = int(file.readline())
        os.killpg(self.processes[name].pid, signal.SIGKILL)
        for process in (postmaster,):
            try:
                os.kill(process, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self.processes[name].wait()
        return name

    def new_primary(self, lost):
        until("another server takes over", lambda: self.primary(but=lost), 120)

    def psql(self, sql, check=True):
        primary = self.primary()
        if primary is None:
            return ""
        url = f"postgres://regcred@127.0.0.1:{self.ports[primary]}/postgres"
        command = [os.path.join(self.bin, "psql"), "-XAtq", "-v", "ON_ERROR_STOP=1", "-d", url, "-c", sql]
        done = subprocess.run(command, capture_output=True, text=True)
        if check and done.returncode:
            raise RuntimeError(done.stderr)
        return done.stdout

    def stop(self):
        for name in (*NAMES, "haproxy", "etcd"):
            process = self.processes.get(name)
            if process and process.poll() is None:
                process.send_signal(signal.SIGTERM)
                try:
                    process.wait(timeout=30)
                except subprocess.TimeoutExpired:
                    os.killpg(process.pid, signal.SIGKILL)
                    process.wait()
