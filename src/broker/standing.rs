//! Where tenants stand: how often each has changed.
//!
//! What is kept in memory is kept with these numbers, and is good where they are the same in a state of the database
//! that began after the request came. Requests that come at the same time read them together.

use std::collections::HashMap;
use std::sync::Arc;

use uuid::Uuid;

use super::batch::{ANSWERS_WITHIN, Kept, Work};
use super::{Broker, Result};
use crate::store::tenant_changes::{self, ChangesRow};

/// The platform's own changes stand under this id.
pub(super) const PLATFORM: Uuid = Uuid::nil();

/// How often a tenant, or the platform, has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Standing {
    /// What can be rendered.
    pub(super) contents: i64,
    /// Who may do what.
    pub(super) access: i64,
}

/// The standing of several, all of one moment.
#[derive(Debug, Clone, Default)]
pub(super) struct Standings(Arc<HashMap<Uuid, Standing>>);

impl Standings {
    /// The one standing that is known.
    pub(super) fn only(tenant: Uuid, standing: Standing) -> Self {
        Self(Arc::new(HashMap::from([(tenant, standing)])))
    }

    /// Those of rows that were read for these tenants; one that never changed has no row.
    pub(super) fn read(tenants: &[Uuid], rows: Vec<ChangesRow>) -> Self {
        let unchanged = tenants.iter().map(|tenant| (*tenant, Standing::default()));
        let changed = rows.into_iter().map(|row| {
            let standing = Standing {
                contents: row.contents,
                access: row.access,
            };
            (row.tenant_id, standing)
        });
        Self(Arc::new(unchanged.chain(changed).collect()))
    }

    /// The standing of one of those that were read.
    pub(super) fn of(&self, tenant: Uuid) -> Option<Standing> {
        self.0.get(&tenant).copied()
    }
}

/// One or two tenants whose standing a request needs.
pub(super) type Asked = (Uuid, Option<Uuid>);

/// Reads numbers for all who ask at the same time.
pub(super) struct ReadStandings;

impl Work for ReadStandings {
    type Question = Asked;
    type Answer = Standings;

    async fn answer(&self, connection: &mut Kept, asked: Vec<Asked>) -> Result<Vec<Standings>> {
        let both = asked.iter().flat_map(|(one, other)| [Some(*one), *other]);
        let mut tenants: Vec<Uuid> = both.flatten().collect();
        tenants.sort_unstable();
        tenants.dedup();
        let alone = match connection.single().await? {
            Some(single) => {
                let read = tenant_changes::of(single, &tenants);
                let read = tokio::time::timeout(ANSWERS_WITHIN, read).await;
                read.ok().and_then(std::result::Result::ok)
            }
            None => None,
        };
        let rows = match alone {
            Some(rows) => rows,
            // The connection may have died while it was idle. A transaction finds one that lives, and reading twice
            // changes nothing.
            None => {
                connection.give_up();
                let mut tx = connection.database().begin().await?;
                let rows = tenant_changes::of(&mut tx, &tenants).await?;
                tx.commit().await?;
                rows
            }
        };
        Ok(vec![Standings::read(&tenants, rows); asked.len()])
    }
}

impl Broker {
    /// Where these stand now: in a state of the database that begins after this was called.
    ///
    /// # Errors
    /// `Unavailable` if the database is away.
    pub(super) async fn standings(&self, tenants: Asked) -> Result<Standings> {
        self.standing_reads.ask(tenants).await
    }
}
