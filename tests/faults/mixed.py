"""Requests of every kind at once, of callers that meet on few names."""

import base64
import json
import random
import threading
import time

TENANTS, CREDENTIALS, PULL_SECRETS = 3, 6, 3
FORMATS = ["secret", "kubectl", "docker-config", "data"]
MERGE = {"content-type": "application/merge-patch+json"}


def some(count):
    return random.randrange(count)


def key():
    """An idempotency key that others use, too, or none."""
    return {"idempotency-key": f"k{some(4)}"} if random.random() < 0.5 else {}


def credential():
    name = f"c{some(CREDENTIALS)}"
    return name, {"registry": f"{name}.example", "username": "u", "secret": f"s{some(3)}"}


def auth_file():
    entries = [f"c{some(CREDENTIALS)}.example" for _ in range(3)]
    auth = base64.b64encode(f"u:s{some(3)}".encode()).decode()
    return {"auths": {entry: {"auth": auth} for entry in entries}}


def requests(tenant):
    """Each kind of request once, as (method, path, body, headers)."""
    name, body = credential()
    one, pull = f"{tenant}/credentials/{name}", f"{tenant}/pull-secrets/p{some(PULL_SECRETS)}"
    listed = [f"c{number}" for number in random.sample(range(CREDENTIALS), 3)]
    manifest = f"{pull}/manifest?format={random.choice(FORMATS)}"
    waiting = {"prefer": "wait=1"}
    return [
        ("PUT", one, {**body, "labels": {"l": str(some(2))}, "overlap": 1 + some(3)}, {}),
        ("PUT", one, {**body, "auth_server": {"registry": "sso.example"}}, {}),
        ("PATCH", one, {"description": str(random.random())}, MERGE),
        ("DELETE", f"{one}?detach={random.choice(['true', 'false'])}", None, {}),
        ("DELETE", f"{one}/previous", None, {}),
        ("POST", f"{one}/rollback", {"version": 1 + some(4), "overlap": 2}, key()),
        ("PUT", pull, {"credentials": listed, "on_conflict": random.choice(["first", "reject"])}, {}),
        ("PUT", pull, {"selector": {"labels": {"l": str(some(2))}}, "layout": random.choice(["split", "merged"])}, {}),
        ("DELETE", pull, None, {}),
        ("GET", manifest, None, {}),
        ("GET", manifest, None, {}),
        ("GET", f"{pull}/manifest", None, {**waiting, "if-none-match": '"x"'}),
        ("GET", f"{pull}/manifest", None, {**waiting, "if-none-match": "*"}),
        ("GET", f"{one}/manifest", None, {}),
        ("GET", f"{one}/versions", None, {}),
        ("GET", f"{pull}/consumers?stale=true", None, {}),
        ("POST", f"{tenant}/imports", {
            "content": auth_file(), "on_existing": random.choice(["reject", "replace", "skip"]),
            "dry_run": random.random() < 0.3, "pull_secret": {"name": f"p{some(PULL_SECRETS)}"},
        }, key()),
        ("POST", f"{tenant}/tokens", {"name": f"t{some(5)}", "role": "owner", "expires_in": 60}, key()),
        ("DELETE", f"{tenant}/tokens/t{some(5)}", None, {}),
        ("POST", f"{pull}/links", {}, {}),
        ("POST", f"{tenant}/explain", {"pull_secret": f"p{some(PULL_SECRETS)}", "image": "c1.example/x", "clients": ["*"]}, {}),
        ("GET", f"{tenant}/audit-events?limit=50", None, {}),
        ("PUT", tenant, {"description": str(some(3))}, {}),
        ("DELETE", f"{tenant}?force=true", None, {}),
    ]


# What is asked seldom, so that there is something to meet on.
SELDOM = {"DELETE": 0.3}


def run(api, seconds, result, callers=12):
    end = time.monotonic() + seconds
    lock = threading.Lock()

    def one_request():
        tenant = f"/v1/tenants/s{some(TENANTS)}"
        method, path, body, headers = random.choice(requests(tenant))
        share = 0.08 if path.endswith("force=true") else SELDOM.get(method, 1)
        if random.random() > share:
            return None
        status, answered, text = api.ask(method, path, body, headers=headers, timeout=60)
        if status == 201 and path.endswith("/links"):
            url = json.loads(text)["url"]
            status, answered, text = api.ask("GET", "/links/" + url.rsplit("/", 1)[1])
        return method, path, status, text

    def keep_asking():
        while time.monotonic() < end:
            asked = one_request()
            if asked is None:
                continue
            method, path, status, text = asked
            with lock:
                result.rounds += 1
                result.writes += status in (200, 201, 204) and method != "GET"
                result.renderings += status == 200 and "manifest" in path
                if status == 0 or status >= 500:
                    result.wrong.append(f"{method} {path}: {status} {text[:300]!r}")

    for number in range(TENANTS):
        api.ask("PUT", f"/v1/tenants/s{number}", {})
    threads = [threading.Thread(target=keep_asking, daemon=True) for _ in range(callers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(seconds + 120)
    return result
