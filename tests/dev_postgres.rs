//! The private PostgreSQL of `regcred dev`: its life, its deaths, and the places it lives in.
//!
//! What must be tried in a process of its own runs this test binary again, with [`helper`] as the only test.

use regcred::dev::{DataDir, Server, Settings, State, Supervisor};
use rustix::process::{Pid, Signal, geteuid, kill_process, test_kill_process};
use std::ffi::OsString;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const NOBODY: u32 = 65534;

/// A directory that goes with the test.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        Self::with_mode(0o711)
    }

    fn with_mode(mode: u32) -> Self {
        let output = Command::new("mktemp")
            .args(["-d", "/tmp/regcred-test-XXXXXXXX"])
            .output()
            .expect("mktemp");
        let path = PathBuf::from(String::from_utf8(output.stdout).expect("text").trim_end());
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("mode");
        Self(path)
    }

    fn data(&self) -> PathBuf {
        self.0.join("data")
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).expect("clean up");
    }
}

fn start(data: &Path) -> Server {
    let home = DataDir::claim(data).expect("claim");
    Server::start(&home, Settings::durable()).expect("start")
}

fn sql(server: &Server, statement: &str) -> String {
    psql(server, &server.database_url("postgres"), statement)
}

fn psql(server: &Server, url: &str, statement: &str) -> String {
    let output = Command::new(server.program("psql"))
        .args(["-XAtq", "-d", url, "-c", statement])
        .output()
        .expect("psql");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout)
        .expect("text")
        .trim_end()
        .to_owned()
}

fn write_a_row(server: &Server) {
    sql(server, "CREATE TABLE t (x int); INSERT INTO t VALUES (42)");
}

fn assert_the_row_is_there(server: &Server) {
    assert_eq!(sql(server, "SELECT x FROM t"), "42");
}

fn pid(number: u32) -> Pid {
    Pid::from_raw(number.cast_signed()).expect("pid")
}

fn kill(number: u32, signal: Signal) {
    kill_process(pid(number), signal).expect("kill");
}

fn runs(number: u32) -> bool {
    let zombie =
        fs::read_to_string(format!("/proc/{number}/stat")).is_ok_and(|stat| stat.contains(") Z "));
    test_kill_process(pid(number)) != Err(rustix::io::Errno::SRCH) && !zombie
}

fn eventually(mut condition: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + Duration::from_secs(20);
    while Instant::now() < deadline {
        if condition() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    false
}

/// Another process that runs a server and prints its process id, data directory, and URL.
struct Helper {
    process: Child,
    server: u32,
    data: PathBuf,
}

fn helper_command(data: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("own path"));
    prepare(&mut command, data);
    command
}

fn prepare(command: &mut Command, data: &Path) {
    command.args([
        "--exact",
        "helper",
        "--ignored",
        "--nocapture",
        "--test-threads=1",
    ]);
    command
        .env("DEV_POSTGRES_DATA", data)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .process_group(0);
}

impl Helper {
    fn start(mut command: Command) -> Self {
        let mut process = command.spawn().expect("spawn");
        let mut lines = BufReader::new(process.stdout.as_mut().expect("pipe")).lines();
        let line = lines
            .find_map(|line| {
                line.ok()?
                    .split_once("RUNNING ")
                    .map(|(_, rest)| rest.to_owned())
            })
            .expect("a server");
        let (server, data) = line.split_once(' ').expect("two words");
        let (server, data) = (server.parse().expect("pid"), PathBuf::from(data));
        Self {
            process,
            server,
            data,
        }
    }

    fn kill(mut self, signal: Signal) -> u32 {
        kill(self.process.id(), signal);
        self.process.wait().expect("wait");
        self.server
    }

    fn guardian(&self) -> u32 {
        let children = Command::new("ps")
            .args(["-o", "pid=,args=", "--ppid", &self.process.id().to_string()])
            .output()
            .expect("ps");
        let text = String::from_utf8_lossy(&children.stdout).into_owned();
        let line = text
            .lines()
            .find(|line| line.contains("/bin/sh -c"))
            .expect("guardian");
        line.split_whitespace()
            .next()
            .and_then(|word| word.parse().ok())
            .expect("pid")
    }
}

/// Not a test: what [`Helper`] runs. Its server lasts until standard input ends.
#[test]
#[ignore = "run by other tests, in a process of its own"]
#[allow(clippy::print_stdout)]
fn helper() {
    let data = std::env::var_os("DEV_POSTGRES_DATA")
        .map(PathBuf::from)
        .expect("DEV_POSTGRES_DATA");
    let server = if data == Path::new("ephemeral") {
        Server::ephemeral().expect("start")
    } else {
        start(&data)
    };
    println!(
        "RUNNING {} {}",
        server.pid(),
        server.home().path().display()
    );
    let _until_the_end = std::io::stdin().read_to_end(&mut Vec::new());
    if std::env::var_os("DEV_POSTGRES_EXIT").is_some() {
        std::process::exit(0);
    }
}

#[test]
fn a_second_start_finds_all_data() {
    let scratch = Scratch::new();
    let first = start(&scratch.data());
    write_a_row(&first);
    let url = first.database_url("postgres");
    first.stop().expect("stop");

    let second = start(&scratch.data());

    assert_the_row_is_there(&second);
    assert_eq!(second.database_url("postgres"), url);
}

#[test]
fn data_is_utf_8_and_sorted_by_code_point() {
    let scratch = Scratch::new();
    let server = start(&scratch.data());

    let found = sql(
        &server,
        "SELECT current_setting('server_encoding'), datcollate, datctype FROM pg_database WHERE datname = 'postgres'",
    );

    assert_eq!(found, "UTF8|C|C");
}

#[test]
fn only_the_owner_reaches_the_server_and_its_files() {
    let scratch = Scratch::new();
    let server = start(&scratch.data());

    let mode = |path: &Path| fs::metadata(path).expect("stat").permissions().mode() & 0o777;

    assert_eq!(mode(server.cluster()), 0o700);
    assert_eq!(mode(&server.cluster().join(".s.PGSQL.5432")), 0o700);
    assert_eq!(mode(server.log()), 0o600);
    assert_eq!(sql(&server, "SHOW listen_addresses"), "");
    assert_eq!(sql(&server, "SHOW fsync"), "on");
}

#[test]
fn as_root_the_server_has_no_privileges_at_all() {
    if !geteuid().is_root() {
        return;
    }
    let scratch = Scratch::new();
    let server = start(&scratch.data());

    let status = fs::read_to_string(format!("/proc/{}/status", server.pid())).expect("status");
    let field = |name: &str| {
        status
            .lines()
            .find_map(|line| line.strip_prefix(name))
            .expect("field")
            .trim()
            .to_owned()
    };

    assert_eq!(field("CapEff:"), "0000000000000000");
    assert_eq!(field("CapPrm:"), "0000000000000000");
    assert!(!field("Uid:").split_whitespace().any(|id| id == "0"));
    assert!(!field("Gid:").split_whitespace().any(|id| id == "0"));
    assert!(!field("Groups:").split_whitespace().any(|id| id == "0"));
}

#[test]
fn a_server_killed_with_its_children_left_starts_again_with_all_data() {
    let scratch = Scratch::new();
    let mut supervisor = Supervisor::new(start(&scratch.data()));
    write_a_row(supervisor.server());
    kill(supervisor.server().pid(), Signal::KILL);

    let mut state = State::Running;
    assert!(eventually(|| {
        state = supervisor.check().expect("check");
        state != State::Running
    }));

    assert!(matches!(state, State::Restarted { after } if after.contains("signal: 9")));
    assert_the_row_is_there(supervisor.server());
    assert_eq!(supervisor.check().expect("check"), State::Running);
}

#[test]
fn a_server_that_keeps_dying_is_given_up() {
    let mut supervisor = Supervisor::new(Server::ephemeral().expect("start"));

    let error = (0..10).find_map(|_| {
        kill(supervisor.server().pid(), Signal::KILL);
        let mut outcome = Ok(State::Running);
        eventually(|| {
            outcome = supervisor.check();
            !matches!(outcome, Ok(State::Running))
        });
        outcome.err()
    });

    let message = error.expect("given up").to_string();
    assert!(
        message.starts_with("PostgreSQL died 6 times within 5 minutes, giving up; its log /"),
        "{message}"
    );
}

#[test]
fn the_server_goes_when_its_parent_is_killed() {
    let scratch = Scratch::new();
    let helper = Helper::start(helper_command(&scratch.data()));

    let server = helper.kill(Signal::KILL);

    assert!(eventually(|| !runs(server)));
    let log = fs::read_to_string(scratch.data().join("postgres/server.log")).expect("log");
    assert!(log.contains("received fast shutdown request"), "{log}");
}

#[test]
fn ctrl_c_in_the_terminal_leaves_the_order_of_things_to_the_parent() {
    let scratch = Scratch::new();
    let helper = Helper::start(helper_command(&scratch.data()));
    let guardian = helper.guardian();

    let groups = [helper.server, guardian]
        .map(|member| rustix::process::getpgid(Some(pid(member))).expect("group"));

    assert!(
        groups
            .iter()
            .all(|group| *group != pid(helper.process.id()))
    );
    let server = helper.kill(Signal::INT);
    assert!(eventually(|| !runs(server)));
}

#[test]
fn a_start_right_after_the_parent_was_killed_finds_all_data() {
    let scratch = Scratch::new();
    let helper = Helper::start(helper_command(&scratch.data()));
    kill(helper.process.id(), Signal::KILL);

    let server = eventually_start(&scratch.data());

    sql(&server, "SELECT 1");
    assert!(!runs(helper.server));
}

/// The kernel drops the lock a moment after the signal.
fn eventually_start(data: &Path) -> Server {
    let mut home = None;
    assert!(eventually(|| {
        home = DataDir::claim(data).ok();
        home.is_some()
    }));
    Server::start(&home.expect("claimed"), Settings::durable()).expect("start")
}

#[test]
fn a_server_that_outlived_parent_and_guardian_is_stopped_and_started_anew() {
    let scratch = Scratch::new();
    let helper = Helper::start(helper_command(&scratch.data()));
    kill(helper.guardian(), Signal::KILL);
    let orphan = helper.kill(Signal::KILL);
    std::thread::sleep(Duration::from_millis(300));
    assert!(runs(orphan));

    let server = start(&scratch.data());

    assert!(!runs(orphan));
    assert_ne!(server.pid(), orphan);
    sql(&server, "SELECT 1");
}

/// Stops the server as a crash of the machine would, and gives its process id in the lock files to another process of the same user.
fn crash_and_reuse_the_pid(server: Server, by: u32) {
    let cluster = server.cluster().to_owned();
    kill(server.pid(), Signal::KILL);
    server.stop().expect("stop");
    for file in ["postmaster.pid", ".s.PGSQL.5432.lock"].map(|name| cluster.join(name)) {
        let text = fs::read_to_string(&file).expect("read");
        let rest = text.split_once('\n').expect("lines").1;
        fs::write(&file, format!("{by}\n{rest}")).expect("write");
    }
}

#[test]
fn lock_files_whose_process_number_is_another_programs_now_do_not_block() {
    let scratch = Scratch::new();
    let server = start(&scratch.data());
    write_a_row(&server);
    let owner = fs::metadata(server.cluster()).expect("stat");
    let mut stranger = Command::new("sleep");
    stranger.arg("60");
    if geteuid().is_root() {
        stranger.uid(owner.uid()).gid(owner.gid());
    }
    let mut stranger = stranger.spawn().expect("spawn");
    crash_and_reuse_the_pid(server, stranger.id());

    let server = start(&scratch.data());

    assert_the_row_is_there(&server);
    assert!(
        stranger.try_wait().expect("wait").is_none(),
        "the stranger was killed"
    );
    stranger.kill().and_then(|()| stranger.wait()).expect("end");
}

#[test]
fn lock_files_whose_process_number_is_another_servers_now_do_not_block_nor_harm_it() {
    let (scratch, other) = (Scratch::new(), Server::ephemeral().expect("start"));
    let server = start(&scratch.data());
    write_a_row(&server);
    crash_and_reuse_the_pid(server, other.pid());

    let server = start(&scratch.data());

    assert_the_row_is_there(&server);
    sql(&other, "SELECT 1");
}

#[test]
fn a_lock_file_cut_short_by_a_crash_does_not_block() {
    let scratch = Scratch::new();
    let server = start(&scratch.data());
    write_a_row(&server);
    let lock_file = server.cluster().join("postmaster.pid");
    server.stop().expect("stop");
    fs::write(lock_file, "").expect("write");

    let server = start(&scratch.data());

    assert_the_row_is_there(&server);
}

#[test]
fn an_interrupted_creation_is_done_again() {
    let scratch = Scratch::new();
    let unfinished = |data: &Path| {
        fs::read_dir(data.join("postgres"))
            .into_iter()
            .flatten()
            .flatten()
            .any(|entry| {
                entry
                    .file_name()
                    .to_string_lossy()
                    .starts_with("cluster.new-")
                    && entry.path().join("base").exists()
            })
    };
    let mut process = helper_command(&scratch.data()).spawn().expect("spawn");
    assert!(eventually(|| unfinished(&scratch.data())));
    process.kill().and_then(|()| process.wait()).expect("kill");
    assert!(!scratch.data().join("postgres/cluster").exists());

    let server = eventually_start(&scratch.data());

    sql(&server, "SELECT 1");
    assert!(!unfinished(&scratch.data()));
}

#[test]
fn a_second_process_on_the_same_directory_is_refused() {
    let scratch = Scratch::new();
    let helper = Helper::start(helper_command(&scratch.data()));

    let message = DataDir::claim(&scratch.data())
        .expect_err("refused")
        .to_string();

    let data = scratch.data().display().to_string();
    let pid = helper.process.id();
    assert_eq!(
        message,
        format!(
            "another regcred dev uses {data} (pid {pid}); stop it or choose another --data-dir"
        )
    );
    let server = helper.kill(Signal::KILL);
    assert!(eventually(|| !runs(server)));
}

#[test]
fn a_path_too_long_for_a_socket_works_and_leaves_nothing_in_the_temporary_directory() {
    let scratch = Scratch::new();
    let server = start(&scratch.data().join("x".repeat(120)).join("y".repeat(120)));
    write_a_row(&server);
    let alias = server
        .socket_directory()
        .parent()
        .expect("parent")
        .to_owned();
    assert!(alias.exists());

    server.stop().expect("stop");

    assert!(!alias.exists());
}

#[test]
fn a_path_of_any_characters_works() {
    let scratch = Scratch::new();
    let names = [
        "a b",
        "it's",
        "say \"x\"",
        "é中",
        "a,b;c",
        "$HOME `id` \\",
        "%41+&#?",
        "-D",
    ];
    let data = names
        .iter()
        .fold(scratch.data(), |path, name| path.join(name));
    let server = start(&data);
    write_a_row(&server);
    server.stop().expect("stop");

    let server = start(&data);

    assert_the_row_is_there(&server);
}

#[test]
fn a_path_of_other_bytes_than_text_works() {
    let scratch = Scratch::new();
    let server = start(&scratch.data().join(OsString::from_vec(vec![b'a', 0xff])));

    write_a_row(&server);

    assert_the_row_is_there(&server);
}

#[test]
fn a_path_with_symbolic_links_works() {
    let scratch = Scratch::new();
    fs::create_dir(scratch.0.join("real")).expect("create");
    symlink("real", scratch.data()).expect("link");

    let server = start(&scratch.data());

    assert!(server.cluster().starts_with(scratch.0.join("real")));
}

#[test]
fn as_root_directories_that_the_servers_user_cannot_enter_are_no_obstacle_and_keep_their_modes() {
    if !geteuid().is_root() {
        return;
    }
    let scratch = Scratch::with_mode(0o700);
    let server = start(&scratch.data());
    write_a_row(&server);
    server.stop().expect("stop");
    let mut supervisor = Supervisor::new(start(&scratch.data()));

    kill(supervisor.server().pid(), Signal::KILL);

    assert!(eventually(
        || supervisor.check().expect("check") != State::Running
    ));
    assert_the_row_is_there(supervisor.server());
    assert_eq!(
        fs::metadata(&scratch.0).expect("stat").permissions().mode() & 0o777,
        0o700
    );
}

#[test]
fn as_root_an_orphan_behind_closed_directories_is_found() {
    if !geteuid().is_root() {
        return;
    }
    let scratch = Scratch::with_mode(0o700);
    let helper = Helper::start(helper_command(&scratch.data()));
    kill(helper.guardian(), Signal::KILL);
    let orphan = helper.kill(Signal::KILL);
    assert!(runs(orphan));

    let server = start(&scratch.data());

    assert!(!runs(orphan));
    sql(&server, "SELECT 1");
}

#[test]
fn as_root_a_cluster_keeps_its_owner() {
    if !geteuid().is_root() {
        return;
    }
    let scratch = Scratch::new();
    as_nobody(&scratch, |command| {
        let helper = Helper::start(command);
        let server = helper.kill(Signal::KILL);
        assert!(eventually(|| !runs(server)));
    });

    let server = start(&scratch.data());

    assert_eq!(fs::metadata(server.cluster()).expect("stat").uid(), NOBODY);
    assert_eq!(
        fs::metadata(format!("/proc/{}", server.pid()))
            .expect("stat")
            .uid(),
        NOBODY
    );
}

#[test]
fn as_root_a_copy_that_lost_its_owner_works() {
    if !geteuid().is_root() {
        return;
    }
    let scratch = Scratch::new();
    let server = start(&scratch.data());
    write_a_row(&server);
    server.stop().expect("stop");
    let status = Command::new("chown")
        .args(["-R", "0:0"])
        .arg(scratch.data())
        .status()
        .expect("chown");
    assert!(status.success());

    let server = start(&scratch.data());

    assert_the_row_is_there(&server);
}

/// Runs the helper as a plain user, from a copy that this user can read, in a directory of its own.
fn as_nobody(scratch: &Scratch, then: impl FnOnce(Command)) {
    let program = scratch.0.join("program");
    fs::copy(std::env::current_exe().expect("own path"), &program).expect("copy");
    fs::create_dir(scratch.data()).expect("create");
    chown(scratch.data(), Some(NOBODY), Some(NOBODY)).expect("chown");
    let mut command = Command::new(program);
    prepare(&mut command, &scratch.data());
    command.uid(NOBODY).gid(NOBODY).current_dir("/");
    then(command);
}

#[test]
fn a_plain_user_runs_the_server_as_itself() {
    if !geteuid().is_root() {
        return;
    }
    let scratch = Scratch::new();
    as_nobody(&scratch, |command| {
        let helper = Helper::start(command);

        let owner = fs::metadata(format!("/proc/{}", helper.server))
            .expect("stat")
            .uid();

        assert_eq!(owner, NOBODY);
        let server = helper.kill(Signal::KILL);
        assert!(eventually(|| !runs(server)));
    });
}

#[test]
fn an_ephemeral_server_leaves_nothing_behind_when_it_stops() {
    let server = Server::ephemeral().expect("start");
    let (pid, data) = (server.pid(), server.home().path().to_owned());
    assert_eq!(sql(&server, "SHOW fsync"), "off");

    server.stop().expect("stop");

    assert!(!runs(pid));
    assert!(!data.exists());
}

#[test]
fn an_ephemeral_server_leaves_nothing_behind_when_its_parent_is_killed() {
    let helper = Helper::start(helper_command(Path::new("ephemeral")));
    let (data, guardian) = (helper.data.clone(), helper.guardian());

    let server = helper.kill(Signal::KILL);

    assert!(eventually(|| !runs(server)
        && !data.exists()
        && !runs(guardian)));
}

#[test]
fn an_ephemeral_server_leaves_nothing_behind_when_its_parent_exits_without_a_word() {
    let mut command = helper_command(Path::new("ephemeral"));
    command.env("DEV_POSTGRES_EXIT", "1");
    let mut helper = Helper::start(command);

    drop(helper.process.stdin.take());
    helper.process.wait().expect("wait");

    assert!(eventually(|| !runs(helper.server) && !helper.data.exists()));
}

#[test]
fn a_server_that_cannot_start_says_why() {
    let scratch = Scratch::new();
    let server = start(&scratch.data());
    let configuration = server.cluster().join("postgresql.auto.conf");
    server.stop().expect("stop");
    fs::write(configuration, "no_such_setting = 1\n").expect("write");

    let error = Server::start(
        &DataDir::claim(&scratch.data()).expect("claim"),
        Settings::durable(),
    )
    .expect_err("fails");

    let message = error.to_string();
    assert!(
        message.contains("no_such_setting") && message.lines().count() == 1,
        "{message}"
    );
}

#[test]
fn data_of_a_version_that_is_not_installed_is_left_alone() {
    let scratch = Scratch::new();
    let server = start(&scratch.data());
    let version = server.cluster().join("PG_VERSION");
    server.stop().expect("stop");
    fs::write(version, "99\n").expect("write");

    let error = Server::start(
        &DataDir::claim(&scratch.data()).expect("claim"),
        Settings::durable(),
    )
    .expect_err("fails");

    assert!(
        error
            .to_string()
            .contains("holds data of PostgreSQL 99, which is not installed"),
        "{error}"
    );
}
