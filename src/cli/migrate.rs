//! `regcred migrate`.

use super::{runtime, say};
use crate::config::Config;
use crate::store::database::{self, Database};

pub(super) fn run(config: &Config) -> anyhow::Result<()> {
    let url = config.database_url()?.clone();
    let applied = runtime()?.block_on(async {
        let pool = Database::of_command(url.expose(), 2)?;
        let applied = database::migrate(&pool).await?;
        pool.close().await;
        anyhow::Ok(applied)
    })?;
    say(&match applied {
        0 => "nothing to do: the database is up to date".to_owned(),
        applied => format!("applied {applied} migration(s)"),
    });
    Ok(())
}
