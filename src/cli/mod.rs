//! The command line: one file a subcommand, each only wiring.

use std::ffi::OsString;
use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{Args, Parser, Subcommand};

use crate::config::{Config, MEANINGS, SETTINGS, Texts, Unknown};

mod audit;
mod connection;
mod convert;
mod credential_provider;
mod dev;
mod docker_helper;
mod explain;
mod harden;
mod input;
mod keys;
mod lint;
mod logging;
mod migrate;
mod openapi;
mod root_token;
mod run;
mod serve;
mod sync;
mod token;
mod verify;

/// Ends the help of a command that works straight on the database.
const NEEDS_DATABASE: &str = "Needs DATABASE_URL, or database_url in the file of --config: postgres://USER:PASSWORD@HOST/NAME.";

/// The same of one that needs the keys, too.
const NEEDS_DATABASE_AND_KEY: &str = "Needs DATABASE_URL, or database_url in the file of --config, and the key-encryption key of \
                                      `serve`: REGCRED_KEY_FILE, or REGCRED_TRANSIT_URL and what belongs to it.";

/// A credential broker for container registries.
#[derive(Debug, Parser)]
#[command(
    name = "regcred",
    version,
    about,
    arg_required_else_help = true,
    disable_help_subcommand = true
)]
struct Cli {
    /// Settings file; the environment and flags stand over it.
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run everything here, with a private PostgreSQL below the data directory.
    Dev(dev::DevArgs),
    /// Serve the API in production.
    #[command(after_help = settings_help())]
    Serve(serve::ServeArgs),
    /// Apply the database migrations.
    #[command(after_help = NEEDS_DATABASE)]
    Migrate,
    /// Make a token straight on the database.
    #[command(subcommand, after_help = NEEDS_DATABASE)]
    Token(token::TokenCommand),
    /// Look after the key-encryption key.
    #[command(subcommand, after_help = NEEDS_DATABASE_AND_KEY)]
    Keys(keys::KeysCommand),
    /// Look into the audit trail: check it on the database (DATABASE_URL), or ask a running regcred for events.
    #[command(subcommand)]
    Audit(audit::AuditCommand),
    /// Try every account of an auth file at its registry, without a server of regcred.
    Verify(verify::VerifyArgs),
    /// Print the OpenAPI document.
    Openapi(openapi::OpenapiArgs),
    /// Turn an auth file or a Secret manifest into another format, offline.
    Convert(convert::ConvertArgs),
    /// Judge an auth file or manifests: what clients will refuse, ignore or never find.
    Lint(lint::LintArgs),
    /// Tell which credential of an auth file each client would use for an image, and why.
    Explain(explain::ExplainArgs),
    /// Bring pull secrets into a cluster, link them, and keep them right.
    Sync(sync::SyncArgs),
    /// Answer kubelet as its credential provider plugin.
    CredentialProvider(credential_provider::CredentialProviderArgs),
}

/// Flags of the commands that serve. Each stands over its variable.
#[derive(Debug, Args)]
struct ServingFlags {
    /// Address of the API [default: 127.0.0.1:8080].
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
    /// Address of /metrics; without it there are none.
    #[arg(long, value_name = "ADDRESS")]
    metrics_listen: Option<SocketAddr>,
    /// PEM file with the certificate chain.
    #[arg(long, value_name = "FILE")]
    tls_cert: Option<String>,
    /// PEM file with the certificate's key.
    #[arg(long, value_name = "FILE")]
    tls_key: Option<String>,
    /// Filter of log lines, such as info or regcred=debug [default: info].
    #[arg(long, value_name = "FILTER")]
    log: Option<String>,
    /// How log lines are written [default: text].
    #[arg(long, value_name = "FORMAT", value_parser = ["json", "text"])]
    log_format: Option<String>,
    /// Networks that outgoing requests may reach beside public addresses, such as 10.0.0.0/8,fd00::/8.
    #[arg(long, value_name = "CIDRS")]
    allow_networks: Option<String>,
    /// PEM file with extra trusted CAs for registries and issuers.
    #[arg(long, value_name = "FILE")]
    ca_bundle: Option<String>,
    /// Where callers reach the API, such as https://regcred.example.com.
    #[arg(long, value_name = "URL")]
    public_url: Option<String>,
    /// Networks of proxies whose X-Forwarded-For is believed.
    #[arg(long, value_name = "CIDRS")]
    trusted_proxies: Option<String>,
    /// How long audit events are kept, such as 365d [default: for ever].
    #[arg(long, value_name = "TIME")]
    audit_retention: Option<String>,
}

impl ServingFlags {
    fn texts(self) -> Texts {
        [
            ("listen", self.listen.map(|address| address.to_string())),
            (
                "metrics_listen",
                self.metrics_listen.map(|address| address.to_string()),
            ),
            ("tls_cert", self.tls_cert),
            ("tls_key", self.tls_key),
            ("log", self.log),
            ("log_format", self.log_format),
            ("allow_networks", self.allow_networks),
            ("ca_bundle", self.ca_bundle),
            ("public_url", self.public_url),
            ("trusted_proxies", self.trusted_proxies),
            ("audit_retention", self.audit_retention),
        ]
        .into_iter()
        .filter_map(|(key, value)| value.map(|value| (key, value)))
        .collect()
    }
}

/// All settings by variable and key. Where a secret could be one, there is no flag for it.
fn settings_help() -> String {
    let head = "Settings, as environment variables and as keys of the file of --config. Flags stand over the\n\
                environment, the environment over the file.\n";
    let lines: Vec<String> = SETTINGS
        .iter()
        .zip(MEANINGS)
        .map(|((key, variable), meaning)| format!("  {variable}, {key}\n      {meaning}"))
        .collect();
    format!("{head}{}", lines.join("\n"))
}

/// Runs the command line and gives its exit code: 0 success, 1 failure, 2 usage.
///
/// Under the name `docker-credential-regcred` it is the credential helper instead.
pub fn main(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let arguments: Vec<OsString> = arguments.collect();
    if let Some((program, rest)) = arguments.split_first()
        && docker_helper::is_called(program)
    {
        harden::no_core_file();
        return docker_helper::main(rest);
    }
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => return usage(&error),
    };
    match execute(cli) {
        Ok(code) => code,
        Err(error) => {
            complain(&format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// Help goes to standard output; a mistake to standard error, in one line.
fn usage(error: &clap::Error) -> ExitCode {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            let _ = error.print();
            ExitCode::SUCCESS
        }
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            let _ = error.print();
            ExitCode::from(2)
        }
        _ => {
            let text = error.render().to_string();
            let lines: Vec<&str> = text
                .lines()
                .map(str::trim)
                .filter(|line| !line.is_empty())
                .collect();
            complain(lines.join("; ").trim_start_matches("error: "));
            ExitCode::from(2)
        }
    }
}

#[allow(
    clippy::print_stderr,
    reason = "the one place that tells of a failed command"
)]
fn complain(text: &str) {
    eprintln!("regcred: {}", text.replace('\n', " "));
}

/// Tells people something beside a result that is for programs.
fn note(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// Prints a command's result. Whoever closes the pipe early, as `head` does, has seen enough.
fn say(text: &str) {
    let _ = writeln!(std::io::stdout(), "{text}");
}

fn execute(cli: Cli) -> anyhow::Result<ExitCode> {
    let Cli { config, command } = cli;
    // These two are configured whether they leave one.
    if !matches!(command, Command::Dev(_) | Command::Serve(_)) {
        harden::no_core_file();
    }
    let load_with = |flags: Texts, unknown: Unknown| {
        let environment = std::env::vars_os().filter_map(text_pair);
        Config::load(flags, (environment, unknown), config.as_deref())
    };
    let load = |flags: Texts| load_with(flags, Unknown::Refuse);
    let load_leniently = |flags: Texts| load_with(flags, Unknown::PassOver);
    match command {
        Command::Dev(args) => dev::run(args, load),
        Command::Serve(args) => serve::run(load(args.texts())?),
        Command::Migrate => migrate::run(&load(Texts::new())?),
        Command::Token(command) => token::run(&command, &load_leniently(Texts::new())?),
        Command::Keys(command) => keys::run(command, load),
        Command::Audit(command) => audit::run(&command, || load_leniently(Texts::new())),
        Command::Openapi(args) => openapi::run(&args),
        Command::Explain(args) => explain::run(&args),
        Command::Sync(args) => return sync::run(args),
        Command::CredentialProvider(args) => credential_provider::run(&args),
        Command::Convert(args) => return convert::run(args),
        Command::Lint(args) => return lint::run(&args),
        Command::Verify(args) => {
            let config = load_leniently(args.texts())?;
            return verify::run(&args, &config);
        }
    }?;
    Ok(ExitCode::SUCCESS)
}

/// A variable whose name or value is not UTF-8 is none of ours.
fn text_pair((name, value): (OsString, OsString)) -> Option<(String, String)> {
    Some((name.into_string().ok()?, value.into_string().ok()?))
}

/// A runtime for commands that talk to the database.
fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?)
}

/// A runtime for commands that make a few calls and end.
fn one_thread() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
}
