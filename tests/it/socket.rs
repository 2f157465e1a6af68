//! Whoever connects to the socket, and says whatever: the daemon goes on serving.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;

use barista_client::pb::notification::v1::StartAt;
use rustix::process::geteuid;

use crate::support::{Home, TestDaemon, beside, number, soon, uuid};

/// Another user than the one of the daemon.
const STRANGER: u32 = 54_321;

#[tokio::test]
async fn garbage_and_half_open_connections_disturb_nobody() {
    let daemon = TestDaemon::configured("[server]\nhandshake_timeout = '200ms'").await;
    let mut watch = daemon.watch(StartAt::Now).await;
    let socket = daemon.client().socket().to_owned();
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    let mut messages = vec![
        Vec::new(),
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec(),
        preface.clone(),
        [preface.clone(), vec![0xff; 64]].concat(),
        // A frame that is announced to be longer than any may be.
        [preface.clone(), vec![0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 0]].concat(),
        vec![0; 100_000],
    ];
    for _ in 0..20 {
        let length = usize::try_from(number(2_000)).expect("small");
        let noise: Vec<u8> = (0..length).flat_map(|_| uuid().into_bytes()).collect();
        messages.push([preface.clone(), noise].concat());
    }
    let mut open = Vec::new();
    for bytes in messages {
        let mut stream = UnixStream::connect(&socket).expect("connected");
        // The daemon may hang up before everything is said.
        let _ = stream.write_all(&bytes);
        open.push(stream);
    }
    let asked = daemon.ask("Still there?").await;
    assert_eq!(watch.event().await.notification, Some(asked));
    // Those that say nothing, or only nonsense, are hung up on; and who hangs up half-way is no trouble either.
    let silent = open.swap_remove(0);
    beside(move || {
        let mut silent = silent;
        let mut rest = Vec::new();
        assert!(silent.read_to_end(&mut rest).is_ok(), "the daemon hangs up");
    })
    .await;
    for stream in &open {
        let _ = stream.shutdown(Shutdown::Write);
    }
    daemon.ask("And now?").await;
    assert!(daemon.terminate().await.success());
}

#[tokio::test]
async fn connections_beyond_the_limit_are_closed_and_the_others_served() {
    let daemon = TestDaemon::configured("[server]\nmax_connections = 3").await;
    let socket = daemon.client().socket().to_owned();
    let more: Vec<UnixStream> = (0..6)
        .map(|_| UnixStream::connect(&socket).expect("connected"))
        .collect();
    // The client was first, so four of these are beyond the limit.
    let last = more.last().expect("one").try_clone().expect("a handle");
    beside(move || {
        let mut last = last;
        let mut rest = Vec::new();
        assert!(last.read_to_end(&mut rest).is_ok(), "the daemon hangs up");
    })
    .await;
    daemon.ask("Deploy?").await;
}

#[tokio::test]
async fn a_path_that_is_too_long_for_a_socket_has_a_short_one_in_its_place() {
    let home = Home::named(&"long".repeat(50));
    let daemon = TestDaemon::start_in(home).await;
    let socket = daemon.client().socket();
    assert!(socket.as_os_str().len() <= 100, "{}", socket.display());
    assert!(!socket.starts_with(daemon.home().data_dir()));
    let published = daemon.home().data_dir().join("run/socket.path");
    let published = std::fs::read_to_string(published).expect("published");
    assert_eq!(published, socket.to_str().expect("text"));
    daemon.ask("Deploy?").await;
    assert!(daemon.terminate().await.success());
    assert!(!socket.exists());
}

/// The socket's mode keeps strangers out; where somebody has changed it, the daemon does.
#[tokio::test]
async fn a_process_of_another_user_is_not_served() {
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::process::CommandExt;
    if !geteuid().is_root() {
        return; // Only root can be somebody else.
    }
    let daemon = TestDaemon::start().await;
    let socket = daemon.client().socket();
    let root = daemon.home().path().to_owned();
    for path in socket
        .ancestors()
        .take_while(|path| path.starts_with(&root))
    {
        let mode = if path == socket { 0o666 } else { 0o755 };
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("a mode");
    }
    let stranger = |uid: u32| {
        let mut command =
            std::process::Command::new(std::env::current_exe().expect("this program"));
        command
            .args([
                "--exact",
                "socket::a_client_of_its_own",
                "--ignored",
                "--nocapture",
            ])
            .env("SOCKET", &socket)
            .uid(uid);
        beside(move || command.output().expect("it runs"))
    };
    let refused = stranger(STRANGER).await;
    let text = String::from_utf8_lossy(&refused.stdout).into_owned();
    assert!(
        text.contains("1 passed") && text.contains("refused:"),
        "{text}"
    );
    let root = stranger(0).await;
    let text = String::from_utf8_lossy(&root.stdout).into_owned();
    assert!(
        text.contains("1 passed") && text.contains("served"),
        "{text}"
    );
    daemon.ask("Deploy?").await;
}

/// The other process of the story above: connects, and prints what comes of it.
#[tokio::test]
#[ignore = "another test runs it as another user"]
async fn a_client_of_its_own() {
    let socket = std::env::var_os("SOCKET").expect("the socket");
    let raw = crate::support::Raw::try_connect(socket.as_ref()).await;
    let mut raw = match raw {
        Ok(raw) => raw,
        Err(error) => return println!("refused: {error}"),
    };
    let request = barista_client::pb::notification::v1::GetNotificationRequest { id: 1 };
    match soon(raw.notifications.get_notification(request)).await {
        Err(status) if status.message().contains("no notification") => println!("served: {status}"),
        Err(status) => println!("refused: {status}"),
        Ok(reply) => println!("served: {reply:?}"),
    }
}

#[tokio::test]
async fn a_client_finds_a_socket_that_the_configuration_put_elsewhere() {
    let elsewhere = tempfile::tempdir().expect("a temporary directory");
    let socket = elsewhere.path().join("here.sock");
    let config = format!("[server]\nsocket = \"{}\"\n", socket.display());
    let daemon = TestDaemon::configured(&config).await;
    assert_eq!(daemon.client().socket(), socket);
    assert_eq!(daemon.ask("Found?").await.id, 1);
}
