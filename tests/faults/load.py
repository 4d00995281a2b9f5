"""Writers and readers that remember what they were told."""

import base64
import http.client
import json
import random
import threading
import time
from urllib.parse import urlsplit


# How long what was acknowledged may be out of reach after the service has answered again.
SERVED_WITHIN = 60


class Api:
    def __init__(self, bases, token):
        self.bases = bases
        self.token = token

    def ask(self, method, path, body=None, base=None, headers=None, timeout=30):
        """Status, headers and body; status 0 where no whole answer came."""
        where = urlsplit(base or random.choice(self.bases))
        connection = http.client.HTTPConnection(where.hostname, where.port, timeout=timeout)
        sent = {"authorization": f"Bearer {self.token}", **(headers or {})}
        if body is not None:
            sent.setdefault("content-type", "application/json")
        try:
            connection.request(method, path, None if body is None else json.dumps(body), sent)
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read()
        except (OSError, http.client.HTTPException):
            return 0, {}, b""
        finally:
            connection.close()


class Load:
    """Each writer has a credential of its own and writes numbered secrets; readers render all of them."""

    def __init__(self, api, writers=4, readers=4):
        self.api = api
        self.count = writers
        self.readers = readers
        self.attempted = [0] * writers
        self.acknowledged = [0] * writers
        self.delivered = set()
        self.refused = 0
        self.unexpected = []
        self.writes = 0
        self.answers = []
        self.ended = threading.Event()
        self.lock = threading.Lock()
        self.threads = []

    def path(self, number):
        return f"/v1/tenants/team-a/credentials/c-{number}"

    def prepare(self):
        status, _, body = self.api.ask("PUT", "/v1/tenants/team-a", {})
        if status not in (200, 201):
            raise RuntimeError(body)
        for number in range(self.count):
            self.write(number)

    def start(self):
        jobs = [(self.keep_writing, number) for number in range(self.count)]
        jobs += [(self.keep_reading, number) for number in range(self.readers)]
        self.threads = [threading.Thread(target=job, args=(number,), daemon=True) for job, number in jobs]
        for thread in self.threads:
            thread.start()

    def end(self):
        self.ended.set()
        for thread in self.threads:
            thread.join(60)

    def keep_writing(self, number):
        while not self.ended.is_set():
            self.write(number)
            time.sleep(0.01)

    def write(self, number):
        self.attempted[number] += 1
        this = self.attempted[number]
        body = {"registry": f"r{number}.example.com", "username": "robot", "secret": f"s-{number}-{this}"}
        status, _, text = self.api.ask("PUT", self.path(number), body)
        with self.lock:
            if status in (200, 201):
                self.acknowledged[number] = this
                self.writes += 1
                self.answers.append(time.monotonic())
            else:
                self.note(status, text)

    def keep_reading(self, _):
        while not self.ended.is_set():
            number = random.randrange(self.count)
            status, headers, text = self.api.ask("GET", self.path(number) + "/manifest?format=data")
            with self.lock:
                if status == 200:
                    self.delivered.add(headers["x-request-id"])
                    self.answers.append(time.monotonic())
                else:
                    self.note(status, text)

    def note(self, status, text):
        """No answer and 503 are what a fault may cause; anything else is not."""
        self.refused += 1
        if status not in (0, 503):
            self.unexpected.append(f"{status} {text[:200]!r}")

    def last_answer(self):
        return self.answers[-1] if self.answers else 0.0

    def longest_silence(self, since):
        """The longest time between two answers since a moment, in seconds."""
        with self.lock:
            times = [since, *(at for at in self.answers if at > since)]
            self.answers = self.answers[-1:]
        return max((later - sooner for sooner, later in zip(times, times[1:])), default=0.0)

    def stored(self, number):
        """The number in the secret that is rendered now. What is not served for a moment is not lost: it is asked for again."""
        status, headers, text = 0, {}, b""
        over = time.monotonic() + SERVED_WITHIN
        while status in (0, 503) and time.monotonic() < over:
            status, headers, text = self.api.ask("GET", self.path(number) + "/manifest?format=docker-config")
            if status in (0, 503):
                time.sleep(0.2)
        if status != 200:
            return None
        with self.lock:
            self.delivered.add(headers["x-request-id"])
        entries = json.loads(text)["auths"].values()

        secret = base64.b64decode(next(iter(entries))["auth"]).decode().split(":", 1)[1]
        return int(secret.rsplit("-", 1)[1])

    def lost(self):
        """What was acknowledged and is not there. The writers must be between two writes or held."""
        wrong = []
        for number in range(self.count):
            known = self.acknowledged[number]
            found = self.stored(number)
            if found is None or not known <= found <= self.attempted[number]:
                wrong.append(f"c-{number}: {known} was acknowledged, {found} is there")
        return wrong


def untold(postgres_psql, delivered):
    """Request ids of delivered renderings that are not in the trail."""
    known = set(postgres_psql("SELECT DISTINCT request_id FROM audit_events").split())
    return [f"rendering {request} was delivered and is not in the trail" for request in delivered - known]
