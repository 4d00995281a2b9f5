"""What schemathesis may find and that is right all the same, each with its reason. Anything else it finds fails.

Every check of schemathesis runs. Two of its habits do not fit this API, and are dealt with here:

* It parses YAML before it compares an answer with its schema. Renderings are texts to clients, and described so.
* It expects whatever a schema takes to be done. A schema cannot say everything: what it leaves open is refused with one
  of the codes below. `tests/it/bodies.rs` holds bodies to the same list.
"""

import schemathesis
from schemathesis.core import media_types
from schemathesis.core.failures import Failure
from schemathesis.specs.openapi.checks import positive_data_acceptance

# Codes of problems and of mistakes.
ACCEPTED = {
    "malformed-request": "a made-up entity tag: schemathesis does not keep to the patterns of If-Match and If-None-Match",
    "precondition-failed": "a made-up entity tag is not that of the state",
    "payload-too-large": "the longest value of a schema beside others is a body over 1 MiB",
    "idempotency-key-reused": "one key is sent with several bodies",
    "invalid-page-token": "only a page before gives a page token",
    "invalid-cursor": "only a line before gives a cursor",
    "unknown-name": "a name of something that there is not",
    "unknown-credential": "a name of something that there is not",
    "unknown-pull-secret": "a name of something that there is not",
    "unknown-version": "a version that there is not",
    "required": "what one field needs of another: a new secret, a certificate, a namespace",
    "secret-required": "a changed registry needs its secret anew, whoever writes",
    "not-allowed": "what one field forbids another: a scope without sealing, `*` beside names, an address that is not asked",
    "one-of": "a pull secret or credentials",
    "out-of-range": "an end that is over",
    "invalid-registry": "ports, addresses and labels of hosts",
    "invalid-label": "the lengths of both sides of `key=value`",
    "invalid-image": "domains and paths of images",
    "invalid-realm": "what a URL is made of",
    "invalid-url": "what a URL is made of",
    "invalid-time": "calendars",
    "invalid-address": "addresses",
    "invalid-network": "addresses and lengths of prefixes",
    "invalid-output": "which format is written how",
    "invalid-format": "which format a link has a place for",
    "empty": "a file in which nothing stands",
    "other-format": "the auth file of an import is of another kind than the one asked for",
    "invalid-certificate": "what stands in PEM",
    "same-registry": "an auth server is another registry",
    "reserved": "labels that regcred writes itself",
}


@schemathesis.deserializer(*media_types.YAML_MEDIA_TYPES)
def as_text(ctx, response):
    return response.text


@schemathesis.check
def refused_with_reason(ctx, response, case):
    """The check `positive_data_acceptance`, but for refusals that are listed above."""
    try:
        positive_data_acceptance(ctx, response, case)
    except Failure:
        if not codes_of(response) <= ACCEPTED.keys():
            raise


def codes_of(response):
    """The codes of all mistakes, or of the problem where it lists none."""
    problem = response.json()
    mistakes = problem.get("errors") or [{"code": problem["type"].removeprefix("urn:regcred:problem:")}]
    return {mistake["code"] for mistake in mistakes}
