//! `regcred explain`: offline, nothing leaves the machine.

use std::path::PathBuf;

use clap::builder::PossibleValuesParser;
use clap::{Args, ValueEnum};

use super::{input, say};
use crate::auth_file::explain::realm::Realm;
use crate::auth_file::explain::report::Report;
use crate::auth_file::explain::{CLIENTS, Client, Question, client_named};
use crate::auth_file::parse::{AuthFile, FileFormat};

mod table;

/// What to explain.
#[derive(Debug, Args)]
pub(super) struct ExplainArgs {
    /// Docker's config.json, Podman's auth.json or a .dockercfg; - for standard input.
    #[arg(long, value_name = "FILE")]
    auth_file: PathBuf,
    /// The image, as it is written in a pod.
    #[arg(long, value_name = "IMAGE")]
    image: String,
    /// Only this client; may be given more than once.
    #[arg(long = "client", value_name = "CLIENT", value_parser = PossibleValuesParser::new(CLIENTS.map(Client::name)))]
    clients: Vec<String>,
    /// Where the registry sends clients to log in: the realm of its challenge.
    #[arg(long, value_name = "URL", value_parser = parse_realm)]
    auth_realm: Option<Realm>,
    /// What the file is.
    #[arg(long, value_enum, default_value_t = Format::Auto)]
    format: Format,
    /// Print the object that the API answers.
    #[arg(long)]
    json: bool,
}

/// The formats of auth files.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    /// Whichever it looks like.
    Auto,
    /// Entries under auths.
    DockerConfig,
    /// The same under Podman's name.
    PodmanAuth,
    /// Nothing but entries.
    Dockercfg,
}

impl Format {
    fn of(self, text: &[u8]) -> FileFormat {
        match self {
            Self::Auto => FileFormat::detect(text),
            Self::DockerConfig | Self::PodmanAuth => FileFormat::Config,
            Self::Dockercfg => FileFormat::Dockercfg,
        }
    }
}

fn parse_realm(text: &str) -> Result<Realm, String> {
    Realm::parse(text).map_err(|fault| fault.detail)
}

pub(super) fn run(args: &ExplainArgs) -> anyhow::Result<()> {
    let text = input::read_bytes(&args.auth_file)?;
    let question = Question {
        file: &AuthFile::parse(&text, args.format.of(&text)),
        image: &args.image,
        realm: args.auth_realm.as_ref(),
    };
    let mut clients: Vec<&dyn Client> = CLIENTS.into();
    if !args.clients.is_empty() {
        let named = args
            .clients
            .iter()
            .filter_map(|name| client_named(name).ok());
        clients = named.collect();
    }
    let answers = clients
        .iter()
        .map(|client| (client.name(), client.explain(&question)));
    let report = Report::new(&args.image, answers.collect())
        .map_err(|fault| anyhow::anyhow!("no client takes this image: {}", fault.detail))?;
    match args.json {
        true => say(&serde_json::to_string_pretty(&report)?),
        false => say(table::of(&report, &clients).trim_end()),
    }
    Ok(())
}
