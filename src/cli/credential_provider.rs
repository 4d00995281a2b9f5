//! `regcred credential-provider`: kubelet's exec plugin.
//!
//! kubelet writes a request to standard input and reads the answer from standard output.

use std::io::{Read, Write};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use serde::Deserialize;
use zeroize::Zeroizing;

use super::connection::PlaceArgs;
use super::one_thread;
use crate::client::answer::Answer;
use crate::client::api::Call;
use crate::client::error::ClientError;
use crate::client::token_file::{TokenFile, bearer};
use crate::model::secret::SecretText;
use crate::render::credential_provider::API_VERSION;

const REQUEST: &str = "CredentialProviderRequest";
const RESPONSE: &str = "CredentialProviderResponse";
/// Longest request in bytes.
const MOST_BYTES: u64 = 1024 * 1024;

/// Flags of `credential-provider`.
#[derive(Debug, Args)]
pub(super) struct CredentialProviderArgs {
    #[command(flatten)]
    place: PlaceArgs,
    /// The pull secret.
    #[arg(long, env = "REGCRED_PULL_SECRET", value_name = "NAME")]
    pull_secret: String,
    /// File with the caller's token; a service account token in the request stands over it.
    #[arg(long, env = "REGCRED_TOKEN_FILE", value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Seconds that the answer may take; kubelet gives up after 60.
    #[arg(long, value_name = "SECONDS", default_value = "20", value_parser = clap::value_parser!(u64).range(1..=60))]
    timeout: u64,
}

/// What of kubelet's request counts here. Later versions of kubelet may say more.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Request {
    api_version: String,
    kind: String,
    image: String,
    service_account_token: Option<SecretText>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ResponseHead {
    api_version: String,
    kind: String,
}

pub(super) fn run(args: &CredentialProviderArgs) -> anyhow::Result<()> {
    let request = read_request()?;
    let caller = caller(&request, args)?;
    let answer = one_thread()?.block_on(ask(args, &request.image, &caller))?;
    let head: ResponseHead = answer.json()?;
    if head.api_version != API_VERSION || head.kind != RESPONSE {
        return Err(answer
            .unexpected("it is no CredentialProviderResponse")
            .into());
    }
    let mut out = std::io::stdout().lock();
    out.write_all(&answer.body)?;
    out.flush().context("cannot write the answer")
}

fn read_request() -> anyhow::Result<Request> {
    let mut text = Zeroizing::new(Vec::new());
    std::io::stdin()
        .take(MOST_BYTES)
        .read_to_end(&mut text)
        .context("cannot read the request from standard input")?;
    // The parser's message may quote the token.
    let request: Request = serde_json::from_slice(&text)
        .map_err(|_| anyhow::anyhow!("standard input holds no {REQUEST}; kubelet writes one"))?;
    anyhow::ensure!(
        request.api_version == API_VERSION && request.kind == REQUEST,
        "expected a {REQUEST} of {API_VERSION}; set `apiVersion: {API_VERSION}` in kubelet's CredentialProviderConfig"
    );
    Ok(request)
}

/// The pod's service account, if kubelet names it, else whose token the file holds.
fn caller(request: &Request, args: &CredentialProviderArgs) -> Result<SecretText, ClientError> {
    let given = request.service_account_token.as_ref();
    match given.filter(|token| !token.is_empty()) {
        Some(token) => bearer(token.expose()).ok_or(ClientError::NoToken(
            "the service account token in the request is none",
        )),
        None => match &args.token_file {
            Some(file) => TokenFile(file.clone()).read(),
            None => Err(ClientError::NoToken(
                "the request holds no service account token; set tokenAttributes in kubelet's CredentialProviderConfig, or give --token-file",
            )),
        },
    }
}

async fn ask(
    args: &CredentialProviderArgs,
    image: &str,
    caller: &SecretText,
) -> Result<Answer, ClientError> {
    let api = args.place.api(Duration::from_secs(args.timeout))?;
    // The token goes into the header alone.
    let body = serde_json::json!({"apiVersion": API_VERSION, "kind": REQUEST, "image": image});
    let path = [
        "v1",
        "tenants",
        &args.place.tenant,
        "pull-secrets",
        &args.pull_secret,
        "credential-provider",
    ];
    let body = Zeroizing::new(body.to_string().into_bytes());
    api.call(Call::send(reqwest::Method::POST, &path, body), caller)
        .await
}
