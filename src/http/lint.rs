//! `/v1/lint`.

use axum::Json;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::body::JsonBody;
use super::gate::Entered;
use super::problem::{Answer, Code, Problem};
use crate::intake::document::Content;
use crate::intake::request::content;
use crate::lint::finding::Finding;
use crate::lint::{self};
use crate::model::form::Form;

/// A document to be judged.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"content": "{\"auths\": {\"docker.io\": {\"username\": \"robot\", \"password\": \"s3cret\"}}}"}))]
pub struct LintBody {
    /// An auth file or manifests: as text, or as the JSON object that it holds.
    #[schema(value_type = Object)]
    pub content: Value,
}

/// What there is to say of a document.
#[derive(Serialize, ToSchema)]
pub struct LintReport {
    /// What was found, worst first.
    pub findings: Vec<Finding>,
    /// The document corrected as far as it can be, with its secrets; null where nothing is to correct.
    pub fixed: Option<String>,
}

/// Lints a document
///
/// Which clients will refuse it, ignore parts of it or never find them; nothing is stored.
#[utoipa::path(post, path = "/v1/lint", tag = "clients",
    request_body = LintBody,
    responses((status = 200, description = "What was found", body = LintReport)))]
pub async fn lint(Entered(_scope): Entered, body: JsonBody) -> Answer<Json<LintReport>> {
    let mut form = Form::new(body.json, "");
    let content = form.required("content", content);
    let content = form.finish(content).map_err(Problem::invalid)?;
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
