"""A portal's day: what a portal does with regcred from morning to evening, typed from its OpenAPI document.

Needs REGCRED_URL, REGCRED_TOKEN (a platform admin's) and REGCRED_REGISTRY (a registry that may be asked).
"""

import os
import time

from regcred_client import AuthenticatedClient
from regcred_client.api.audit import list_audit_events
from regcred_client.api.credentials import (
    delete_credential,
    list_credentials,
    patch_credential,
    put_credential,
)
from regcred_client.api.imports import import_credentials
from regcred_client.api.manifests import render_pull_secret
from regcred_client.api.pull_secrets import put_pull_secret
from regcred_client.api.tenants import delete_tenant, put_tenant
from regcred_client.api.verification import verify_credential
from regcred_client.models import (
    AuditOutcome,
    AuthServerInput,
    Credential,
    CredentialInput,
    CredentialKind,
    CredentialList,
    CredentialPatch,
    ImportInput,
    ImportProblem,
    Layout,
    Problem,
    PullSecret,
    PullSecretInput,
    SecretType,
    TargetInput,
    VerifiedCredential,
    VerificationState,
)
from regcred_client.models.audit_event_list import AuditEventList
from regcred_client.models.import_input_content_type_1 import ImportInputContentType1
from regcred_client.types import UNSET, Unset

URL = os.environ.get("REGCRED_URL", "http://127.0.0.1:8080")
REGISTRY = os.environ.get("REGCRED_REGISTRY", "registry.invalid")
TENANT = f"py-{int(time.time()):x}"


def every_credential(client: AuthenticatedClient) -> list[Credential]:
    """All credentials, page by page."""
    found: list[Credential] = []
    token: str | Unset = UNSET
    while True:
        page = list_credentials.sync(TENANT, client=client, limit=2, page_token=token)
        assert isinstance(page, CredentialList), page
        found += page.items
        if page.next_page_token is None:
            return found
        token = page.next_page_token


def write(client: AuthenticatedClient) -> str:
    """A tenant, a pair, two more credentials and a pull secret; gives the pair's entity tag."""
    # The body may be left out.
    assert put_tenant.sync_detailed(TENANT, client=client).status_code == 201
    pair = CredentialInput(
        registry=REGISTRY,
        kind=CredentialKind.PASSWORD,
        username="developer@example.com",
        secret="s3cret",
        auth_server=AuthServerInput(registry="sso.example.com", secret_name="example-sso"),
    )
    answer = put_credential.sync_detailed(TENANT, "connect", client=client, body=pair)
    assert isinstance(answer.parsed, Credential), answer
    for name, registry in (("quay", "quay.io"), ("quay-team", "quay.io/team")):
        body = CredentialInput(registry=registry, username="robot", secret="s3cret")
        assert put_credential.sync_detailed(TENANT, name, client=client, body=body).status_code == 201
    pull = PullSecretInput(
        credentials=["connect", "quay"],
        layout=Layout.MERGED,
        target=TargetInput(namespace="default", type_=SecretType.OPAQUE),
    )
    made = put_pull_secret.sync(TENANT, "team-pull", client=client, body=pull)
    assert isinstance(made, PullSecret) and made.target.namespace == "default", made
    return answer.headers["etag"]


def change(client: AuthenticatedClient, tag: str) -> None:
    """Rotation, a conditional write, mistakes."""
    body = CredentialPatch(secret="n3w-s3cret", overlap=86400)
    rotated = patch_credential.sync(TENANT, "connect", client=client, body=body)
    assert isinstance(rotated, Credential) and rotated.previous and rotated.previous.version == 1
    stale = patch_credential.sync(
        TENANT, "connect", client=client, body=CredentialPatch(description="x"), if_match=tag
    )
    assert isinstance(stale, Problem) and stale.type_.endswith(":precondition-failed"), stale
    wrong = list_credentials.sync(TENANT, client=client, limit=501)
    assert isinstance(wrong, Problem) and not isinstance(wrong.errors, Unset)
    assert wrong.errors[0].parameter == "limit", wrong


def look(client: AuthenticatedClient) -> None:
    """An import in conflict, a verification, a manifest with its warnings, what is in use, the trail."""
    content = ImportInputContentType1.from_dict({"auths": {"quay.io": {"auth": "cm9ib3Q6b3RoZXI="}}})
    refused = import_credentials.sync(TENANT, client=client, body=ImportInput(content=content))
    assert isinstance(refused, ImportProblem) and not isinstance(refused.entries, Unset), refused
    assert [(e.outcome.value, e.credential) for e in refused.entries] == [("conflict", "quay")]
    # The body may be left out here, too.
    tried = verify_credential.sync(TENANT, "connect", client=client)
    assert isinstance(tried, VerifiedCredential), tried
    assert tried.state is VerificationState.UNREACHABLE
    manifest = render_pull_secret.sync_detailed(TENANT, "team-pull", client=client)
    assert isinstance(manifest.parsed, str) and "kind: Secret" in manifest.parsed
    assert "kubelet" in manifest.headers["x-regcred-warnings"]
    kept = delete_credential.sync(TENANT, "connect", client=client)
    assert isinstance(kept, Problem) and not isinstance(kept.resources, Unset), kept
    assert [(r.kind.value, r.name) for r in kept.resources] == [("pull-secret", "team-pull")]
    events = list_audit_events.sync(
        TENANT, client=client, action="credential.", outcome=AuditOutcome.SUCCESS
    )
    assert isinstance(events, AuditEventList)
    assert {event.actor.kind.value for event in events.items} == {"token"}


def day() -> None:
    """From morning to evening."""
    client = AuthenticatedClient(base_url=URL, token=os.environ["REGCRED_TOKEN"])
    tag = write(client)
    assert [one.name for one in every_credential(client)] == ["connect", "quay", "quay-team"]
    change(client, tag)
    look(client)
    assert delete_tenant.sync_detailed(TENANT, client=client).status_code == 204
    print("a portal's day with Python: all held")


if __name__ == "__main__":
    day()
