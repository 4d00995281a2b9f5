//! Connections to the database: borrowed, limited, given back, or dropped.
//!
//! The pool is `deadpool`'s; sqlx's own asks the server twice a transaction whether a connection lives, once without a
//! limit of time. Here `BEGIN` is that question: a connection that does not answer it is dropped and the next one is
//! asked, for nothing was done yet. Once one failed, all that were idle then are made anew.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use deadpool::Runtime;
use deadpool::managed::{
    Manager, Metrics, Object, Pool, PoolConfig, PoolError, QueueMode, RecycleError, RecycleResult,
    TimeoutType, Timeouts,
};
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Connection, PgConnection};

use super::database::DatabaseError;
use super::limits::{self, limited, within};
use super::pooler::{self, Sessions};
use super::transaction::{Single, Transaction};

/// How old a connection may become: after a fail-over or a change of addresses all are soon where they belong.
const OLDEST: Duration = Duration::from_secs(30 * 60);
/// How long one may be idle.
const IDLEST: Duration = Duration::from_secs(10 * 60);
/// Statements that a connection keeps the plans of; regcred has fewer.
const KEPT_STATEMENTS: usize = 512;
/// After this long without use, a connection may have died without our seeing it: it is asked before it is lent.
const STALE: Duration = Duration::from_millis(500);
/// How long to rest before a server that is starting is asked again.
const REST: Duration = Duration::from_millis(100);
/// How long the pool waits at its end for those who still hold a connection.
const CLOSE: Duration = Duration::from_secs(5);

/// What stands between this program and PostgreSQL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Pooler {
    /// Nothing that gives a connection of ours another one of PostgreSQL's.
    #[default]
    None,
    /// A proxy that gives each transaction a connection of the server: nothing that outlives a transaction is used, neither
    /// named statements nor settings of the session nor `LISTEN`.
    Transaction,
}

/// What is done about a server that refuses connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Refused {
    /// It may be starting: it is asked again for a while.
    AskAgain,
    /// Whoever started the command is told.
    Tell,
}

/// Who makes connections, and says which may be used again.
pub(super) struct Maker {
    options: PgConnectOptions,
    capacity_is_given: bool,
    sessions: AtomicU8,
    refused: Refused,
    /// Connections made before this are not trusted.
    suspected: Mutex<Option<Instant>>,
}

/// A borrowed connection.
pub(super) type Borrowed = Object<Maker>;

/// The database: connections to it, and how work on them begins. Cheap to clone.
#[derive(Clone)]
pub struct Database {
    pool: Pool<Maker>,
    pooler: Pooler,
}

/// How the pool is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Use {
    /// Most connections.
    pub most: usize,
    /// Those that are open.
    pub open: usize,
    /// Those that nobody has borrowed.
    pub idle: usize,
    /// Who waits for one.
    pub waiting: usize,
}

impl Database {
    /// A database for a command that ends soon: it works whatever stands between, and keeps no plans. A server that
    /// refuses the connection is told at once.
    ///
    /// # Errors
    /// `Url` if the URL does not parse.
    pub fn of_command(url: &str, most: usize) -> Result<Self, DatabaseError> {
        Self::new(url, most, Pooler::Transaction, Refused::Tell)
    }

    /// A database for a server. The first connection is made when it is first needed; until [`Self::probe`] was called,
    /// nothing is used that outlives a transaction.
    ///
    /// # Errors
    /// `Url` if the URL does not parse.
    pub fn of_server(url: &str, most: usize, pooler: Pooler) -> Result<Self, DatabaseError> {
        Self::new(url, most, pooler, Refused::AskAgain)
    }

    fn new(
        url: &str,
        most: usize,
        pooler: Pooler,
        refused: Refused,
    ) -> Result<Self, DatabaseError> {
        let maker = Maker {
            options: options(url)?,
            capacity_is_given: url.contains("statement-cache-capacity="),
            sessions: AtomicU8::new(Sessions::Pooled as u8),
            refused,
            suspected: Mutex::default(),
        };
        let config = PoolConfig {
            max_size: most,
            timeouts: Timeouts::default(),
            queue_mode: QueueMode::Lifo,
        };
        let pool = Pool::builder(maker).config(config);
        let pool = pool.runtime(Runtime::Tokio1).build();
        Ok(Self {
            pool: pool.map_err(|_| DatabaseError::Url)?,
            pooler,
        })
    }

    /// Finds out what stands between, unless it was said, and what may be used of a session then.
    ///
    /// # Errors
    /// Those of connecting.
    pub async fn probe(&self) -> sqlx::Result<()> {
        if self.pooler == Pooler::Transaction {
            return Ok(());
        }
        let maker = self.pool.manager();
        let found = within(2 * limits::CONNECT, pooler::probe(&maker.options)).await?;
        maker.sessions.store(found as u8, Ordering::Relaxed);
        // Those that were made before keep no plans.
        maker.suspect();
        Ok(())
    }

    /// Where the database is, for people; without user and password.
    pub fn place(&self) -> String {
        let options = self.options();
        let host = match options.get_socket() {
            Some(socket) => socket.display().to_string(),
            None => format!("{}:{}", options.get_host(), options.get_port()),
        };
        format!("{host}/{}", options.get_database().unwrap_or_default())
    }

    /// What may be used of a session.
    pub fn sessions(&self) -> Sessions {
        self.pool.manager().sessions()
    }

    /// How a connection beside the pool is made.
    pub fn options(&self) -> &PgConnectOptions {
        &self.pool.manager().options
    }

    /// Begins a transaction.
    ///
    /// # Errors
    /// `PoolTimedOut` if all connections stay borrowed; those of connecting.
    pub async fn begin(&self) -> sqlx::Result<Transaction> {
        match self.sessions() {
            Sessions::Own => self.begin_with("BEGIN").await,
            _ => self.begin_with(limited!("BEGIN")).await,
        }
    }

    /// Begins a transaction of statements that each touch few rows. They are planned once a session, for all values:
    /// PostgreSQL takes many of ours for cheaper if planned for the values at hand, and then plans them at each run, which
    /// takes longer than to run them.
    ///
    /// # Errors
    /// As for [`Self::begin`].
    pub async fn begin_small(&self) -> sqlx::Result<Transaction> {
        match self.sessions() {
            Sessions::Own => {
                self.begin_with("BEGIN; SET LOCAL plan_cache_mode = force_generic_plan")
                    .await
            }
            _ => self.begin().await,
        }
    }

    /// Begins a transaction that sees one state of the database throughout.
    ///
    /// # Errors
    /// As for [`Self::begin`].
    pub async fn begin_snapshot(&self) -> sqlx::Result<Transaction> {
        match self.sessions() {
            Sessions::Own => {
                self.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ")
                    .await
            }
            _ => {
                self.begin_with(limited!("BEGIN ISOLATION LEVEL REPEATABLE READ"))
                    .await
            }
        }
    }

    async fn begin_with(&self, statement: &'static str) -> sqlx::Result<Transaction> {
        let until = Instant::now() + limits::CONNECT;
        loop {
            let borrowed = self.borrow(until).await?;
            let is_new = Object::metrics(&borrowed).recycle_count == 0;
            match Transaction::begin(borrowed, statement).await {
                Ok(begun) => return Ok(begun),
                Err(error) if is_new => return Err(error),
                Err(error) => {
                    tracing::debug!(%error, "a connection that was idle does not answer and is dropped");
                    self.pool.manager().suspect();
                }
            }
        }
    }

    /// A connection for statements that are each a transaction of their own.
    ///
    /// # Errors
    /// As for [`Self::begin`].
    pub async fn single(&self) -> sqlx::Result<Single> {
        let until = Instant::now() + limits::CONNECT;
        self.borrow(until).await.map(Single::new)
    }

    async fn borrow(&self, until: Instant) -> sqlx::Result<Borrowed> {
        let left = until.saturating_duration_since(Instant::now());
        let timeouts = Timeouts {
            wait: Some(left),
            create: Some(left.max(REST)),
            recycle: None,
        };
        self.pool
            .timeout_get(&timeouts)
            .await
            .map_err(|error| match error {
                PoolError::Backend(error) => error,
                PoolError::Closed => sqlx::Error::PoolClosed,
                PoolError::Timeout(TimeoutType::Create) => limits::no_answer(limits::CONNECT),
                _ => sqlx::Error::PoolTimedOut,
            })
    }

    /// How the pool is used just now.
    pub fn usage(&self) -> Use {
        let status = self.pool.status();
        Use {
            most: status.max_size,
            open: status.size,
            idle: status.available,
            waiting: status.waiting,
        }
    }

    /// Gives nobody a connection any more, and waits a little for those who have one.
    pub async fn close(&self) {
        self.pool.close();
        let until = Instant::now() + CLOSE;
        while self.pool.status().size > 0 && Instant::now() < until {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

/// Trusts no connection any more that was made before now, if this error says that one broke.
pub(super) fn suspect_after(borrowed: &Borrowed, error: &sqlx::Error) {
    use sqlx::Error as E;
    if matches!(error, E::Io(_) | E::Protocol(_) | E::Tls(_))
        && let Some(pool) = Object::pool(borrowed)
    {
        pool.manager().suspect();
    }
}

fn options(url: &str) -> Result<PgConnectOptions, DatabaseError> {
    let options: PgConnectOptions = url.parse().map_err(|_| DatabaseError::Url)?;
    Ok(options
        .application_name("regcred")
        .extra_float_digits(None)
        .log_statements(tracing::log::LevelFilter::Off)
        .log_slow_statements(tracing::log::LevelFilter::Off, Duration::ZERO))
}

impl Maker {
    fn sessions(&self) -> Sessions {
        Sessions::of(self.sessions.load(Ordering::Relaxed))
    }

    fn suspect(&self) {
        let mut suspected = self
            .suspected
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *suspected = Some(Instant::now());
    }

    fn is_suspected(&self, metrics: &Metrics) -> bool {
        let suspected = self
            .suspected
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        suspected.is_some_and(|since| metrics.created <= since)
    }

    async fn connect(&self) -> sqlx::Result<PgConnection> {
        let sessions = self.sessions();
        let options = match sessions {
            Sessions::Pooled => self.options.clone().statement_cache_capacity(0),
            _ if self.capacity_is_given => self.options.clone(),
            _ => (self.options.clone()).statement_cache_capacity(KEPT_STATEMENTS),
        };
        let mut conn = options.connect().await?;
        pooler::prepare(&mut conn, sessions).await?;
        Ok(conn)
    }
}

impl Manager for Maker {
    type Type = PgConnection;
    type Error = sqlx::Error;

    /// Made anew; the caller bounds how long.
    async fn create(&self) -> sqlx::Result<PgConnection> {
        let until = Instant::now() + limits::CONNECT;
        loop {
            match self.connect().await {
                Err(error)
                    if self.refused == Refused::AskAgain
                        && is_starting(&error)
                        && Instant::now() + REST < until =>
                {
                    tokio::time::sleep(REST).await;
                }
                done => return done,
            }
        }
    }

    async fn recycle(
        &self,
        conn: &mut PgConnection,
        metrics: &Metrics,
    ) -> RecycleResult<sqlx::Error> {
        let over = metrics.age() > OLDEST || metrics.last_used() > IDLEST;
        // A connection whose plans were found to be of no use has lost them all.
        let keeps = self.sessions() == Sessions::Pooled || conn.cached_statements_size() > 0;
        if over || !(keeps || self.capacity_is_given) || self.is_suspected(metrics) {
            return Err(RecycleError::message("it is made anew"));
        }
        if metrics.last_used() > STALE
            && let Err(error) = within(limits::BEGIN, conn.ping()).await
        {
            tracing::debug!(%error, "a connection that was idle does not answer and is dropped");
            self.suspect();
            return Err(error.into());
        }
        Ok(())
    }
}

/// Whether a server may be there in a moment.
fn is_starting(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(error) => error.kind() == std::io::ErrorKind::ConnectionRefused,
        sqlx::Error::Database(error) => error.code().is_some_and(|code| code == "57P03"),
        _ => false,
    }
}
