use std::os::unix::fs::{MetadataExt, symlink};
use std::os::unix::net::{UnixDatagram, UnixStream};

use barista_locate::{Located, Source};

use super::*;
use crate::alone;
use crate::data_dir::Options;

struct Scene {
    directory: tempfile::TempDir,
    data_dir: DataDir,
    instance: Instance,
}

impl Scene {
    fn new() -> Self {
        Self::below("data")
    }

    fn below(name: &str) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let located = Located {
            path: directory.path().join(name),
            source: Source::Environment,
        };
        let data_dir = DataDir::open(&located, Options::default()).expect("a data directory");
        let instance = Instance::acquire(&data_dir).expect("free");
        Self {
            directory,
            data_dir,
            instance,
        }
    }

    fn bind(&self, configured: Option<&Path>) -> Result<BoundSocket, SocketError> {
        BoundSocket::bind(&self.data_dir, configured, &self.instance)
    }

    fn published(&self) -> Option<PathBuf> {
        let text = std::fs::read(self.data_dir.run_dir().join(SOCKET_PATH_FILE)).ok()?;
        Some(PathBuf::from(std::ffi::OsStr::from_bytes(&text)))
    }
}

#[tokio::test]
async fn a_client_connects_to_the_published_path() {
    let scene = Scene::new();
    let socket = scene.bind(None).expect("bound");
    assert_eq!(
        socket.path(),
        scene.data_dir.path().join("run/barista.sock")
    );
    assert_eq!(scene.published().as_deref(), Some(socket.path()));
    let mode = std::fs::symlink_metadata(socket.path())
        .expect("it exists")
        .mode();
    assert_eq!(mode & 0o7777, 0o600);
    let (listener, at) = socket.into_listener().expect("listening");
    let client = tokio::net::UnixStream::connect(scene.published().expect("published")).await;
    let (accepted, _) = listener.accept().await.expect("accepted");
    assert_eq!(
        accepted.peer_cred().expect("credentials").uid(),
        scene.data_dir.uid()
    );
    drop(client);
    assert!(at.unlink_if_ours());
    assert!(!at.path().exists() && scene.published().is_none());
}

#[test]
fn the_socket_of_a_dead_daemon_is_replaced() {
    let scene = Scene::new();
    let path = scene.data_dir.run_dir().join("barista.sock");
    drop(BlockingListener::bind(&path).expect("bound"));
    assert!(path.exists(), "a dead socket keeps its name");
    let socket = scene.bind(None).expect("replaced");
    UnixStream::connect(socket.path()).expect("answers");
}

#[test]
fn a_live_socket_is_never_robbed() {
    let scene = Scene::new();
    let path = scene.data_dir.run_dir().join("barista.sock");
    let live = BlockingListener::bind(&path).expect("bound");
    let error = scene.bind(None).expect_err("in use");
    assert!(matches!(error, SocketError::InUse { .. }), "{error}");
    live.set_nonblocking(true).expect("non-blocking");
    live.accept().expect("the probe");
    UnixStream::connect(&path).expect("still there");
}

#[test]
fn a_live_socket_with_a_full_queue_is_not_robbed_either() {
    let scene = Scene::new();
    let path = scene.data_dir.run_dir().join("barista.sock");
    let stuck = socket(AddressFamily::UNIX, SocketType::STREAM, None).expect("a socket");
    bind(&stuck, &SocketAddrUnix::new(&path).expect("an address")).expect("bound");
    listen(&stuck, 0).expect("listening");
    let waiting: Vec<UnixStream> = (0..1)
        .map(|_| UnixStream::connect(&path).expect("queued"))
        .collect();
    let error = scene.bind(None).expect_err("in use");
    assert!(matches!(error, SocketError::InUse { .. }), "{error}");
    drop(waiting);
}

#[test]
fn what_is_not_a_stream_socket_is_refused() {
    let scene = Scene::new();
    let path = scene.directory.path().join("s");
    std::fs::write(&path, "precious").expect("a file");
    let error = scene.bind(Some(&path)).expect_err("a file");
    assert!(matches!(error, SocketError::NotASocket { .. }), "{error}");
    assert_eq!(
        std::fs::read_to_string(&path).expect("untouched"),
        "precious"
    );
    std::fs::remove_file(&path).expect("removed");
    symlink(scene.directory.path().join("nowhere"), &path).expect("a link");
    assert!(matches!(
        scene.bind(Some(&path)),
        Err(SocketError::NotASocket { .. })
    ));
    std::fs::remove_file(&path).expect("removed");
    let datagram = UnixDatagram::bind(&path).expect("bound");
    assert!(matches!(
        scene.bind(Some(&path)),
        Err(SocketError::InUse { .. })
    ));
    drop(datagram);
}

#[test]
fn a_configured_path_is_used_or_refused_for_its_length() {
    let scene = Scene::new();
    let path = scene.directory.path().join("own.sock");
    let socket = scene.bind(Some(&path)).expect("bound");
    assert_eq!(
        (socket.path(), scene.published()),
        (path.as_path(), Some(path.clone()))
    );
    let long = scene.directory.path().join("x".repeat(100));
    let error = scene.bind(Some(&long)).expect_err("too long");
    assert!(
        matches!(error, SocketError::PathTooLong { length, .. } if length > 100),
        "{error}"
    );
    let nowhere = scene.directory.path().join("missing/s");
    assert!(matches!(
        scene.bind(Some(&nowhere)),
        Err(SocketError::NoDirectory { .. })
    ));
}

#[test]
fn a_long_data_directory_gets_a_short_name_in_a_private_directory() {
    let scene = Scene::below(&"long/".repeat(30));
    let socket = scene.bind(None).expect("bound");
    let private = barista_locate::fallback_socket_dir(scene.data_dir.uid());
    assert_eq!(socket.path().parent(), Some(private.as_path()));
    assert_eq!(scene.published().as_deref(), Some(socket.path()));
    UnixStream::connect(socket.path()).expect("answers");
    assert!(socket.place.unlink_if_ours());
}

#[test]
fn a_private_directory_that_is_not_private_is_refused() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().join("barista-1");
    prepare_private(&path).expect("created");
    prepare_private(&path).expect("found");
    std::fs::set_permissions(&path, Permissions::from_mode(0o755)).expect("chmod");
    let error = prepare_private(&path)
        .expect_err("open to others")
        .to_string();
    assert!(
        error.ends_with(&format!("chmod 700 {}", path.display())),
        "{error}"
    );
    std::fs::remove_dir(&path).expect("empty");
    symlink(directory.path(), &path).expect("a link");
    prepare_private(&path).expect_err("a link");
}

#[test]
fn the_socket_of_the_next_daemon_is_left_alone() {
    let scene = Scene::new();
    let old = scene.bind(None).expect("bound");
    std::fs::remove_file(old.path()).expect("removed");
    let new = BlockingListener::bind(old.path()).expect("bound by another");
    let published = old.place.published.clone().expect("published");
    replace(&published, b"/elsewhere").expect("published by another");
    assert!(!old.place.unlink_if_ours());
    assert!(old.path().exists());
    assert_eq!(scene.published(), Some("/elsewhere".into()));
    drop(new);
}

#[test]
fn a_socket_of_the_service_manager_is_adopted_and_left_in_place() {
    let scene = Scene::new();
    let path = scene.directory.path().join("activated.sock");
    let listener = BlockingListener::bind(&path).expect("bound");
    let socket = BoundSocket::adopt(&scene.data_dir, listener).expect("adopted");
    assert!(socket.place.is_activated());
    assert_eq!(scene.published(), Some(path.clone()));
    UnixStream::connect(&path).expect("answers");
    assert!(!socket.place.unlink_if_ours());
    assert!(path.exists());
}

/// Descriptors are passed from process to process only: see the two tests below, which set `LISTEN_FDS`.
#[test]
#[ignore = "another test runs it with a service manager's socket"]
fn alone_activated() {
    if !alone::is_alone() {
        return;
    }
    let scene = Scene::new();
    let agent_socket = std::env::var_os("AGENT_SOCKET");
    let nowhere = "/nowhere/agent.sock".into();
    let wanted = Wanted {
        socket: None,
        for_agents: std::env::var_os("NO_AGENTS").is_none(),
        agent_socket: Some(Path::new(agent_socket.as_ref().unwrap_or(&nowhere))),
    };
    let outcome = Sockets::open(&scene.data_dir, wanted, &scene.instance);
    if std::env::var_os("ONLY_AGENTS").is_some() {
        let sockets = outcome.expect("bound and adopted");
        assert!(!sockets.socket.place.is_activated());
        return assert!(sockets.agents.expect("adopted").place.is_activated());
    }
    match std::env::var_os("SOCKET") {
        Some(path) => {
            let sockets = outcome.expect("adopted");
            assert!(sockets.socket.place.is_activated());
            assert_eq!(sockets.socket.path(), Path::new(&path));
            assert!(sockets.agents.is_none(), "its directory is missing");
        }
        None => {
            let error = outcome.expect_err("not one socket");
            assert!(matches!(error, SocketError::Activation { .. }), "{error}");
        }
    }
}

/// Like systemd, but the socket is passed as standard input: `LISTEN_FDS_FIRST_FD` says so.
fn activated_with(count: &str, descriptor: OwnedFd) -> std::process::Command {
    let mut command = alone::command("socket::tests::alone_activated");
    command
        .env("LISTEN_FDS", count)
        .env("LISTEN_FDS_FIRST_FD", "0")
        .stdin(descriptor);
    command
}

#[test]
fn a_socket_of_the_service_manager_comes_before_everything_else() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().join("activated.sock");
    let listener = BlockingListener::bind(&path).expect("bound");
    alone::expect_pass(activated_with("1", listener.into()).env("SOCKET", &path));
}

#[test]
fn anything_but_one_listening_unix_socket_is_refused() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let listener = BlockingListener::bind(directory.path().join("s")).expect("bound");
    alone::expect_pass(&mut activated_with("2", listener.into()));
    let file = tempfile::tempfile().expect("a file");
    alone::expect_pass(&mut activated_with("1", file.into()));
}

/// The sockets of agents and people are told apart by their paths; a mix-up would let a sandbox answer.
#[test]
fn an_agent_socket_is_never_taken_for_that_of_people() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let (path, alias) = (directory.path().join("a.sock"), directory.path().join("b"));
    let listener = BlockingListener::bind(&path).expect("bound");
    symlink(directory.path(), &alias).expect("a link");
    let passed = || listener.try_clone().expect("a descriptor").into();
    // Alone it is no reason to do without one for people, which is made.
    for own_name in [path.clone(), alias.join("a.sock")] {
        alone::expect_pass(
            activated_with("1", passed())
                .env("AGENT_SOCKET", own_name)
                .env("ONLY_AGENTS", "1"),
        );
    }
    // Nobody would answer there.
    alone::expect_pass(
        activated_with("1", passed())
            .env("AGENT_SOCKET", &path)
            .env("NO_AGENTS", "1"),
    );
}
