//! A route is declared once: method, path, who may, what it takes and answers, and its handler. The router, the
//! gate's decision and the API's document come from the declaration.
//!
//! A declaration gets its handler only after [`Draft::may`] or [`Draft::open`] was called, so there is no route
//! that nobody decided about.

use axum::extract::Extension;
use axum::handler::Handler;
use axum::http::Method;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::{MethodFilter, MethodRouter, on};
use utoipa::ToSchema;
use utoipa::openapi::Required;
use utoipa::openapi::path::{Operation, OperationBuilder};

use super::gate::gate;
use super::openapi::describe;
use super::{App, query};
use crate::auth::role::Action;
use crate::broker::view::Page;
use crate::model::body::{Body, Face, Schemas, Wire};

/// What the gate must know of a route, in the extensions of its requests.
#[derive(Debug, Clone, Copy)]
pub struct Decision {
    /// What the caller must be allowed to do.
    pub action: Action,
    /// What was tried, as the audit trail names it where a stored secret does not open.
    pub verb: &'static str,
}

/// The parts of the API, in the order in which the document tells of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "each has its name and text in the document")]
pub enum Tag {
    Credentials,
    PullSecrets,
    Manifests,
    Links,
    Imports,
    Verification,
    AuthFiles,
    Tenants,
    Tokens,
    RoleBindings,
    Audit,
    Callers,
    Platform,
    Health,
}

/// A route in the making.
pub struct Draft {
    method: Method,
    path: &'static str,
    operation: Operation,
    schemas: Schemas,
    takes_query: bool,
    verb: &'static str,
}

/// A route in the making that somebody decided about: who may.
pub struct Decided {
    draft: Draft,
    action: Option<Action>,
}

/// A route.
pub struct Route {
    /// Its method.
    pub method: Method,
    /// Its path, as a template.
    pub path: &'static str,
    /// How the document describes it.
    pub operation: Operation,
    /// The schemas that the description refers to.
    pub schemas: Schemas,
    decision: Option<Decision>,
    takes_query: bool,
    handler: MethodRouter<App>,
}

/// Begins a route: its method, path, name in generated clients, and part of the API.
pub fn route(method: Method, path: &'static str, id: &str, tag: Tag) -> Draft {
    let operation = OperationBuilder::new()
        .operation_id(Some(id))
        .tag(tag.name())
        .build();
    let mut draft = Draft {
        method,
        path,
        operation,
        schemas: Vec::new(),
        takes_query: false,
        verb: "secret.open",
    };
    describe::path_parameters(&mut draft.operation, path);
    draft
}

impl Draft {
    /// What it does, in a title and a paragraph.
    #[must_use]
    pub fn says(mut self, summary: &str, description: &str) -> Self {
        self.operation.summary = Some(summary.to_owned());
        self.operation.description = (!description.is_empty()).then(|| description.to_owned());
        self
    }

    /// It takes these parameters in its query.
    #[must_use]
    pub fn query<Q: Body>(mut self) -> Self {
        self.takes_query = true;
        for field in Q::fields() {
            (field.register)(Face::Whole, &mut self.schemas);
            describe::query_parameter(&mut self.operation, &field);
        }
        self
    }

    /// It needs a parameter that others do without.
    #[must_use]
    pub fn needs(mut self, parameter: &str) -> Self {
        describe::needs(&mut self.operation, parameter);
        self
    }

    /// A parameter has only some of the words that it has elsewhere. With one of them, it is needed.
    #[must_use]
    pub fn only(mut self, parameter: &str, words: &[&'static str]) -> Self {
        describe::only(&mut self.operation, parameter, words);
        self
    }

    /// It takes a body.
    #[must_use]
    pub fn body<B: Body + Wire>(self) -> Self {
        self.takes::<B>(Required::True)
    }

    /// It takes a body that may be left out.
    #[must_use]
    pub fn optional_body<B: Body + Wire>(self) -> Self {
        self.takes::<B>(Required::False)
    }

    fn takes<B: Body + Wire>(mut self, required: Required) -> Self {
        B::register(Face::Whole, &mut self.schemas);
        let schema = B::schema(Face::Whole);
        describe::body(&mut self.operation, schema, B::example(), required);
        self
    }

    /// It takes a merge patch.
    #[must_use]
    pub fn patch<B: Body + Wire>(mut self) -> Self {
        B::register(Face::Patch, &mut self.schemas);
        describe::patch(
            &mut self.operation,
            B::schema(Face::Patch),
            B::patch_example(),
        );
        self
    }

    /// It takes a body that is no object of ours: an example shows it.
    #[must_use]
    pub fn foreign_body(mut self, example: serde_json::Value) -> Self {
        let schema = describe::any_object();
        describe::body(&mut self.operation, schema, Some(example), Required::True);
        self
    }

    /// It answers with this.
    #[must_use]
    pub fn answers<T: ToSchema>(mut self, status: u16, description: &str) -> Self {
        self.schemas.push((T::name().into_owned(), T::schema()));
        T::schemas(&mut self.schemas);
        describe::answer(&mut self.operation, status, description, &T::name());
        self
    }

    /// It answers with a page of these; the schema is named by the item.
    #[must_use]
    pub fn pages<T: ToSchema>(self, description: &str) -> Self
    where
        Page<T>: ToSchema,
    {
        self.answers::<Page<T>>(200, description)
    }

    /// Its 200 is also written as a text of this media type.
    #[must_use]
    pub fn also_as(mut self, media_type: &str) -> Self {
        describe::also_as(&mut self.operation, media_type);
        self
    }

    /// It answers with nothing but a status.
    #[must_use]
    pub fn answers_nothing(mut self, status: u16, description: &str) -> Self {
        describe::nothing(&mut self.operation, status, description);
        self
    }

    /// It answers with a document of these media types.
    #[must_use]
    pub fn renders(mut self, media_types: &[&str]) -> Self {
        describe::rendering(&mut self.operation, media_types);
        self
    }

    /// It may answer with this problem.
    #[must_use]
    pub fn problem(mut self, status: u16, description: &str) -> Self {
        describe::problem(&mut self.operation, status, description);
        self
    }

    /// Its problem of this status has members of its own.
    #[must_use]
    pub fn typed_problem<T: ToSchema>(mut self, status: u16, description: &str) -> Self {
        self.schemas.push((T::name().into_owned(), T::schema()));
        T::schemas(&mut self.schemas);
        describe::typed_problem(&mut self.operation, status, description, &T::name());
        self
    }

    /// It answers with the entity tag of a version, and a client that has that gets 304.
    #[must_use]
    pub fn revalidates(mut self) -> Self {
        describe::revalidates(&mut self.operation);
        self
    }

    /// It is a write that may be conditional, on the version that it meets.
    #[must_use]
    pub fn conditional(mut self) -> Self {
        describe::conditional(&mut self.operation);
        self
    }

    /// It is held on request until there is something new.
    #[must_use]
    pub fn waits(mut self) -> Self {
        describe::waits(&mut self.operation);
        self
    }

    /// It takes an `Idempotency-Key`.
    #[must_use]
    pub fn once(mut self) -> Self {
        describe::once(&mut self.operation);
        self
    }

    /// Its answer of this status has a header, beside those of every answer.
    #[must_use]
    pub fn header(mut self, status: u16, name: &str) -> Self {
        describe::header(&mut self.operation, status, name);
        self
    }

    /// What was tried, as the audit trail names it where a stored secret does not open.
    #[must_use]
    pub fn verb(mut self, verb: &'static str) -> Self {
        self.verb = verb;
        self
    }

    /// Callers who may do this are let in.
    pub fn may(mut self, action: Action) -> Decided {
        describe::gated(&mut self.operation, self.path);
        Decided {
            draft: self,
            action: Some(action),
        }
    }

    /// Everybody is let in, without a token.
    pub fn open(mut self) -> Decided {
        self.operation.security = Some(Vec::new());
        Decided {
            draft: self,
            action: None,
        }
    }
}

impl Decided {
    /// Who answers.
    pub fn to<H, T>(self, handler: H) -> Route
    where
        H: Handler<T, App>,
        T: 'static,
    {
        let Self { mut draft, action } = self;
        describe::finish(&mut draft.operation);
        // `route` is called with the methods of HTTP that a filter knows.
        let filter = MethodFilter::try_from(draft.method.clone()).unwrap_or(MethodFilter::GET);
        Route {
            decision: action.map(|action| Decision {
                action,
                verb: draft.verb,
            }),
            method: draft.method,
            path: draft.path,
            operation: draft.operation,
            schemas: draft.schemas,
            takes_query: draft.takes_query,
            handler: on(filter, handler),
        }
    }
}

impl Route {
    /// The handler behind its gate. What is added last is met first.
    pub fn guarded(self, app: &App) -> (&'static str, MethodRouter<App>) {
        let mut handler = self.handler;
        if !self.takes_query {
            handler = handler.route_layer(from_fn(query::none));
        }
        if let Some(decision) = self.decision {
            handler = handler
                .route_layer(from_fn_with_state(app.clone(), gate))
                .route_layer(Extension(decision));
        }
        (self.path, handler)
    }
}
