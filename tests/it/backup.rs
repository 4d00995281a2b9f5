//! `docs/backup.md`, run as it stands.

use std::path::Path;
use std::process::Command;

use serde_json::json;

use crate::support::files::Directory;
use crate::support::process::{Running, program, run};
use crate::support::{Client, password, postgres};

const PAGE: &str = include_str!("../../docs/backup.md");
const MANIFEST: &str = "/v1/tenants/team-a/credentials/quay/manifest?format=data";

/// The commands of a block of the page.
#[track_caller]
fn block(name: &str) -> &'static str {
    let start = format!("```sh {name}\n");
    let (_, rest) = PAGE.split_once(start.as_str()).expect("the block");
    rest.split_once("```").expect("its end").0
}

async fn database(kind: &str) -> String {
    let name = format!("{kind}_{}", uuid::Uuid::now_v7().simple());
    postgres::shared().create_database(&name, None).await;
    postgres::shared().url(&name)
}

/// A machine: its database, its key file, and where its backups go.
struct Machine {
    directory: Directory,
    url: String,
}

impl Machine {
    async fn new() -> Self {
        let machine = Self {
            directory: Directory::new(),
            url: database("machine").await,
        };
        for name in ["backup", "keys"] {
            std::fs::create_dir(machine.path(name)).expect("writable");
        }
        machine
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.directory.path().join(name)
    }

    fn configured(&self, mut command: Command) -> Command {
        command
            .env("DATABASE_URL", &self.url)
            .env("REGCRED_KEY_FILE", self.path("key"));
        command
    }

    #[track_caller]
    fn regcred(&self, arguments: &[&str]) -> String {
        let (code, output, errors) = run(&mut self.configured(program(arguments)));
        assert_eq!(code, 0, "{arguments:?}: {errors}");
        output
    }

    /// Runs a block of the page as a shell does, with these variables.
    #[track_caller]
    fn follow(&self, name: &str, variables: &[(&str, &Path)]) -> String {
        let own = Path::new(crate::support::program());
        let directories = [
            postgres::programs(),
            own.parent().expect("a directory").to_owned(),
            "/usr/bin".into(),
            "/bin".into(),
        ];
        let path = std::env::join_paths(directories).expect("plain paths");
        let mut shell = self.configured(Command::new("sh"));
        shell.args(["-eu", "-c", block(name)]).env("PATH", path);
        shell.envs(variables.iter().copied());
        let (code, output, errors) = run(&mut shell);
        assert_eq!(code, 0, "{name}: {errors}");
        output
    }

    /// With a key and the tables.
    fn migrated(&self) {
        let key = self.path("key");
        self.regcred(&["keys", "create", key.to_str().expect("UTF-8")]);
        self.regcred(&["migrate"]);
    }

    /// Runs SQL as the owner of the tables.
    async fn sql(&self, sql: String) {
        let pool = postgres::pool(&self.url);
        let done = sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&pool).await;
        done.expect("valid SQL");
        pool.close().await;
    }

    fn serve(&self) -> (Running, Client) {
        let name = format!("t-{}", uuid::Uuid::now_v7().simple());
        let token = self.regcred(&["token", "create", "--role", "admin", "--name", &name]);
        let mut serve = self.configured(program(&["serve", "--listen", "127.0.0.1:0"]));
        let mut running = Running::start(&mut serve);
        let base = format!("http://{}", running.address());
        (running, Client::new(&base, Some(token.trim())))
    }

    fn key_copy(&self) -> std::path::PathBuf {
        let copies = std::fs::read_dir(self.path("keys")).expect("there");
        let copy = copies.map(|copy| copy.expect("readable").path()).max();
        copy.expect("a copy")
    }
}

async fn fill(admin: &Client) {
    admin
        .put("/v1/tenants/team-a", &json!({}))
        .await
        .expect(201);
    let body = password("quay.io", "robot", "s3cret-from-before");
    let path = "/v1/tenants/team-a/credentials/quay";
    admin.put(path, &body).await.expect(201);
}

/// Backs a machine up as the page says, and gives the directory with the dump and the key's copy.
async fn backed_up() -> (Machine, Vec<u8>) {
    let machine = Machine::new().await;
    machine.migrated();
    back_up(machine).await
}

async fn back_up(machine: Machine) -> (Machine, Vec<u8>) {
    let (_running, admin) = machine.serve();
    fill(&admin).await;
    machine.regcred(&["keys", "rotate"]);
    machine.follow("keys", &[("KEYS", &machine.path("keys"))]);
    machine.follow("backup", &[("BACKUP", &machine.path("backup"))]);
    let copy = std::fs::read(machine.key_copy()).expect("there");
    (machine, copy)
}

#[tokio::test]
async fn what_the_page_says_brings_everything_back() {
    let (lost, _) = backed_up().await;
    let found = Machine::new().await;
    let shown = found.follow(
        "restore",
        &[
            ("BACKUP", &lost.path("backup")),
            ("KEY_COPY", &lost.key_copy()),
            ("RESTORED_URL", Path::new(&found.url)),
        ],
    );
    assert!(
        shown.contains("in use") && !shown.contains("MISSING"),
        "{shown}"
    );
    let (_running, admin) = found.serve();
    let reply = admin.get(MANIFEST).await.expect(200);
    assert!(reply.body().contains("s3cret-from-before"));
}

/// The statements of `docs/audit.md` for a role of the program's own.
fn grants(role: &str) -> String {
    let page = include_str!("../../docs/audit.md");
    let (_, rest) = page.split_once("```sql\n").expect("the grants");
    let (sql, _) = rest.split_once("```").expect("their end");
    sql.replace("regcred_server", role)
}

#[tokio::test]
async fn a_cluster_without_the_programs_role_takes_the_backup_too() {
    let role = format!("app_{}", uuid::Uuid::now_v7().simple());
    let lost = Machine::new().await;
    lost.migrated();
    lost.sql(grants(&role)).await;
    let (lost, _) = back_up(lost).await;
    // Roles are the cluster's: without this one it is as new.
    lost.sql(format!("DROP OWNED BY {role}; DROP ROLE {role};"))
        .await;
    let mut found = Machine::new().await;
    found.follow(
        "restore",
        &[
            ("BACKUP", &lost.path("backup")),
            ("KEY_COPY", &lost.key_copy()),
            ("RESTORED_URL", Path::new(&found.url)),
        ],
    );
    found.sql(grants(&role)).await;
    let as_role = format!("postgres://{role}@");
    found.url = found.url.replace("postgres://regcred@", &as_role);
    assert!(found.url.starts_with(&as_role), "{}", found.url);
    let (_running, admin) = found.serve();
    let reply = admin.get(MANIFEST).await.expect(200);
    assert!(reply.body().contains("s3cret-from-before"));
}

#[tokio::test]
async fn a_backup_without_its_key_file_opens_nothing() {
    let (lost, _) = backed_up().await;
    let thief = Machine::new().await;
    let other = thief.path("other");
    thief.regcred(&["keys", "create", other.to_str().expect("UTF-8")]);
    let shown = thief.follow(
        "restore",
        &[
            ("BACKUP", &lost.path("backup")),
            ("KEY_COPY", &other),
            ("RESTORED_URL", Path::new(&thief.url)),
        ],
    );
    assert!(shown.contains("MISSING"), "{shown}");
    let mut serve = thief.configured(program(&["serve", "--listen", "127.0.0.1:0"]));
    let (code, _, errors) = run(&mut serve);
    assert_eq!(code, 1, "{errors}");
}

#[tokio::test]
async fn a_dump_holds_nothing_of_the_key_file() {
    let (machine, copy) = backed_up().await;
    let dump = postgres::dump(&machine.url);
    let text = String::from_utf8(copy).expect("text");
    for line in text.lines().skip(1) {
        let key = line.rsplit(' ').next().expect("a key");
        assert!(!dump.contains(key));
    }
}
