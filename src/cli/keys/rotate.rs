//! `regcred keys rotate`.

use super::{say, with_broker};
use crate::config::Config;

pub(super) fn run(config: &Config) -> anyhow::Result<()> {
    let id = with_broker(config, async |broker| broker.rotate_key().await)?;
    say(&format!(
        "new data keys are now wrapped by {id}; `regcred keys rewrap` encrypts anew what there is"
    ));
    Ok(())
}
