//! The load: as many connections as wanted, each sending its next request when the last one is answered.
//!
//! HTTP/1.1 with keep-alive and nothing more, so that little of the machine goes into asking.

use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::LocalSet;

/// What was measured of one row.
#[derive(Debug, Clone, Copy, Default)]
pub struct Load {
    /// Answers a second.
    pub rate: f64,
    /// Median time to answer.
    pub median: Duration,
    /// Ninety-nine of a hundred were answered within this time.
    pub p99: Duration,
    /// How many were answered.
    pub count: u64,
}

/// The requests of a row: the bytes of the nth request of a connection, and the status that it must have.
pub struct Requests {
    /// Whole requests, by connection and number.
    pub bytes: Box<dyn Fn(usize, u64) -> Rc<[u8]>>,
    /// The status that each answer must have.
    pub status: u16,
}

/// Asks over so many connections for so long.
///
/// # Errors
/// The first answer that has another status.
pub async fn drive(
    address: SocketAddr,
    connections: usize,
    time: Duration,
    requests: Requests,
) -> anyhow::Result<Load> {
    let requests = Rc::new(requests);
    let until = Instant::now() + time;
    let local = LocalSet::new();
    let started = Instant::now();
    let tasks: Vec<_> = (0..connections)
        .map(|number| local.spawn_local(ask(address, number, until, requests.clone())))
        .collect();
    let mut times = Vec::new();
    local
        .run_until(async {
            for task in tasks {
                times.extend(task.await??);
            }
            anyhow::Ok(())
        })
        .await?;
    let elapsed = started.elapsed().as_secs_f64();
    times.sort_unstable();
    let at = |part: f64| {
        let index = (times.len() as f64 * part) as usize;
        times.get(index.min(times.len().saturating_sub(1))).copied()
    };
    Ok(Load {
        rate: times.len() as f64 / elapsed,
        median: at(0.5).unwrap_or_default(),
        p99: at(0.99).unwrap_or_default(),
        count: times.len() as u64,
    })
}

async fn ask(
    address: SocketAddr,
    number: usize,
    until: Instant,
    requests: Rc<Requests>,
) -> anyhow::Result<Vec<Duration>> {
    let mut connection = Connection::open(address).await?;
    let mut times = Vec::new();
    for nth in 0.. {
        let started = Instant::now();
        if started >= until {
            break;
        }
        let status = connection.send(&(requests.bytes)(number, nth)).await?;
        ensure!(
            status == requests.status || (requests.status, status) == (200, 201),
            "expected {}, got {status}: {}",
            requests.status,
            connection.body()
        );
        times.push(started.elapsed());
    }
    Ok(times)
}

/// One connection with its last answer.
pub struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
    head: usize,
}

impl Connection {
    /// Connects.
    ///
    /// # Errors
    /// If nobody listens.
    pub async fn open(address: SocketAddr) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            buffer: Vec::with_capacity(64 * 1024),
            head: 0,
        })
    }

    /// Sends a request and reads its answer to the end; gives the status.
    ///
    /// # Errors
    /// If the connection ends, or the answer is none of HTTP/1.1 with a length.
    pub async fn send(&mut self, request: &[u8]) -> anyhow::Result<u16> {
        self.stream.write_all(request).await?;
        self.buffer.clear();
        let mut whole = None;
        loop {
            let read = self.stream.read_buf(&mut self.buffer).await?;
            ensure!(read > 0, "the server closed the connection");
            if whole.is_none()
                && let Some(end) = find(&self.buffer, b"\r\n\r\n")
            {
                self.head = end + 4;
                whole = Some(self.head + self.length().unwrap_or_default());
            }
            if whole.is_some_and(|whole| self.buffer.len() >= whole) {
                break;
            }
        }
        let status = self.buffer.get(9..12).context("a status line")?;
        Ok(std::str::from_utf8(status)?.parse()?)
    }

    /// The body of the last answer.
    pub fn body(&self) -> String {
        String::from_utf8_lossy(&self.buffer[self.head..]).into_owned()
    }

    /// A header of the last answer.
    pub fn header(&self, name: &str) -> Option<&str> {
        let head = std::str::from_utf8(&self.buffer[..self.head]).ok()?;
        head.lines().find_map(|line| {
            let (known, value) = line.split_once(':')?;
            known.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    fn length(&self) -> Option<usize> {
        self.header("content-length")?.parse().ok()
    }
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|part| part == wanted)
}

/// A request as it goes over the wire.
pub fn request(
    method: &str,
    path: &str,
    token: Option<&str>,
    extra: &str,
    body: Option<&str>,
) -> Rc<[u8]> {
    let token = token.map(|token| format!("authorization: Bearer {token}\r\n"));
    let token = token.unwrap_or_default();
    let body = body.map_or_else(String::new, |body| {
        format!(
            "content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )
    });
    let end = if body.is_empty() { "\r\n" } else { "" };
    format!("{method} {path} HTTP/1.1\r\nhost: regcred\r\n{token}{extra}{body}{end}")
        .into_bytes()
        .into()
}
