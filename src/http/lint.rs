//! `/v1/lint`.

use axum::Json;
use axum::http::Method;
use serde::Serialize;
use utoipa::ToSchema;

use super::body::JsonBody;
use super::gate::Entered;
use super::problem::{Answer, Code, Problem};
use super::route::{Route, Tag, route};
use crate::auth::role::Action;
use crate::intake::document::Content;
use crate::intake::request::File;
use crate::lint::finding::Finding;
use crate::lint::{self};
use crate::model::body::body;

body! {
    /// A document to be judged.
    pub struct LintBody { whole: "LintInput"; }
    fields {
        /// An auth file or manifests: as text, or as the JSON object that it holds.
        content: Content as File, required;
    }
    example {"content": "{\"auths\": {\"docker.io\": {\"username\": \"robot\", \"password\": \"s3cret\"}}}"}
}

/// What there is to say of a document.
#[derive(Serialize, ToSchema)]
pub struct LintReport {
    /// What was found, worst first.
    pub findings: Vec<Finding>,
    /// The document corrected as far as it can be, with its secrets; null where nothing is to correct.
    pub fixed: Option<String>,
}

/// The route of lint.
pub fn routes() -> Vec<Route> {
    vec![
        route(Method::POST, "/v1/lint", "lint", Tag::AuthFiles)
            .says(
                "Lints a document",
                "Which clients will refuse it, ignore parts of it or never find them; nothing is stored.",
            )
            .body::<LintBody>()
            .answers::<LintReport>(200, "What was found")
            .may(Action::Lint)
            .to(lint),
    ]
}

async fn lint(Entered(_scope): Entered, body: JsonBody) -> Answer<Json<LintReport>> {
    let LintBody { content } = body.read()?;
    Ok(Json(judged(content).await?))
}

/// A large document takes a while, which must not keep others waiting.
async fn judged(content: Content) -> Answer<LintReport> {
    let report = tokio::task::spawn_blocking(move || lint::lint(&content)).await;
    let report =
        report.map_err(|_| Problem::new(Code::Internal, "the request failed inside the server"))?;
    Ok(LintReport {
        findings: report.findings,
        fixed: report.fixed.map(|text| text.to_string()),
    })
}
