//! What is measured, in turn.

use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use crate::fill::{PULL_SECRETS, tenant};
use crate::http::{Connection, Load, Requests, drive, request};
use crate::pgbench::Script;
use crate::stage::Stage;

/// Connections of the load.
const CONNECTIONS: usize = 64;

/// A row of the table, by what it measures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// `pgbench -S -M prepared`.
    DatabaseReads,
    /// `pgbench -N`.
    DatabaseWrites,
    /// `pgbench -N`, one connection.
    OneDatabaseWrite,
    /// `GET /healthz`.
    Health,
    /// Renderings of ten credentials, the same 64 pull secrets again and again.
    Renderings,
    /// Renderings of ten credentials, each of any pull secret of any tenant.
    SpreadRenderings,
    /// One rendering at a time.
    OneRendering,
    /// Renderings answered 304.
    NotModified,
    /// `GET /v1/whoami`.
    WhoAmI,
    /// Renderings of ten credentials, of one pull secret for all connections: what comes after a rotation.
    SharedRenderings,
    /// Writes of a credential, in as many tenants as there are.
    Writes,
    /// Writes of a credential, all in one tenant.
    SharedWrites,
}

impl What {
    /// Whether regcred has a part in it.
    pub fn is_of_regcred(self) -> bool {
        !matches!(
            self,
            Self::DatabaseReads | Self::DatabaseWrites | Self::OneDatabaseWrite
        )
    }

    /// As the table shows it.
    pub fn text(self) -> &'static str {
        match self {
            Self::DatabaseReads => "(a) `pgbench -S -M prepared`",
            Self::DatabaseWrites => "(c) `pgbench -N`",
            Self::OneDatabaseWrite => "(d) `pgbench -N`, one connection",
            Self::Health => "(b) `GET /healthz`",
            Self::Renderings => "rendering of 10 credentials",
            Self::SpreadRenderings => "rendering, over all tenants",
            Self::OneRendering => "one rendering at a time",
            Self::NotModified => "rendering answered 304",
            Self::WhoAmI => "`GET /v1/whoami`",
            Self::SharedRenderings => "rendering, one pull secret for all",
            Self::Writes => "write of a credential",
            Self::SharedWrites => "write of a credential, one tenant",
        }
    }
}

/// What one row gave.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    /// Which row.
    pub what: What,
    /// What was measured.
    pub load: Load,
    /// CPU time of regcred for each answer, in microseconds.
    pub regcred_micros: f64,
    /// CPU time of PostgreSQL for each answer, in microseconds.
    pub database_micros: f64,
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:<36} {:>8.0} /s  median {:>7.3} ms  99 % {:>8.3} ms  CPU {:>5.0} + {:>5.0} us",
            self.what.text(),
            self.load.rate,
            self.load.median.as_secs_f64() * 1e3,
            self.load.p99.as_secs_f64() * 1e3,
            self.regcred_micros,
            self.database_micros,
        )
    }
}

/// Measures all rows once, or only those whose text contains something.
///
/// # Errors
/// If something answers otherwise than it must.
pub async fn measure(
    stage: &Stage,
    time: Duration,
    only: Option<&str>,
) -> anyhow::Result<Vec<Row>> {
    let tags = tags(stage).await?;
    let mut rows = Vec::new();
    for what in [
        What::DatabaseReads,
        What::Health,
        What::Renderings,
        What::SharedRenderings,
        What::SpreadRenderings,
        What::NotModified,
        What::WhoAmI,
        What::DatabaseWrites,
        What::Writes,
        What::SharedWrites,
        What::OneDatabaseWrite,
        What::OneRendering,
    ] {
        if only.is_some_and(|only| !what.text().contains(only)) {
            continue;
        }
        let before = stage.cpu();
        let load = match what {
            What::DatabaseReads => bench(stage, Script::Reads, CONNECTIONS, time).await?,
            What::DatabaseWrites => bench(stage, Script::Writes, CONNECTIONS, time).await?,
            What::OneDatabaseWrite => bench(stage, Script::Writes, 1, time).await?,
            What::OneRendering => drive(stage.address, 1, time, requests(stage, what, &[])).await?,
            _ => {
                drive(
                    stage.address,
                    CONNECTIONS,
                    time,
                    requests(stage, what, &tags),
                )
                .await?
            }
        };
        let after = stage.cpu();
        let each = |before: u64, after: u64| {
            after.saturating_sub(before) as f64 / (load.count.max(1)) as f64
        };
        rows.push(Row {
            what,
            load,
            regcred_micros: each(before.0, after.0),
            database_micros: each(before.1, after.1),
        });
    }
    Ok(rows)
}

async fn bench(
    stage: &Stage,
    script: Script,
    clients: usize,
    time: Duration,
) -> anyhow::Result<Load> {
    let rate = stage.pgbench(script, clients, time).await?;
    Ok(Load {
        rate: rate.rate,
        median: rate.latency,
        p99: Duration::ZERO,
        count: (rate.rate * time.as_secs_f64()) as u64,
    })
}

/// Which pull secret a connection asks for again and again: its tenant's number and its own.
fn own(stage: &Stage, connection: usize) -> (usize, usize) {
    let tenants = stage.pullers.len();
    (connection % tenants, connection / tenants % PULL_SECRETS)
}

/// Any pull secret; each connection goes its own way through all.
fn any(stage_tenants: usize, connection: usize, nth: u64) -> (usize, usize) {
    // The finalizer of SplitMix64 spreads neighbouring numbers over everything.
    let mut mixed = (connection as u64) << 40 | nth;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^= mixed >> 31;
    let at = (mixed % (stage_tenants * PULL_SECRETS) as u64) as usize;
    (at / PULL_SECRETS, at % PULL_SECRETS)
}

fn manifest((tenant_number, pull_secret): (usize, usize)) -> String {
    let tenant = tenant(tenant_number);
    format!("/v1/tenants/{tenant}/pull-secrets/p{pull_secret}/manifest")
}

async fn tags(stage: &Stage) -> anyhow::Result<Vec<String>> {
    let mut connection = Connection::open(stage.address).await?;
    let mut tags = Vec::new();
    for number in 0..CONNECTIONS {
        let own = own(stage, number);
        let request = request("GET", &manifest(own), Some(&stage.pullers[own.0]), "", None);
        connection.send(&request).await?;
        let tag = connection.header("etag").unwrap_or_default().to_owned();
        anyhow::ensure!(!tag.is_empty(), "no tag: {}", connection.body());
        tags.push(tag);
    }
    Ok(tags)
}

fn requests(stage: &Stage, what: What, tags: &[String]) -> Requests {
    let always = |bytes: Vec<Rc<[u8]>>| -> Box<dyn Fn(usize, u64) -> Rc<[u8]>> {
        Box::new(move |connection, _| bytes[connection].clone())
    };
    let for_all = |one: &dyn Fn(usize) -> Rc<[u8]>| always((0..CONNECTIONS).map(one).collect());
    let own_with = |number: usize, extra: &str| {
        let own = own(stage, number);
        request(
            "GET",
            &manifest(own),
            Some(&stage.pullers[own.0]),
            extra,
            None,
        )
    };
    let bytes = match what {
        What::Health => for_all(&|_| request("GET", "/healthz", None, "", None)),
        What::Renderings | What::OneRendering => for_all(&|number| own_with(number, "")),
        What::SharedRenderings => for_all(&|_| own_with(0, "")),
        What::NotModified => {
            for_all(&|number| own_with(number, &format!("if-none-match: {}\r\n", tags[number])))
        }
        What::WhoAmI => for_all(&|number| {
            let token = &stage.pullers[own(stage, number).0];
            request("GET", "/v1/whoami", Some(token), "", None)
        }),
        What::SpreadRenderings => {
            let pullers = stage.pullers.clone();
            Box::new(move |connection, nth| {
                let any = any(pullers.len(), connection, nth);
                request("GET", &manifest(any), Some(&pullers[any.0]), "", None)
            })
        }
        What::Writes
        | What::SharedWrites
        | What::DatabaseReads
        | What::DatabaseWrites
        | What::OneDatabaseWrite => {
            let tenants = match what {
                What::SharedWrites => 1,
                _ => stage.pullers.len(),
            };
            let admin = stage.admin.clone();
            let salt = std::time::SystemTime::now();
            let salt = salt.duration_since(std::time::UNIX_EPOCH);
            let salt = salt.map(|since| since.as_millis()).unwrap_or_default();
            Box::new(move |connection, nth| {
                let tenant = tenant(connection % tenants);
                let path = format!("/v1/tenants/{tenant}/credentials/written-{connection}");
                let body = format!(
                    "{{\"registry\":\"w{connection}.example.com\",\"username\":\"robot\",\"secret\":\"{salt}-{nth}\"}}"
                );
                request("PUT", &path, Some(&admin), "", Some(&body))
            })
        }
    };
    Requests {
        bytes,
        status: match what {
            What::NotModified => 304,
            _ => 200,
        },
    }
}
