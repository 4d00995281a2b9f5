//! `regcred explain`: offline, nothing leaves the machine.

use std::path::PathBuf;

use clap::builder::PossibleValuesParser;
use clap::{Args, ValueEnum};

use super::{input, note, say};
use crate::auth_file::explain::realm::Realm;
use crate::auth_file::explain::report::Report;
use crate::auth_file::explain::{
    CLIENTS, Client, Question, client_named, client_of_program, usual_clients,
};
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
    /// Only this client, or the one that a program such as kaniko or helm pulls as; may be given more than
    /// once.
    #[arg(long = "client", value_name = "CLIENT", value_parser = PossibleValuesParser::new(names()))]
    clients: Vec<String>,
    /// Every client, not only the usual four.
    #[arg(long, conflicts_with = "clients")]
    all: bool,
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

/// The names of the clients, and of the programs that pull as they do.
fn names() -> Vec<&'static str> {
    let programs = CLIENTS.into_iter().flat_map(Client::programs).copied();
    CLIENTS
        .into_iter()
        .map(Client::name)
        .chain(programs)
        .collect()
}

/// Who answers.
struct Asked {
    clients: Vec<&'static dyn Client>,
    /// What there is to say about who answers, a line each.
    notes: Vec<String>,
}

impl Asked {
    fn of(args: &ExplainArgs) -> Self {
        if args.all {
            return Self {
                clients: CLIENTS.into(),
                notes: Vec::new(),
            };
        }
        if args.clients.is_empty() {
            let usual = usual_clients();
            let more = CLIENTS.into_iter().skip(usual.len());
            let titles: Vec<String> = more.map(title).collect();
            return Self {
                clients: usual.to_vec(),
                notes: vec![format!("With --all also: {}.", titles.join(", "))],
            };
        }
        Self::named(&args.clients)
    }

    /// Each client once, also where two programs stand for it.
    fn named(names: &[String]) -> Self {
        let mut asked = Self {
            clients: Vec::new(),
            notes: Vec::new(),
        };
        for name in names {
            let client = client_named(name).ok().or_else(|| {
                let client = client_of_program(name)?;
                asked
                    .notes
                    .push(format!("{name} stands for {}.", client.name()));
                Some(client)
            });
            let is_new = |client: &&dyn Client| {
                asked
                    .clients
                    .iter()
                    .all(|known| known.name() != client.name())
            };
            let new = client.filter(is_new);
            asked.clients.extend(new);
        }
        asked
    }
}

/// A client and the programs that pull as it does.
fn title(client: &dyn Client) -> String {
    match client.programs() {
        [] => client.name().to_owned(),
        programs => format!("{} ({})", client.name(), programs.join(", ")),
    }
}

pub(super) fn run(args: &ExplainArgs) -> anyhow::Result<()> {
    let text = input::read_bytes(&args.auth_file)?;
    let question = Question {
        file: &AuthFile::parse(&text, args.format.of(&text)),
        image: &args.image,
        realm: args.auth_realm.as_ref(),
    };
    let Asked { clients, notes } = Asked::of(args);
    let answers = clients
        .iter()
        .map(|client| (client.name(), client.explain(&question)));
    let report = Report::new(&args.image, answers.collect())
        .map_err(|fault| anyhow::anyhow!("no client takes this image: {}", fault.detail))?;
    if !args.json {
        say(table::of(&report, &clients, &notes).trim_end());
        return Ok(());
    }
    // The object is for programs; what a name stands for is for people.
    if !args.clients.is_empty() {
        notes.iter().for_each(|text| note(text));
    }
    say(&serde_json::to_string_pretty(&report)?);
    Ok(())
}
