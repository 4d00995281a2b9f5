//! Word to a webhook: written beside what it tells of, sent until it is taken.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aws_lc_rs::hmac;
use serde_json::{Value, json};
use sqlx::PgConnection;
use url::Url;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::{Broker, Result, Scope};
use crate::model::time as times;
use crate::registry::egress::Ask;
use crate::store::webhook_deliveries::{self, DeliveryRow};

/// How many are sent in one go.
const SENT_AT_ONCE: i64 = 16;
/// How long a replica may take to send what it claimed: each has the ten seconds of every request.
const LEASE: Duration = Duration::from_secs(300);
/// How long after the first failure it is sent again; doubled each time.
const FIRST_PAUSE: Duration = Duration::from_secs(10);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(60 * 60);
/// How long it is tried at all.
const GIVEN_UP_AFTER: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// Where word goes, and the key that signs it.
#[derive(Clone)]
pub struct Webhook(Arc<Inner>);

struct Inner {
    url: Url,
    key: Mutex<hmac::Key>,
    file: Option<PathBuf>,
}

/// Why a file holds no secret to sign with.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// It cannot be read.
    #[error("cannot read {0}: {1}")]
    Read(String, std::io::Error),
    /// There is nothing in it.
    #[error("{0} is empty; `openssl rand -hex 32` makes a secret")]
    Empty(String),
}

impl Webhook {
    /// A webhook and its secret.
    pub fn new(url: Url, secret: &[u8]) -> Self {
        Self(Arc::new(Inner {
            url,
            key: Mutex::new(hmac::Key::new(hmac::HMAC_SHA256, secret)),
            file: None,
        }))
    }

    /// A webhook whose secret is the text of a file, without white space around it.
    ///
    /// # Errors
    /// What is wrong with the file.
    pub fn from_file(url: Url, file: PathBuf) -> Result<Self, SecretError> {
        Ok(Self(Arc::new(Inner {
            url,
            key: Mutex::new(read_key(&file)?),
            file: Some(file),
        })))
    }

    /// Takes the secret that the file has now.
    ///
    /// # Errors
    /// What is wrong with the file; then the former secret stays.
    pub fn read_again(&self) -> Result<(), SecretError> {
        if let Some(file) = &self.0.file {
            *self.key() = read_key(file)?;
        }
        Ok(())
    }

    fn key(&self) -> MutexGuard<'_, hmac::Key> {
        self.0.key.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `v1=` and the hexadecimal HMAC-SHA-256 of the time, a full stop and the body.
    fn sign(&self, timestamp: &str, body: &str) -> String {
        let tag = hmac::sign(&self.key(), format!("{timestamp}.{body}").as_bytes());
        let hex: String = tag
            .as_ref()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        format!("v1={hex}")
    }
}

fn read_key(file: &Path) -> Result<hmac::Key, SecretError> {
    let shown = || file.display().to_string();
    let text = std::fs::read_to_string(file)
        .map(Zeroizing::new)
        .map_err(|error| SecretError::Read(shown(), error))?;
    let secret = text.trim();
    if secret.is_empty() {
        return Err(SecretError::Empty(shown()));
    }
    Ok(hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()))
}

impl fmt::Debug for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Webhook(..)")
    }
}

impl Broker {
    /// Writes word of an event, to be sent once its transaction holds. Nothing without a webhook.
    pub(super) async fn announce(
        &self,
        conn: &mut PgConnection,
        scope: &Scope,
        event: &str,
        credential: &str,
        detail: Value,
    ) -> Result<()> {
        if self.webhook.is_none() {
            return Ok(());
        }
        let id = Uuid::now_v7();
        let body = json!({
            "id": id,
            "event": event,
            "at": times::format(self.now()),
            "tenant": scope.tenant()?.name.to_string(),
            "credential": credential,
            "detail": detail,
        });
        webhook_deliveries::insert(conn, id, &body.to_string(), self.now()).await?;
        Ok(())
    }

    /// Sends what waits. Gives how many were taken.
    pub async fn send_announcements(&self) -> Result<u64> {
        let Some(webhook) = self.webhook.clone() else {
            return Ok(0);
        };
        let mut tx = self.begin().await?;
        let until = self.later(LEASE);
        let rows = webhook_deliveries::claim(&mut tx, self.now(), until, SENT_AT_ONCE).await?;
        tx.commit().await?;
        let mut taken = 0;
        for row in rows {
            taken += u64::from(self.send_one(&webhook, &row).await?);
        }
        Ok(taken)
    }

    async fn send_one(&self, webhook: &Webhook, row: &DeliveryRow) -> Result<bool> {
        let why = self.post(webhook, row).await;
        let mut tx = self.begin().await?;
        match &why {
            None => webhook_deliveries::delete(&mut tx, row.id).await?,
            Some(why) if self.now() - row.created_at > GIVEN_UP_AFTER => {
                tracing::error!(id = %row.id, why, "the webhook took nothing for a week; an event is given up");
                webhook_deliveries::delete(&mut tx, row.id).await?;
            }
            Some(why) => {
                tracing::warn!(id = %row.id, attempts = row.attempts, why, "the webhook did not take an event; sent again later");
                let next = self.later(pause_after(row.attempts));
                webhook_deliveries::put_off(&mut tx, row.id, next).await?;
            }
        }
        tx.commit().await?;
        Ok(why.is_none())
    }

    /// Sends one; gives why it was not taken.
    async fn post(&self, webhook: &Webhook, row: &DeliveryRow) -> Option<String> {
        let timestamp = self.now().unix_timestamp().to_string();
        let signature = webhook.sign(&timestamp, &row.body);
        let id = row.id.to_string();
        let ask = Ask::PostJson {
            headers: &[
                ("regcred-event-id", id.as_str()),
                ("regcred-timestamp", timestamp.as_str()),
                ("regcred-signature", signature.as_str()),
            ],
            body: row.body.as_bytes(),
        };
        match self.egress.send(&webhook.0.url, &ask).await {
            Ok(reply) if reply.status.is_success() => None,
            Ok(reply) => Some(format!("HTTP {}", reply.status.as_u16())),
            Err(error) => Some(error.to_string()),
        }
    }
}

fn pause_after(attempts: i32) -> Duration {
    let doublings = u32::try_from(attempts - 1).unwrap_or_default().min(20);
    FIRST_PAUSE
        .saturating_mul(1 << doublings)
        .min(LONGEST_PAUSE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_an_hour() {
        let pauses: Vec<u64> = [1, 2, 3, 9, 10, 1000]
            .into_iter()
            .map(|attempts| pause_after(attempts).as_secs())
            .collect();
        assert_eq!(pauses, [10, 20, 40, 2560, 3600, 3600]);
    }

    /// The value was computed with `printf '1767225600.{}' | openssl dgst -sha256 -hmac secret`.
    #[test]
    fn the_signature_is_that_of_openssl() {
        let url = Url::parse("https://hooks.example.com/").expect("a URL");
        let webhook = Webhook::new(url, b"secret");
        assert_eq!(
            webhook.sign("1767225600", "{}"),
            "v1=fa7eaa06bf97d7815f3f456e97cde70c9e50cb005f01660c8d10b10c21964887"
        );
        assert!(!format!("{webhook:?}").contains("secret"));
    }
}
