//! `regcred audit list`: events on a terminal, and for collectors that must miss none.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::support::files::Directory;
use crate::support::process::{self, Running, program};
use crate::support::{Regcred, password};

const BASE: &str = "/v1/tenants/team-a";

/// The command as an owner of the tenant.
async fn scene() -> (Regcred, Directory) {
    let regcred = Regcred::start().await;
    regcred.tenant("team-a").await;
    let directory = Directory::new();
    let made = json!({"name": "reader", "role": "owner"});
    let made = regcred.admin.post(&format!("{BASE}/tokens"), &made).await;
    let token = made.expect(201).text("/token");
    std::fs::write(directory.path().join("token"), token).expect("written");
    (regcred, directory)
}

fn command(regcred: &Regcred, directory: &Directory, more: &[&str]) -> Command {
    let token = directory.path().join("token");
    let mut command = program(&[
        "audit",
        "list",
        "--url",
        &regcred.base,
        "--tenant",
        "team-a",
    ]);
    command.arg("--token-file").arg(token).args(more);
    command
}

async fn run(mut command: Command) -> (i32, String, String) {
    let done = tokio::task::spawn_blocking(move || process::run(&mut command));
    done.await.expect("it ran")
}

async fn write(regcred: &Regcred, name: &str) {
    let path = format!("{BASE}/credentials/{name}");
    let body = password("quay.io", "robot", "s3cret");
    regcred.admin.put(&path, &body).await.expect(201);
}

async fn cursor(file: &Path, is_other_than: &str) -> String {
    let until = std::time::Instant::now() + std::time::Duration::from_secs(60);
    loop {
        let text = std::fs::read_to_string(file).unwrap_or_default();
        if !text.is_empty() && text != is_other_than {
            return text;
        }
        assert!(std::time::Instant::now() < until, "no cursor was kept");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn the_newest_events_are_listed_the_newest_last() {
    let (regcred, directory) = scene().await;
    for name in ["one", "two", "three"] {
        write(&regcred, name).await;
    }
    let (code, output, errors) = run(command(&regcred, &directory, &["--limit", "2"])).await;
    assert_eq!((code, errors.as_str()), (0, ""));
    let lines: Vec<&str> = output.lines().collect();
    assert_eq!(lines.len(), 2, "{output}");
    for (line, name) in lines.iter().zip(["two", "three"]) {
        let expected =
            format!(" success credential.write credentials/{name} version 1 by token root-");
        assert!(line.contains(&expected), "{line}");
    }
    let asked = command(&regcred, &directory, &["--limit", "1", "--output", "jsonl"]);
    let (_, output, _) = run(asked).await;
    let event: Value = serde_json::from_str(&output).expect("one object a line");
    assert_eq!(event["target"], "credentials/three");
    assert!(!output.contains("s3cret"));
}

/// What a collector does: it is stopped, and goes on where it was.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn following_goes_on_where_it_was_and_misses_nothing() {
    let (regcred, directory) = scene().await;
    let file = directory.path().join("cursor");
    let shown = file.to_str().expect("UTF-8").to_owned();
    let flags = [
        "--follow",
        "--from",
        "start",
        "--cursor-file",
        &shown,
        "--output",
        "jsonl",
    ];
    write(&regcred, "one").await;
    let mut first = Running::start(&mut command(&regcred, &directory, &flags));
    first.line("\"target\":\"credentials/one\"");
    let kept = cursor(&file, "").await;
    first.signal("TERM");
    assert!(first.end().success());
    for at in 0..3 {
        write(&regcred, &format!("away-{at}")).await;
    }
    let mut second = Running::start(&mut command(
        &regcred,
        &directory,
        &[&flags[..1], &flags[3..]].concat(),
    ));
    for at in 0..3 {
        second.line(&format!("\"target\":\"credentials/away-{at}\""));
    }
    write(&regcred, "late").await;
    second.line("\"target\":\"credentials/late\"");
    cursor(&file, &kept).await;
    second.signal("TERM");
    assert!(second.end().success());
    let all = second.output();
    let written = all.lines().filter(|line| line.contains("credentials/"));
    assert_eq!(written.count(), 4, "each once: {all}");
    use std::os::unix::fs::PermissionsExt;
    let mode = std::fs::metadata(&file)
        .expect("there")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[tokio::test]
async fn what_is_wrong_is_told_in_one_line() {
    let (regcred, directory) = scene().await;
    let cases: [(&[&str], i32, &str); 4] = [
        (&["--from", "start"], 2, "--follow"),
        (&["--follow", "--limit", "3"], 2, "--limit"),
        (&["--tenant", "Team A"], 1, "--tenant"),
        (&["--tenant", "team-b", "--follow"], 1, "404"),
    ];
    for (flags, expected, part) in cases {
        let mut asked = program(&["audit", "list", "--url", &regcred.base]);
        asked
            .arg("--token-file")
            .arg(directory.path().join("token"))
            .args(flags);
        let (code, _, errors) = run(asked).await;
        assert_eq!(code, expected, "{flags:?}: {errors}");
        assert!(errors.contains(part), "{flags:?}: {errors}");
        if expected == 1 {
            assert_eq!(errors.trim_end().lines().count(), 1, "{errors}");
        }
    }
    let spoilt = directory.path().join("spoilt");
    std::fs::write(&spoilt, "no cursor").expect("written");
    let spoilt = spoilt.to_str().expect("UTF-8").to_owned();
    let (code, _, errors) = run(command(
        &regcred,
        &directory,
        &["--follow", "--cursor-file", &spoilt],
    ))
    .await;
    assert_eq!(code, 1);
    assert!(errors.contains("cursor"), "{errors}");
}
