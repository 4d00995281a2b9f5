"""Puts what the document's examples speak of, so that its examples meet something.

Usage: seed.py openapi.json; REGCRED_URL and REGCRED_TOKEN say where and as whom.
"""

import json
import os
import sys
import urllib.request

# In this order: what others name comes first.
MADE = ("Tenant", "Credential", "PullSecret", "IdentityProvider", "RoleBinding")


def main() -> None:
    with open(sys.argv[1], encoding="utf-8") as file:
        document = json.load(file)
    puts = {item["put"]["operationId"]: (path, item["put"]) for path, item in document["paths"].items() if "put" in item}
    for name in MADE:
        path, operation = puts[f"put{name}"]
        for parameter in operation["parameters"]:
            if parameter["in"] == "path":
                path = path.replace("{" + parameter["name"] + "}", parameter["example"])
        put(path, operation["requestBody"]["content"]["application/json"]["example"])


def put(path: str, body: object) -> None:
    request = urllib.request.Request(os.environ["REGCRED_URL"] + path, json.dumps(body).encode(), method="PUT")
    request.add_header("Authorization", "Bearer " + os.environ["REGCRED_TOKEN"])
    request.add_header("Content-Type", "application/json")
    urllib.request.urlopen(request).close()


main()
