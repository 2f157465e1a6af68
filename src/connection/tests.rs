use std::path::PathBuf;

use futures_util::poll;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_stream::StreamExt;

use super::*;
use crate::alone;

const PREFACE: &[u8; PREFACE_BYTES] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const LONG: Duration = Duration::from_secs(3600);
const SHORT: Duration = Duration::from_millis(1);

struct Server {
    _directory: tempfile::TempDir,
    path: PathBuf,
    stopping: CancellationToken,
}

fn incoming(max_connections: usize, handshake_timeout: Duration) -> (Server, Incoming) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().join("s");
    let listener = UnixListener::bind(&path).expect("bound");
    let stopping = CancellationToken::new();
    let limits = Limits {
        max_connections,
        handshake_timeout,
    };
    let incoming = Incoming::new(listener, Door::Person, limits, stopping.clone());
    (
        Server {
            _directory: directory,
            path,
            stopping,
        },
        incoming,
    )
}

impl Server {
    async fn connect(&self) -> UnixStream {
        UnixStream::connect(&self.path).await.expect("connected")
    }
}

async fn accept(incoming: &mut Incoming) -> Connection {
    incoming
        .next()
        .await
        .expect("not stopped")
        .expect("no error")
}

#[tokio::test]
async fn connections_are_counted_while_they_are_open() {
    let (server, mut incoming) = incoming(10, LONG);
    let connections = incoming.connections();
    let _clients = (server.connect().await, server.connect().await);
    let first = accept(&mut incoming).await;
    let second = accept(&mut incoming).await;
    assert_eq!(connections.open(), 2);
    assert_eq!(
        first.connect_info().credentials.map(|peer| peer.uid()),
        Some(incoming.uid)
    );
    drop(first);
    assert_eq!(connections.open(), 1);
    drop(second);
    assert_eq!((connections.open(), connections.refused()), (0, 0));
}

#[tokio::test]
async fn a_connection_beyond_the_limit_is_closed_at_once() {
    let (server, mut incoming) = incoming(1, LONG);
    let connections = incoming.connections();
    let _client = server.connect().await;
    let first = accept(&mut incoming).await;
    let mut refused = server.connect().await;
    let mut byte = [0];
    tokio::select! {
        _ = incoming.next() => panic!("accepted"),
        end = refused.read(&mut byte) => assert_eq!(end.expect("closed, not reset"), 0),
    }
    assert_eq!((connections.open(), connections.refused()), (1, 1));
    drop(first);
    let _client = server.connect().await;
    accept(&mut incoming).await;
}

#[tokio::test]
async fn cancelling_ends_the_stream_even_while_clients_wait() {
    let (server, mut incoming) = incoming(10, LONG);
    let _client = server.connect().await;
    server.stopping.cancel();
    assert!(incoming.next().await.is_none());
    assert!(incoming.next().await.is_none());
}

#[tokio::test]
async fn cancelling_wakes_a_stream_that_waits() {
    let (server, mut incoming) = incoming(10, LONG);
    assert!(poll!(Box::pin(incoming.next())).is_pending());
    let waiting = tokio::spawn(async move { incoming.next().await.is_none() });
    server.stopping.cancel();
    assert!(waiting.await.expect("no panic"));
}

#[tokio::test]
async fn a_client_that_says_nothing_is_cut_off() {
    let (server, mut incoming) = incoming(10, SHORT);
    let _client = server.connect().await;
    let mut connection = accept(&mut incoming).await;
    let error = connection.read_u8().await.expect_err("cut off");
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
}

#[tokio::test]
async fn a_part_of_an_introduction_is_none() {
    let (server, mut incoming) = incoming(10, SHORT);
    let mut client = server.connect().await;
    client
        .write_all(&PREFACE[..PREFACE_BYTES - 1])
        .await
        .expect("sent");
    let mut connection = accept(&mut incoming).await;
    let error = connection
        .read_exact(&mut [0; PREFACE_BYTES])
        .await
        .expect_err("cut off");
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
}

#[tokio::test]
async fn a_client_that_introduced_itself_may_be_silent() {
    let (server, mut incoming) = incoming(10, LONG);
    let mut client = server.connect().await;
    client.write_all(PREFACE).await.expect("sent");
    let mut connection = accept(&mut incoming).await;
    connection
        .read_exact(&mut [0; PREFACE_BYTES])
        .await
        .expect("received");
    assert!(connection.handshake.is_none());
    let mut byte = [0];
    let mut silence = Box::pin(connection.read(&mut byte));
    assert!(poll!(&mut silence).is_pending());
    client.write_all(b"x").await.expect("sent");
    assert_eq!(silence.await.expect("received"), 1);
}

/// The whole way through tonic: the server closes what says nothing, and the client sees the end.
#[tokio::test]
async fn the_server_drops_a_silent_client_and_ends_with_its_token() {
    let (server, incoming) = incoming(10, SHORT);
    let connections = incoming.connections();
    let (_, health) = tonic_health::server::health_reporter();
    let serving = tonic::transport::Server::builder()
        .add_service(health)
        .serve_with_incoming_shutdown(incoming, server.stopping.clone().cancelled_owned());
    let serving = tokio::spawn(serving);
    let mut client = server.connect().await;
    let mut rest = Vec::new();
    client.read_to_end(&mut rest).await.expect("closed");
    server.stopping.cancel();
    serving.await.expect("no panic").expect("a clean end");
    assert_eq!(connections.open(), 0);
}

/// Runs in a process of its own, because the limit holds for all threads: see [`too_many_open_files_do_not_end_the_stream`].
#[tokio::test]
#[ignore = "changes a limit of the whole process; another test runs it"]
async fn alone_too_many_open_files() {
    if !alone::is_alone() {
        return;
    }
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let (server, mut incoming) = incoming(10, LONG);
    let _client = server.connect().await;
    let limit = getrlimit(Resource::Nofile);
    setrlimit(
        Resource::Nofile,
        Rlimit {
            current: Some(3),
            maximum: limit.maximum,
        },
    )
    .expect("set");
    while incoming.pause.is_none() {
        assert!(poll!(Box::pin(incoming.next())).is_pending());
        tokio::task::yield_now().await;
    }
    setrlimit(Resource::Nofile, limit).expect("set");
    accept(&mut incoming).await;
    assert!(incoming.pause.is_none());
}

#[test]
fn too_many_open_files_do_not_end_the_stream() {
    alone::expect_pass(&mut alone::command(
        "connection::tests::alone_too_many_open_files",
    ));
}

#[tokio::test]
async fn a_client_that_gave_up_costs_no_pause() {
    let (_server, mut incoming) = incoming(10, LONG);
    incoming.stumble(&io::ErrorKind::ConnectionAborted.into());
    assert!(incoming.pause.is_none());
    incoming.stumble(&rustix::io::Errno::MFILE.into());
    assert!(incoming.pause.is_some());
}

#[test]
fn only_this_user_and_root_may_connect() {
    assert!(may_connect(1000, 1000) && may_connect(0, 1000) && may_connect(0, 0));
    assert!(!may_connect(1001, 1000) && !may_connect(1000, 0));
}

#[tokio::test]
async fn equal_warnings_are_held_back() {
    let mut throttle = Throttle::default();
    assert_eq!(throttle.ask(), Some(0));
    assert_eq!((throttle.ask(), throttle.ask()), (None, None));
    throttle.last = None;
    assert_eq!(throttle.ask(), Some(2));
}
