//! Telling those who wait that something changed.
//!
//! The numbers of changes are read twice a second for all who wait on this replica together, and at once
//! when the database notifies. Notifications only make it faster: behind a proxy that pools
//! transactions none is asked for, and what is lost with a connection is found at the next turn.

use std::time::Duration;

use sqlx::PgPool;
use sqlx::postgres::{PgListener, PgPoolOptions};
use tokio::sync::watch;
use uuid::Uuid;

use crate::broker::Broker;
use crate::http::server::stopped;
use crate::store::Database;
use crate::store::pooler::Sessions;
use crate::store::tenant_changes::{self, CHANNEL};

/// How often the numbers are read without a notification.
const READ_EVERY: Duration = Duration::from_millis(500);
/// How long a test notification may take.
const HEARD_WITHIN: Duration = Duration::from_secs(5);
/// How often a silent connection is tried.
const TRY_EVERY: Duration = Duration::from_secs(30);
/// How long to rest before connecting anew.
const REST: Duration = Duration::from_secs(2);
/// The same where a test notification did not arrive.
const LONG_REST: Duration = Duration::from_secs(10 * 60);

/// Runs until `stop` becomes true; then everybody who waits is sent home.
pub async fn run(broker: Broker, mut stop: watch::Receiver<bool>) {
    tokio::select! {
        () = read(&broker) => {}
        () = listen(&broker) => {}
        () = stopped(&mut stop) => {}
    }
    broker.changes().close();
}

async fn read(broker: &Broker) {
    let mut turn = tokio::time::interval(READ_EVERY);
    turn.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = turn.tick() => {}
            () = broker.changes().hurried() => {}
        }
        let asked = broker.changes().waited_for();
        if asked.is_empty() {
            continue;
        }
        match read_once(broker.database(), &asked).await {
            Ok(rows) => broker.changes().hear(&asked, &rows),
            Err(error) => tracing::debug!(%error, "the numbers of changes cannot be read"),
        }
    }
}

async fn read_once(
    database: &Database,
    asked: &[Uuid],
) -> sqlx::Result<Vec<tenant_changes::ChangesRow>> {
    let mut conn = database.single().await?;
    let rows = tenant_changes::of(&mut conn, asked).await?;
    conn.done();
    Ok(rows)
}

/// How listening ended.
enum Deaf {
    /// The connection broke.
    Broken(sqlx::Error),
    /// Nothing comes through.
    NothingArrives,
}

async fn listen(broker: &Broker) {
    if broker.database().sessions() != Sessions::Own {
        // A LISTEN would stay on a connection that serves others next.
        return std::future::pending().await;
    }
    loop {
        match listen_once(broker).await {
            Deaf::Broken(error) => {
                tracing::debug!(%error, "notifications are read anew");
                tokio::time::sleep(REST).await;
            }
            Deaf::NothingArrives => {
                tracing::warn!(
                    "the database's notifications do not arrive; where a proxy that pools transactions stands before it, set REGCRED_DATABASE_POOLER=transaction; changes are found by reading"
                );
                tokio::time::sleep(LONG_REST).await;
            }
        }
    }
}

/// Listens on a connection of its own, for as long as it lasts. It is tried now and then: one that died without a word
/// would be listened to for ever.
async fn listen_once(broker: &Broker) -> Deaf {
    let own = PgPoolOptions::new()
        .max_connections(1)
        .acquire_timeout(HEARD_WITHIN)
        .connect_lazy_with(broker.database().options().clone());
    let mut listener = match tokio::time::timeout(HEARD_WITHIN, connect(&own)).await {
        Ok(Ok(listener)) => listener,
        Ok(Err(error)) => return Deaf::Broken(error),
        Err(_) => return Deaf::Broken(sqlx::Error::PoolTimedOut),
    };
    if !arrives(broker.database(), &mut listener).await {
        return Deaf::NothingArrives;
    }
    loop {
        match tokio::time::timeout(TRY_EVERY, listener.try_recv()).await {
            Ok(Ok(Some(notification))) => {
                let tenant = notification.payload().parse::<Uuid>();
                if tenant.is_ok_and(|tenant| broker.changes().is_waited_for(tenant)) {
                    broker.changes().hurry();
                }
            }
            Ok(Ok(None)) => broker.changes().hurry(),
            Ok(Err(error)) => return Deaf::Broken(error),
            Err(_) => {
                let heard = arrives(broker.database(), &mut listener).await;
                // What came in between was taken for the answer that did not fit.
                broker.changes().hurry();
                if !heard {
                    return Deaf::Broken(sqlx::Error::WorkerCrashed);
                }
            }
        }
    }
}

async fn connect(pool: &PgPool) -> sqlx::Result<PgListener> {
    let mut listener = PgListener::connect_with(pool).await?;
    listener.listen(CHANNEL).await?;
    Ok(listener)
}

/// Whether what is said on another connection is heard on this one.
async fn arrives(database: &Database, listener: &mut PgListener) -> bool {
    let word = format!("test {}", Uuid::now_v7());
    let said = async {
        let mut tx = database.begin().await?;
        tenant_changes::say(&mut tx, &word).await?;
        tx.commit().await
    };
    if said.await.is_err() {
        return false;
    }
    let heard = async {
        while let Ok(notification) = listener.recv().await {
            if notification.payload() == word {
                return true;
            }
        }
        false
    };
    tokio::time::timeout(HEARD_WITHIN, heard)
        .await
        .unwrap_or_default()
}
