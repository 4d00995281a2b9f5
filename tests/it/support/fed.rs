//! Programs that read standard input and end.

use std::io::Write;
use std::process::{Command, Stdio};

/// What a program did.
#[derive(Debug)]
pub struct Ended {
    pub code: i32,
    pub output: String,
    pub errors: String,
}

/// Runs a program with this on its standard input.
///
/// In a thread that may block, so that a server of the test goes on answering.
pub async fn feed(mut command: Command, input: &str) -> Ended {
    let input = input.to_owned();
    let run = move || {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let mut stdin = child.stdin.take().expect("piped");
        // A program that refuses its arguments closes its input unread.
        let _ = stdin.write_all(input.as_bytes());
        drop(stdin);
        let output = child.wait_with_output().expect("the program ends");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
        Ended {
            code: output.status.code().unwrap_or(-1),
            output: text(output.stdout),
            errors: text(output.stderr),
        }
    };
    tokio::task::spawn_blocking(run).await.expect("no panic")
}
