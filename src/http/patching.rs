//! Merge patches that meet other writes.

use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;

use super::conditional;
use super::problem::{Answer, Code, Problem};
use crate::broker::precondition::Precondition;

/// How often a patch is merged anew. Of writes that meet, one always wins, so only a crowd that keeps
/// writing the same thing comes this far.
const MOST_ATTEMPTS: usize = 100;

/// Merges a patch onto what is stored. If another write comes between reading and writing, the patch is
/// merged onto that one: a client that named no version asked for its members to be changed, whatever the
/// others are.
///
/// # Errors
/// Those of `attempt`; `conflict` if others always were faster.
pub(super) async fn merged<F>(
    headers: &HeaderMap,
    attempt: impl Fn(Precondition) -> F,
) -> Answer<Response>
where
    F: Future<Output = Answer<Response>>,
{
    let condition = conditional::precondition(headers)?;
    if condition != Precondition::default() {
        return attempt(condition).await;
    }
    for _ in 0..MOST_ATTEMPTS {
        match attempt(Precondition::default()).await {
            Err(problem) if problem.status() == StatusCode::PRECONDITION_FAILED => {}
            answer => return answer,
        }
    }
    Err(Problem::new(
        Code::Conflict,
        "others keep changing it; try again",
    ))
}
