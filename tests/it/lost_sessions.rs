//! A server that gives a session up says so as it likes: whoever asked may ask again.

use regcred::broker::Error;
use sqlx::Connection;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// What a login meets at a server that answers it with this error.
async fn refused(severity: &str, code: &str) -> Error {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let port = listener.local_addr().expect("bound").port();
    let mut fields = Vec::new();
    for (field, text) in [
        (b'S', severity),
        (b'V', severity),
        (b'C', code),
        (b'M', "could not write init file"),
    ] {
        fields.push(field);
        fields.extend_from_slice(text.as_bytes());
        fields.push(0);
    }
    fields.push(0);
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a client");
        let mut hello = [0; 512];
        let read = stream.read(&mut hello).await.expect("its hello");
        assert!(read > 8, "a startup message");
        let length = u32::try_from(fields.len() + 4).expect("short");
        stream.write_all(b"E").await.expect("there");
        stream
            .write_all(&length.to_be_bytes())
            .await
            .expect("there");
        stream.write_all(&fields).await.expect("there");
    });
    let url = format!("postgres://u@127.0.0.1:{port}/d?sslmode=disable");
    let refused = sqlx::PgConnection::connect(&url)
        .await
        .expect_err("no session");
    refused.into()
}

/// PostgreSQL gives up so where its disk is full while somebody logs in, under the code of its own defects.
#[tokio::test]
async fn a_session_that_the_server_gave_up_may_be_tried_again() {
    for severity in ["FATAL", "PANIC"] {
        let error = refused(severity, "XX000").await;
        assert!(
            matches!(error, Error::Unavailable(_)),
            "{severity}: {error}"
        );
    }
    let error = refused("ERROR", "XX000").await;
    assert!(matches!(error, Error::Internal(_)), "{error}");
}
