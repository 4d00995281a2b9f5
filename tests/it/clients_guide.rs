//! The examples of `docs/clients.md`, run as a reader would run them.

use std::path::Path;
use std::process::Command;

use crate::support::files::Directory;
use crate::support::process::run;

const GUIDE: &str = include_str!("../../docs/clients.md");

/// The blocks of commands, each with what the commands print.
fn blocks() -> Vec<&'static str> {
    let rest = GUIDE.split("```console\n").skip(1);
    rest.filter_map(|block| block.split("```").next()).collect()
}

/// Commands and their output: a command starts with `$ `, and a here document goes on to its `EOF`.
fn commands(block: &str) -> Vec<(String, String)> {
    let mut commands: Vec<(String, String)> = Vec::new();
    let mut in_document = false;
    for line in block.lines() {
        match (line.strip_prefix("$ "), commands.last_mut()) {
            (Some(command), _) if !in_document => {
                in_document = command.ends_with("<<'EOF'");
                commands.push((format!("{command}\n"), String::new()));
            }
            (_, Some((command, _))) if in_document => {
                command.push_str(line);
                command.push('\n');
                in_document = line != "EOF";
            }
            (_, Some((_, output))) => {
                output.push_str(line);
                output.push('\n');
            }
            _ => panic!("a block starts with a command: {line}"),
        }
    }
    commands
}

fn shell(directory: &Path, command: &str) -> (i32, String, String) {
    let program = Path::new(crate::support::program());
    let bin = program.parent().expect("a directory");
    let path = format!("{}:/usr/bin:/bin", bin.display());
    run(Command::new("sh")
        .args(["-c", command])
        .current_dir(directory)
        .env_clear()
        .env("PATH", path))
}

#[test]
fn every_example_prints_what_the_guide_shows() {
    let directory = Directory::new();
    let mut explained = 0;
    for (command, expected) in blocks().into_iter().flat_map(commands) {
        let (code, output, errors) = shell(directory.path(), &command);
        assert_eq!((code, errors.as_str()), (0, ""), "{command}");
        assert_eq!(output, expected, "{command}");
        explained += usize::from(command.starts_with("regcred explain"));
    }
    assert!(explained >= 6);
}
