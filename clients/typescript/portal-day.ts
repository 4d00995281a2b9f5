// A portal's day: what a portal does with regcred from morning to evening, typed from its OpenAPI document.
// Needs REGCRED_URL, REGCRED_TOKEN (a platform admin's), and REGCRED_REGISTRY (a registry that may be asked).

import assert from "node:assert/strict";
import createClient from "openapi-fetch";
import type { components, paths } from "./schema.js";

type Credential = components["schemas"]["Credential"];
type Problem = components["schemas"]["Problem"];

const baseUrl = process.env.REGCRED_URL ?? "http://127.0.0.1:8080";
const registry = process.env.REGCRED_REGISTRY ?? "registry.invalid";
const api = createClient<paths>({
  baseUrl,
  headers: { Authorization: `Bearer ${process.env.REGCRED_TOKEN}` },
});

const tenant = `ts-${Date.now().toString(36)}`;
const at = { tenant };

function codeOf(problem: Problem | undefined): string {
  return problem?.type.replace("urn:regcred:problem:", "") ?? "no problem";
}

/** The names of all credentials, page by page. */
async function all(): Promise<Credential[]> {
  const found: Credential[] = [];
  let page_token: string | undefined;
  do {
    const { data } = await api.GET("/v1/tenants/{tenant}/credentials", {
      params: { path: at, query: { limit: 2, ...(page_token ? { page_token } : {}) } },
    });
    assert(data);
    found.push(...data.items);
    page_token = data.next_page_token ?? undefined;
  } while (page_token);
  return found;
}

// A tenant; its body may be left out.
const made = await api.PUT("/v1/tenants/{tenant}", { params: { path: at } });
assert.equal(made.response.status, 201);

// A pair: the registry, and the server that authenticates for it.
const connect = { params: { path: { ...at, credential: "connect" } } };
const pair = await api.PUT("/v1/tenants/{tenant}/credentials/{credential}", {
  ...connect,
  body: {
    registry,
    kind: "password",
    username: "developer@example.com",
    secret: "s3cret",
    auth_server: { registry: "sso.example.com", secret_name: "example-sso" },
    labels: { team: "payments" },
  },
});
assert.equal(pair.data?.auth_server?.has_own_secret, false);
const tag = pair.response.headers.get("etag");
assert(tag);

// Two more, for pages.
for (const credential of ["quay", "quay-team"]) {
  const { error } = await api.PUT("/v1/tenants/{tenant}/credentials/{credential}", {
    params: { path: { ...at, credential } },
    body: { registry: credential === "quay" ? "quay.io" : "quay.io/team", username: "robot", secret: "s3cret" },
  });
  assert.equal(error, undefined);
}
assert.deepEqual((await all()).map((item) => item.name), ["connect", "quay", "quay-team"]);

// A pull secret.
const team = { params: { path: { ...at, pull_secret: "team-pull" } } };
const pull = await api.PUT("/v1/tenants/{tenant}/pull-secrets/{pull_secret}", {
  ...team,
  body: { credentials: ["connect", "quay"], layout: "merged", target: { namespace: "default", type: "Opaque" } },
});
assert.equal(pull.data?.target.namespace, "default");

// Rotation: one member of a merge patch, sent as any other JSON; the former secret stays usable for a day.
const rotated = await api.PATCH("/v1/tenants/{tenant}/credentials/{credential}", {
  ...connect,
  body: { secret: "n3w-s3cret", overlap: 86400 },
});
assert.equal(rotated.data?.previous?.version, 1);

// A conditional write over the version that was read in the morning.
const stale = await api.PATCH("/v1/tenants/{tenant}/credentials/{credential}", {
  params: { ...connect.params, header: { "If-Match": tag } },
  body: { description: "of this morning", labels: { team: null } },
});
assert.equal(codeOf(stale.error), "precondition-failed");

// All mistakes at once, each where a form can show it.
const wrong = await api.GET("/v1/tenants/{tenant}/credentials", {
  params: { path: at, query: { limit: 501 } },
});
assert.equal(wrong.error && "errors" in wrong.error ? wrong.error.errors?.[0]?.parameter : "", "limit");

// An import in conflict, with its report.
const imported = await api.POST("/v1/tenants/{tenant}/imports", {
  params: { path: at },
  body: { content: { auths: { "quay.io": { auth: "cm9ib3Q6b3RoZXI=" } } }, on_existing: "reject" },
});
assert.equal(imported.response.status, 409);
const entries = imported.error && "entries" in imported.error ? imported.error.entries : undefined;
assert.deepEqual(entries?.map((entry) => [entry.outcome, entry.credential]), [["conflict", "quay"]]);

// Whether it logs in; nobody answers at this address, which is a result.
const verified = await api.POST("/v1/tenants/{tenant}/credentials/{credential}/verify", {
  params: { path: { ...at, credential: "connect" } },
});
assert.equal(verified.data?.state, "unreachable");
assert.equal(verified.data?.verification.registry?.state, "unreachable");

// The manifest, and what a user should know.
const manifest = await api.GET("/v1/tenants/{tenant}/pull-secrets/{pull_secret}/manifest", {
  ...team,
  parseAs: "text",
});
const yaml: string | undefined = manifest.data;
assert(yaml?.includes("kind: Secret"), yaml);
assert.match(manifest.response.headers.get("x-regcred-warnings") ?? "", /kubelet/);

// What keeps a credential from being deleted, by name.
const kept = await api.DELETE("/v1/tenants/{tenant}/credentials/{credential}", connect);
assert.equal(codeOf(kept.error), "in-use");
const resources = kept.error && "resources" in kept.error ? kept.error.resources : undefined;
assert.deepEqual(resources, [{ kind: "pull-secret", name: "team-pull" }]);

// Who did what, typed.
const trail = await api.GET("/v1/tenants/{tenant}/audit-events", {
  params: { path: at, query: { action: "credential.", outcome: "success" } },
});
const events = typeof trail.data === "object" ? trail.data.items : [];
const actors = new Set(events.map((event) => event.actor.kind));
assert.deepEqual([...actors], ["token"]);

const gone = await api.DELETE("/v1/tenants/{tenant}", { params: { path: at } });
assert.equal(gone.response.status, 204);
console.log("a portal's day with TypeScript: all held");
