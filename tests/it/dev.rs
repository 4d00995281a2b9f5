//! `regcred dev`.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;

use crate::support::files::Directory;
use crate::support::pair;
use crate::support::process::{Running, admin_of, core_limits, eventually, kill, program, run};

const CREDENTIAL: &str = "/v1/tenants/team-a/credentials/connect";
const MANIFEST: &str = "/v1/tenants/team-a/credentials/connect/manifest";

fn dev(data: &Path) -> Command {
    let mut command = program(&["dev", "--listen", "127.0.0.1:0", "--data-dir"]);
    command.arg(data);
    command
}

async fn store(address: &str, data: &Path) {
    let admin = admin_of(address, data);
    admin
        .put("/v1/tenants/team-a", &json!({}))
        .await
        .expect(201);
    admin.put(CREDENTIAL, &pair()).await.expect(201);
}

async fn assert_stored(address: &str, data: &Path) {
    let manifest = admin_of(address, data).get(MANIFEST).await.expect(200);
    assert!(manifest.body().contains("private-registry"));
}

fn server_pid(data: &Path) -> u32 {
    let text =
        fs::read_to_string(data.join("postgres/cluster/postmaster.pid")).expect("the server runs");
    text.lines()
        .next()
        .and_then(|line| line.parse().ok())
        .expect("a process id")
}

fn lives(pid: u32) -> bool {
    Path::new(&format!("/proc/{pid}/cwd")).exists()
        || Command::new("kill")
            .args(["-0", &pid.to_string()])
            .stderr(std::process::Stdio::null())
            .status()
            .is_ok_and(|status| status.success())
}

/// What it prints to try works in any shell, and so do the commands on its database.
fn try_what_is_printed(output: &str) {
    let run = |script: &str| {
        let done = std::process::Command::new("sh")
            .args(["-c", script])
            .output();
        let done = done.expect("sh runs");
        let told = String::from_utf8_lossy(&done.stdout).into_owned();
        assert!(done.status.success(), "{script}\n{told}");
        told
    };
    let printed = |begins: &str| -> Vec<String> {
        let lines = output.lines().filter(|line| line.starts_with(begins));
        lines.map(str::to_owned).collect()
    };
    let answers: Vec<String> = printed("  curl ")
        .iter()
        .map(|line| run(&format!("{line} --fail --silent --show-error 2>&1")))
        .collect();
    assert!(answers[2].contains("kind: Secret"), "{}", answers[2]);
    let export = printed("  export DATABASE_URL=");
    let program = env!("CARGO_BIN_EXE_regcred");
    let told = run(&format!("{} && {program} audit verify", export[0]));
    assert!(told.contains("the audit trail is intact"), "{told}");
}

#[tokio::test]
async fn it_serves_and_finds_everything_again_after_ctrl_c() {
    let directory = Directory::new();
    let data = directory.path().join("data");
    let mut first = Running::start(&mut dev(&data));
    let address = first.address();
    first.line("Ctrl-C stops it");
    assert_eq!(core_limits(first.pid()), ["0", "0"]);
    store(&address, &data).await;
    let output = first.output();
    assert!(
        output.contains("root-token") && output.matches("  curl ").count() == 3,
        "{output}"
    );
    let token = fs::read_to_string(data.join("root-token")).expect("the token's file");
    assert!(!output.contains(token.trim()));
    let header = fs::read_to_string(data.join("authorization")).expect("the header's file");
    assert_eq!(
        header.trim(),
        format!("Authorization: Bearer {}", token.trim())
    );
    try_what_is_printed(&output);
    for file in ["root-token", "authorization", "key"] {
        let mode = fs::metadata(data.join(file))
            .expect("the file")
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600, "{file}");
    }
    let server = server_pid(&data);
    first.signal("INT");
    assert!(first.end().success());
    assert!(!lives(server), "PostgreSQL stops with it");
    let mut second = Running::start(&mut dev(&data));
    let address = second.address();
    second.line("Ctrl-C stops it");
    assert_eq!(
        fs::read_to_string(data.join("root-token")).expect("the token's file"),
        token
    );
    assert_stored(&address, &data).await;
}

#[tokio::test]
async fn it_survives_its_own_death() {
    let directory = Directory::new();
    let mut first = Running::start(&mut dev(directory.path()));
    let address = first.address();
    first.line("Ctrl-C stops it");
    store(&address, directory.path()).await;
    let server = server_pid(directory.path());
    first.signal("KILL");
    first.end();
    // At once, while the server of the first may still run.
    let mut second = Running::start(&mut dev(directory.path()));
    let address = second.address();
    second.line("Ctrl-C stops it");
    assert_stored(&address, directory.path()).await;
    eventually("the first server ends", || !lives(server));
    second.signal("KILL");
    second.end();
    let server = directory.path().join("postgres/cluster/postmaster.pid");
    eventually("the guardian stops the server", || !server.exists());
}

#[tokio::test]
async fn it_survives_the_death_of_its_server() {
    let directory = Directory::new();
    let mut running = Running::start(&mut dev(directory.path()));
    let address = running.address();
    running.line("Ctrl-C stops it");
    store(&address, directory.path()).await;
    let old = server_pid(directory.path());
    kill("KILL", old);
    running.line("PostgreSQL had died and runs again");
    let admin = admin_of(&address, directory.path());
    let mut answered = false;
    for _ in 0..200 {
        let reply = admin.get(MANIFEST).await;
        assert!(
            [200, 503].contains(&reply.status.as_u16()),
            "{}",
            reply.body()
        );
        answered = reply.status == 200;
        if answered {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    assert!(answered);
    assert_ne!(server_pid(directory.path()), old);
}

#[tokio::test]
async fn a_second_one_on_the_same_directory_is_refused() {
    let directory = Directory::new();
    let mut first = Running::start(&mut dev(directory.path()));
    first.line("Ctrl-C stops it");
    let (code, _, errors) = run(&mut dev(directory.path()));
    assert_eq!(code, 1);
    assert_eq!(errors.lines().count(), 1, "{errors}");
    assert!(
        errors.contains("another regcred dev uses")
            && errors.contains(&format!("pid {}", first.pid())),
        "{errors}"
    );
}

#[tokio::test]
async fn a_port_in_use_is_named() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("bound").to_string();
    let directory = Directory::new();
    let mut command = program(&["dev", "--listen", &address, "--data-dir"]);
    let (code, _, errors) = run(command.arg(directory.path()));
    assert_eq!(code, 1);
    assert!(
        errors.contains(&format!("cannot listen on {address}")) && errors.contains("--listen"),
        "{errors}"
    );
    assert_eq!(errors.lines().count(), 1, "{errors}");
    assert!(
        !directory
            .path()
            .join("postgres/cluster/postmaster.pid")
            .exists(),
        "PostgreSQL is stopped again"
    );
}

#[tokio::test]
async fn what_a_crash_left_behind_keeps_nobody_from_starting() {
    let directory = Directory::new();
    let mut first = Running::start(&mut dev(directory.path()));
    let address = first.address();
    first.line("Ctrl-C stops it");
    store(&address, directory.path()).await;
    let file = directory.path().join("postgres/cluster/postmaster.pid");
    let text = fs::read_to_string(&file).expect("the server runs");
    first.signal("INT");
    first.end();
    // As after a crash of the machine: the process id belongs to something else by now.
    let rest = text.split_once('\n').expect("lines").1;
    fs::write(&file, format!("{}\n{rest}", std::process::id())).expect("writable");
    fs::write(
        directory.path().join("postgres/cluster/.s.PGSQL.5432.lock"),
        format!("{}\n", std::process::id()),
    )
    .expect("writable");
    fs::write(directory.path().join("lock"), "1\n").expect("writable");
    let mut second = Running::start(&mut dev(directory.path()));
    let address = second.address();
    second.line("Ctrl-C stops it");
    assert_stored(&address, directory.path()).await;
}

#[tokio::test]
async fn odd_and_long_paths_work() {
    let directory = Directory::new();
    let data = directory
        .path()
        .join("it's a \"path\" with ünïcode")
        .join("x".repeat(120));
    let mut running = Running::start(&mut dev(&data));
    let address = running.address();
    running.line("Ctrl-C stops it");
    store(&address, &data).await;
    assert_stored(&address, &data).await;
}

#[tokio::test]
async fn directories_that_only_root_may_pass_work() {
    let directory = Directory::new();
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o700)).expect("ours");
    let data = directory.path().join("data");
    let mut running = Running::start(&mut dev(&data));
    let address = running.address();
    running.line("Ctrl-C stops it");
    store(&address, &data).await;
    let mode = fs::metadata(directory.path())
        .expect("there")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o700, "the modes of others are left alone");
}

/// As a plain user; who runs the tests as one has tried it in every other test here.
#[tokio::test]
async fn it_works_as_a_plain_user() {
    let is_root = fs::metadata("/proc/self")
        .is_ok_and(|facts| std::os::unix::fs::MetadataExt::uid(&facts) == 0);
    if !is_root {
        return;
    }
    let directory = Directory::new();
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).expect("ours");
    // The program may stand where a plain user cannot go.
    let copy = directory.path().join("regcred");
    fs::copy(crate::support::program(), &copy).expect("room for a copy");
    let data: PathBuf = directory.path().join("data");
    fs::create_dir(&data).expect("ours");
    let (uid, gid) = (65534, 65534);
    std::os::unix::fs::chown(&data, Some(uid), Some(gid)).expect("root may");
    let mut command = Command::new(&copy);
    command
        .args(["dev", "--listen", "127.0.0.1:0", "--data-dir"])
        .arg(&data)
        .uid(uid)
        .gid(gid);
    command.env_remove("DATABASE_URL").current_dir("/");
    let mut running = Running::start(&mut command);
    let address = running.address();
    running.line("Ctrl-C stops it");
    store(&address, &data).await;
    assert_stored(&address, &data).await;
}

#[tokio::test]
async fn with_a_database_url_no_server_is_started() {
    let directory = Directory::new();
    let server = crate::support::postgres::shared();
    let name = format!("dev_{}", uuid::Uuid::now_v7().simple());
    server.create_database(&name, None).await;
    let mut command = dev(directory.path());
    let mut running = Running::start(command.env("DATABASE_URL", server.url(&name)));
    let address = running.address();
    running.line("Ctrl-C stops it");
    store(&address, directory.path()).await;
    assert!(!directory.path().join("postgres").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn another_database_is_named_and_the_token_of_the_first_is_kept() {
    let directory = Directory::new();
    let token = || fs::read_to_string(directory.path().join("root-token")).expect("a token");
    let start = |url: Option<&str>| {
        let mut command = dev(directory.path());
        if let Some(url) = url {
            command.env("DATABASE_URL", url);
        }
        let mut running = Running::start(&mut command);
        running.line("Ctrl-C stops it");
        running.signal("INT");
        running.end();
        running.output()
    };
    let server = crate::support::postgres::shared();
    let name = format!("dev_{}", uuid::Uuid::now_v7().simple());
    server.create_database(&name, None).await;
    let url = server.url(&name);
    let endless = || async {
        let pool = crate::support::postgres::pool(&url);
        let count: i64 = sqlx::query_scalar("SELECT count(*) FROM tokens WHERE expires_at IS NULL")
            .fetch_one(&pool)
            .await
            .expect("a count");
        count
    };
    let quiet = tokio::task::block_in_place(|| start(None));
    let first = token();
    assert!(!quiet.contains("THE DATABASE IS"), "{quiet}");
    for _ in 0..2 {
        let loud = tokio::task::block_in_place(|| start(Some(&url)));
        assert!(
            loud.contains("THE DATABASE IS") && loud.contains(&name),
            "{loud}"
        );
        assert_eq!(endless().await, 1);
        assert_eq!(token(), first, "it is the private database's");
    }
    let other = Directory::new();
    let mut command = dev(other.path());
    command.env("REGCRED_KEY_FILE", directory.path().join("key"));
    let mut running = Running::start(command.env("DATABASE_URL", &url));
    running.line("No admin token was made");
    assert_eq!(endless().await, 1);
    tokio::task::block_in_place(|| start(None));
    assert_eq!(token(), first);
}
