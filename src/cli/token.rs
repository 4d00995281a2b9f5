//! `regcred token create`.

use std::time::SystemTime;

use clap::{Args, Subcommand};

use super::{runtime, say};
use crate::auth::role::Role;
use crate::broker::tokens::{Ends, TokenWrite, bootstrap_token, token_name};
use crate::config::Config;
use crate::model::name::Name;
use crate::model::time as times;
use crate::store::database::{self, Database};

/// What to do with tokens.
#[derive(Debug, Subcommand)]
pub(super) enum TokenCommand {
    /// Make a platform token and print it once.
    #[command(after_help = super::NEEDS_DATABASE)]
    Create(CreateArgs),
}

#[derive(Debug, Args)]
pub(super) struct CreateArgs {
    /// admin or operator.
    #[arg(long, value_parser = parse_role)]
    role: Role,
    /// A name that no live platform token has [default: the role and the time].
    #[arg(long, value_parser = parse_name)]
    name: Option<Name>,
    /// How long it works, such as 30m, 1h or 7d [default: until it is revoked].
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    expires_in: Option<time::Duration>,
}

fn parse_role(text: &str) -> Result<Role, String> {
    Role::parse(text)
        .ok()
        .filter(|role| role.is_platform())
        .ok_or_else(|| "expected admin or operator; tokens of a tenant are made by the API".into())
}

fn parse_name(text: &str) -> Result<Name, String> {
    token_name(text).map_err(|fault| fault.detail)
}

fn parse_duration(text: &str) -> Result<time::Duration, String> {
    times::parse_duration(text, times::DECADE).ok_or_else(|| times::EXPECTED_DURATION.into())
}

pub(super) fn run(command: &TokenCommand, config: &Config) -> anyhow::Result<()> {
    let TokenCommand::Create(args) = command;
    let now = time::OffsetDateTime::from(SystemTime::now());
    let name = match &args.name {
        Some(name) => name.clone(),
        None => default_name(args.role, now)?,
    };
    let ends = args.expires_in.map_or(Ends::Never, Ends::After);
    let write = TokenWrite {
        name,
        role: args.role,
        ends,
        pull_secrets: None,
        networks: None,
    };
    let url = config.database_url()?.clone();
    let token = runtime()?.block_on(async {
        let pool = Database::of_command(url.expose(), 1)?;
        database::check(&pool).await?;
        let token = bootstrap_token(&pool, now, &write, "regcred token create").await?;
        pool.close().await;
        anyhow::Ok(token)
    })?;
    say(token.secret().expose());
    Ok(())
}

fn default_name(role: Role, now: time::OffsetDateTime) -> anyhow::Result<Name> {
    let text = format!(
        "{}-{}",
        role.as_str(),
        now.unix_timestamp_nanos() / 1_000_000
    );
    Name::parse(&text).map_err(|fault| anyhow::anyhow!(fault.detail))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_a_unit() {
        assert_eq!(parse_duration("1h"), Ok(time::Duration::hours(1)));
        assert_eq!(parse_duration("90s"), Ok(time::Duration::seconds(90)));
        for text in ["", "1", "h", "1y", "-1h", "0s", "1 h", "99999d", "1hé"] {
            assert!(parse_duration(text).is_err(), "{text:?}");
        }
    }
}
