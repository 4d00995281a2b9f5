//! A way to the database that can be cut without a word, as when a machine or a network dies.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use regcred::store::database::Pooler;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream, UnixStream};

use super::Way;
use super::pooler::database_of;
use super::postgres;

/// A proxy between regcred and PostgreSQL.
pub struct WayOut {
    port: u16,
    swallowed_up_to: Arc<AtomicUsize>,
    opened: Arc<AtomicUsize>,
}

impl WayOut {
    /// Starts one.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("bound").port();
        let swallowed_up_to = Arc::new(AtomicUsize::new(0));
        let opened = Arc::new(AtomicUsize::new(0));
        let this = Self {
            port,
            swallowed_up_to: swallowed_up_to.clone(),
            opened: opened.clone(),
        };
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let number = opened.fetch_add(1, Ordering::SeqCst) + 1;
                tokio::spawn(carry(stream, number, swallowed_up_to.clone()));
            }
        });
        this
    }

    /// The way to a database through it.
    pub fn way(&self, url: &str) -> Way {
        let database = database_of(url);
        Way {
            url: format!(
                "postgres://regcred@127.0.0.1:{}/{database}?sslmode=disable",
                self.port
            ),
            pooler: Pooler::None,
            direct: url.to_owned(),
        }
    }

    /// From now on, what is sent on connections that are open arrives nowhere, and nobody is told. New ones work.
    pub fn swallow(&self) {
        let opened = self.opened.load(Ordering::SeqCst);
        self.swallowed_up_to.store(opened, Ordering::SeqCst);
    }
}

async fn carry(stream: TcpStream, number: usize, swallowed_up_to: Arc<AtomicUsize>) {
    let socket = postgres::shared().socket_directory().join(".s.PGSQL.5432");
    let Ok(server) = UnixStream::connect(socket).await else {
        return;
    };
    let (from, to) = stream.into_split();
    let (server_from, server_to) = server.into_split();
    let dead = move || number <= swallowed_up_to.load(Ordering::SeqCst);
    tokio::select! {
        () = there(from, server_to, &dead) => {}
        () = back(server_from, to, &dead) => {}
    }
}

async fn there(
    mut from: OwnedReadHalf,
    mut to: tokio::net::unix::OwnedWriteHalf,
    dead: &impl Fn() -> bool,
) {
    let mut bytes = vec![0; 64 * 1024];
    while let Ok(read) = from.read(&mut bytes).await {
        if read == 0 {
            return;
        }
        if !dead() && to.write_all(&bytes[..read]).await.is_err() {
            return;
        }
    }
}

async fn back(
    mut from: tokio::net::unix::OwnedReadHalf,
    mut to: OwnedWriteHalf,
    dead: &impl Fn() -> bool,
) {
    let mut bytes = vec![0; 64 * 1024];
    while let Ok(read) = from.read(&mut bytes).await {
        if dead() {
            return std::future::pending().await;
        }
        if read == 0 || to.write_all(&bytes[..read]).await.is_err() {
            return;
        }
    }
}
