//! Credentials to render: tenants with a thousand each, pull secrets with ten each.

use std::fmt::Write;

use anyhow::ensure;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

use crate::http::{Connection, request};

/// Credentials of a tenant.
pub const OF_TENANT: usize = 1000;
/// Credentials of a pull secret.
pub const OF_PULL_SECRET: usize = 10;
/// Pull secrets of a tenant.
pub const PULL_SECRETS: usize = 10;

/// Whoever fills.
pub struct Filler<'a> {
    /// A connection to the server.
    pub connection: Connection,
    /// An admin.
    pub admin: &'a str,
}

/// A tenant by its number.
pub fn tenant(number: usize) -> String {
    format!("t{number}")
}

impl Filler<'_> {
    /// Makes a tenant with its credentials and pull secrets; gives the token of a puller.
    ///
    /// # Errors
    /// If the server refuses something.
    pub async fn tenant(&mut self, number: usize) -> anyhow::Result<String> {
        let base = format!("/v1/tenants/{}", tenant(number));
        self.ask("PUT", &base, &json!({})).await?;
        let import = json!({"content": auth_file(number), "name_prefix": "c"});
        let report = self
            .ask("POST", &format!("{base}/imports"), &import)
            .await?;
        let entries = report["entries"].as_array().cloned().unwrap_or_default();
        let names: Vec<&str> = entries
            .iter()
            .filter_map(|entry| entry["credential"].as_str())
            .collect();
        ensure!(names.len() == OF_TENANT, "{} were imported", names.len());
        for (number, names) in names.chunks(OF_PULL_SECRET).take(PULL_SECRETS).enumerate() {
            let path = format!("{base}/pull-secrets/p{number}");
            self.ask("PUT", &path, &json!({"credentials": names}))
                .await?;
        }
        let token = json!({"name": "load", "role": "puller"});
        let made = self.ask("POST", &format!("{base}/tokens"), &token).await?;
        Ok(made["token"].as_str().unwrap_or_default().to_owned())
    }

    async fn ask(&mut self, method: &str, path: &str, body: &Value) -> anyhow::Result<Value> {
        let body = body.to_string();
        let request = request(method, path, Some(self.admin), "", Some(&body));
        let status = self.connection.send(&request).await?;
        ensure!(
            status < 300,
            "{method} {path}: {status} {}",
            self.connection.body()
        );
        Ok(serde_json::from_str(&self.connection.body())?)
    }
}

fn auth_file(tenant: usize) -> String {
    let mut text = String::from("{\"auths\":{");
    for number in 0..OF_TENANT {
        let account = BASE64_STANDARD.encode(format!("robot{number}:secret-{tenant}-{number}"));
        let comma = if number > 0 { "," } else { "" };
        // Writing into a String cannot fail.
        let _ = write!(
            text,
            "{comma}\"r{number}.example.com/team\":{{\"auth\":\"{account}\"}}"
        );
    }
    text.push_str("}}");
    text
}
