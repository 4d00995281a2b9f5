//! What is listed, read, written and deleted by name: one set of handlers for all of it.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::{IntoResponse, Response};

use super::App;
use super::body::{JsonBody, MergePatch, OptionalJsonBody};
use super::conditional::{self, etag};
use super::gate::{Entered, known_name};
use super::manifests::warn;
use super::page::{PageParams, page};
use super::problem::Answer;
use super::query::Params;
use super::route::{Draft, Route, Tag, route};
use crate::auth::role::Action;
use crate::broker::credentials::Credentials;
use crate::broker::identity_providers::IdentityProviders;
use crate::broker::pull_secrets::PullSecrets;
use crate::broker::resource::{Change, Resource, View};
use crate::broker::role_bindings::RoleBindings;
use crate::broker::tenants::Tenants;
use crate::broker::view::{Page, SinceWritten, Written};

/// What the routes of one kind of resource differ in.
struct Facts {
    list: &'static str,
    one: &'static str,
    /// As names of operations have it: one, and several.
    names: (&'static str, &'static str),
    /// As sentences have it: one, and several.
    words: (&'static str, &'static str),
    tag: Tag,
    /// Who may list, read and write.
    may: (Action, Action, Action),
    verb: &'static str,
    /// What there is to say of a list, a read, a write and a delete.
    texts: [&'static str; 4],
    /// The conflicts of a write and a delete.
    conflicts: (Option<&'static str>, Option<&'static str>),
}

/// The routes of all kinds.
pub fn routes() -> Vec<Route> {
    let mut routes = routes_of::<Credentials>(&CREDENTIALS);
    routes.extend(routes_of::<PullSecrets>(&PULL_SECRETS));
    routes.extend(routes_of::<Tenants>(&TENANTS));
    routes.extend(routes_of::<RoleBindings>(&ROLE_BINDINGS));
    routes.extend(routes_of::<IdentityProviders>(&IDENTITY_PROVIDERS));
    routes
}

const CREDENTIALS: Facts = Facts {
    list: "/v1/tenants/{tenant}/credentials",
    one: "/v1/tenants/{tenant}/credentials/{credential}",
    names: ("Credential", "Credentials"),
    words: ("a credential", "credentials"),
    tag: Tag::Credentials,
    may: (
        Action::ReadCredentials,
        Action::ReadCredentials,
        Action::WriteCredentials,
    ),
    verb: "credential.write",
    texts: [
        "In order of name, without secrets.",
        "Without its secrets.",
        "Without `secret` the stored one stays, unless `registry` or `auth_server.registry` changes.",
        "With all its versions.",
    ],
    conflicts: (
        Some("`registry-path-conflict`"),
        Some("`in-use`: pull secrets list it; `resources` names them"),
    ),
};

const PULL_SECRETS: Facts = Facts {
    list: "/v1/tenants/{tenant}/pull-secrets",
    one: "/v1/tenants/{tenant}/pull-secrets/{pull_secret}",
    names: ("PullSecret", "PullSecrets"),
    words: ("a pull secret", "pull secrets"),
    tag: Tag::PullSecrets,
    may: (
        Action::ReadPullSecrets,
        Action::ReadPullSecrets,
        Action::WritePullSecrets,
    ),
    verb: "pull-secret.write",
    texts: [
        "In order of name; for a limited token only those that it is limited to.",
        "",
        "Two different accounts for one registry path are refused, unless `on_conflict` is `first`.",
        "The credentials stay.",
    ],
    conflicts: (
        Some("`registry-path-conflict`: `resources` names the credentials"),
        None,
    ),
};

const TENANTS: Facts = Facts {
    list: "/v1/tenants",
    one: "/v1/tenants/{tenant}",
    names: ("Tenant", "Tenants"),
    words: ("a tenant", "tenants"),
    tag: Tag::Tenants,
    may: (Action::ListTenants, Action::ReadTenant, Action::WriteTenant),
    verb: "secret.open",
    texts: [
        "Those in which the caller has a role, in order of name.",
        "",
        "A new tenant gets a data key of its own. The body may be left out.",
        "With all that it holds; its keys go first, so that not even a backup without them opens its secrets. Where it \
         holds anything, `force=true` or `If-Match` must say that this is meant; else the answer is 409 and tells \
         what would be destroyed.",
    ],
    conflicts: (
        Some("`conflict`: another request has just created it"),
        Some("`in-use`: it holds something"),
    ),
};

const ROLE_BINDINGS: Facts = Facts {
    list: "/v1/tenants/{tenant}/role-bindings",
    one: "/v1/tenants/{tenant}/role-bindings/{role_binding}",
    names: ("RoleBinding", "RoleBindings"),
    words: ("a role binding", "role bindings"),
    tag: Tag::RoleBindings,
    may: (
        Action::ManageRoleBindings,
        Action::ManageRoleBindings,
        Action::ManageRoleBindings,
    ),
    verb: "secret.open",
    texts: [
        "In order of name.",
        "",
        "Effective from the next request on. Nobody grants more than they hold.",
        "Effective from the next request on. The last owner of a tenant is taken away by an admin only.",
    ],
    conflicts: (
        Some("`conflict`: it is the tenant's last owner"),
        Some("`conflict`: it is the tenant's last owner"),
    ),
};

const IDENTITY_PROVIDERS: Facts = Facts {
    list: "/v1/identity-providers",
    one: "/v1/identity-providers/{identity_provider}",
    names: ("IdentityProvider", "IdentityProviders"),
    words: ("an identity provider", "identity providers"),
    tag: Tag::Platform,
    may: (
        Action::ReadIdentityProviders,
        Action::ReadIdentityProviders,
        Action::ManageIdentityProviders,
    ),
    verb: "secret.open",
    texts: [
        "In order of name.",
        "",
        "Once tenants have bound callers of it, only an admin changes its issuer or where its keys are.",
        "Its tokens are refused from the next request on. One that role bindings name stays.",
    ],
    conflicts: (
        Some("`conflict`: another request has just created it"),
        Some("`in-use`: role bindings name it; `resources` names their tenants"),
    ),
};

fn routes_of<R: Resource>(facts: &Facts) -> Vec<Route> {
    let ((one, several), (word, words)) = (facts.names, facts.words);
    let [of_list, of_read, of_write, of_delete] = facts.texts;
    let (list_by, read_by, write_by) = facts.may;
    let (write_conflict, delete_conflict) = facts.conflicts;
    let on = |method, act: &str| {
        route(method, facts.one, &format!("{act}{one}"), facts.tag).verb(facts.verb)
    };
    let put = on(Method::PUT, "put")
        .says(&format!("Creates or replaces {word}"), of_write)
        .answers::<R::View>(201, "Created")
        .answers::<R::View>(200, "Replaced")
        .conditional();
    let put = with_conflict(put, write_conflict);
    let put = match R::WARNS {
        true => put
            .header(200, "X-Regcred-Warnings")
            .header(201, "X-Regcred-Warnings"),
        false => put,
    };
    let put = match R::BODY_MAY_BE_LEFT_OUT {
        true => put
            .optional_body::<R::Body>()
            .may(write_by)
            .to(put_perhaps_empty::<R>),
        false => put.body::<R::Body>().may(write_by).to(put_whole::<R>),
    };
    let patch = on(Method::PATCH, "patch")
        .says(
            &format!("Changes {word}"),
            "A merge patch (RFC 7396) over it as written: what is not named stays, and `null` removes.",
        )
        .patch::<R::Body>()
        .answers::<R::View>(200, "Changed")
        .conditional();
    let patch = match R::WARNS {
        true => patch.header(200, "X-Regcred-Warnings"),
        false => patch,
    };
    let delete = on(Method::DELETE, "delete")
        .says(&format!("Deletes {word}"), of_delete)
        .query::<R::Removal>()
        .answers_nothing(204, "Deleted")
        .conditional();
    vec![
        route(
            Method::GET,
            facts.list,
            &format!("list{several}"),
            facts.tag,
        )
        .says(&format!("Lists {words}"), of_list)
        .query::<(PageParams<String>, R::Filter)>()
        .pages::<R::View>(&format!("A page of {words}"))
        .may(list_by)
        .to(list::<R>),
        on(Method::GET, "get")
            .says(&format!("Reads {word}"), of_read)
            .answers::<R::View>(200, "As it is now")
            .revalidates()
            .may(read_by)
            .to(read::<R>),
        put,
        with_conflict(patch, write_conflict)
            .may(write_by)
            .to(self::patch::<R>),
        with_conflict(delete, delete_conflict)
            .may(write_by)
            .to(self::delete::<R>),
    ]
}

fn with_conflict(draft: Draft, conflict: Option<&str>) -> Draft {
    match conflict {
        Some(conflict) => draft.problem(409, conflict),
        None => draft,
    }
}

/// The last name of a path: of what is read or written.
struct Named(String);

type Names = Path<Vec<(String, String)>>;

impl Named {
    fn last(Path(names): Names) -> Self {
        let last = names.into_iter().next_back();
        Self(last.map(|(_, name)| name).unwrap_or_default())
    }

    /// It must be there; what is no name names nothing.
    fn known(&self) -> Answer<&str> {
        known_name(&self.0)?;
        Ok(&self.0)
    }
}

async fn list<R: Resource>(
    State(app): State<App>,
    Entered(scope): Entered,
    params: Params<(PageParams<String>, R::Filter)>,
) -> Answer<Json<Page<R::View>>> {
    let (PageParams { slice, .. }, filter) = params.read()?;
    let items = R::page(&app.broker, &scope, filter, &slice).await?;
    Ok(Json(page(items, slice.limit, |item| {
        item.name().to_owned()
    })))
}

async fn read<R: Resource>(
    State(app): State<App>,
    Entered(scope): Entered,
    names: Names,
    headers: HeaderMap,
) -> Answer<Response> {
    let name = Named::last(names);
    let view = app.broker.read::<R>(&scope, name.known()?).await?;
    let tag = etag(view.version());
    conditional::refuse_others(&headers, tag.to_str().unwrap_or_default())?;
    // The tag is the version, which writes are compared with; what has changed without a write, a client that knows
    // the version need not have.
    let current = match view.since_written() {
        SinceWritten::Same => tag.to_str().unwrap_or_default(),
        SinceWritten::Changed => conditional::NO_TAG,
    };
    if conditional::is_known(&headers, current)? {
        return Ok((StatusCode::NOT_MODIFIED, [("etag", tag)]).into_response());
    }
    Ok(([("etag", tag)], Json(view)).into_response())
}

async fn put_whole<R: Resource>(
    app: State<App>,
    entered: Entered,
    names: Names,
    headers: HeaderMap,
    body: JsonBody,
) -> Answer<Response> {
    write::<R>(app, entered, names, &headers, Change::Put(body.json)).await
}

async fn put_perhaps_empty<R: Resource>(
    app: State<App>,
    entered: Entered,
    names: Names,
    headers: HeaderMap,
    OptionalJsonBody(body): OptionalJsonBody,
) -> Answer<Response> {
    write::<R>(app, entered, names, &headers, Change::Put(body)).await
}

async fn patch<R: Resource>(
    app: State<App>,
    entered: Entered,
    names: Names,
    headers: HeaderMap,
    MergePatch(patch): MergePatch,
) -> Answer<Response> {
    write::<R>(app, entered, names, &headers, Change::Patch(patch)).await
}

async fn write<R: Resource>(
    State(app): State<App>,
    Entered(scope): Entered,
    names: Names,
    headers: &HeaderMap,
    change: Change,
) -> Answer<Response> {
    let Named(name) = Named::last(names);
    let condition = conditional::precondition(headers)?;
    let (written, warnings) = app
        .broker
        .write::<R>(&scope, &name, change, &condition)
        .await?;
    let (status, view) = match written {
        Written::Created(view) => (StatusCode::CREATED, view),
        Written::Replaced(view) => (StatusCode::OK, view),
    };
    let mut response = (status, [("etag", etag(view.version()))], Json(view)).into_response();
    warn(&mut response, &warnings);
    Ok(response)
}

async fn delete<R: Resource>(
    State(app): State<App>,
    Entered(scope): Entered,
    names: Names,
    headers: HeaderMap,
    params: Params<R::Removal>,
) -> Answer<StatusCode> {
    let name = Named::last(names);
    let how = params.read()?;
    let condition = conditional::precondition(&headers)?;
    app.broker
        .delete::<R>(&scope, name.known()?, how, &condition)
        .await?;
    Ok(StatusCode::NO_CONTENT)
}
