//! A service manager that listens in the daemon's place and waits until it is ready, as systemd does.

use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::os::unix::net::{UnixDatagram, UnixListener};

use rustix::process::Signal;

use crate::heard::HANG;
use crate::home::Home;
use crate::program::{BARISTAD, Running};

/// The socket arrives as stdin and leaves as descriptor 3, and the shell becomes the daemon, so that it knows its own process.
const MANAGER: &str = r#"exec 3<&0 </dev/null; LISTEN_FDS=1 LISTEN_PID=$$ exec "$0""#;

fn hear(manager: &UnixDatagram) -> String {
    let mut bytes = [0; 4096];
    let length = manager.recv(&mut bytes).expect("a message");
    String::from_utf8_lossy(&bytes[..length]).into_owned()
}

#[test]
fn the_daemon_serves_on_the_socket_that_it_is_given_and_leaves_it_there() {
    let home = Home::new();
    let socket = home.socket();
    let mut private = fs::DirBuilder::new();
    private.recursive(true).mode(0o700);
    private
        .create(socket.parent().expect("a directory"))
        .expect("created");
    let listener = UnixListener::bind(&socket).expect("bound");
    let inode = fs::metadata(&socket).expect("there").ino();
    let manager = UnixDatagram::bind(home.path().join("notify")).expect("bound");
    manager.set_read_timeout(Some(HANG)).expect("a limit");

    // Whoever comes before the daemon is served by it.
    let early = home.start(["notify", "Early"]);
    for round in 1..=2 {
        let mut command = home.command("sh");
        command
            .args(["-c", MANAGER])
            .arg(BARISTAD.as_path())
            .env("NOTIFY_SOCKET", home.path().join("notify"))
            .stdin(OwnedFd::from(listener.try_clone().expect("a descriptor")));
        let daemon = Running::start(&mut command);
        drop(command);
        assert!(hear(&manager).starts_with("READY=1\n"));
        assert_eq!(home.daemon(), daemon.pid());
        home.run(["notify", "--no-autostart", "Hello"]).with(0);
        daemon.signal(Signal::TERM);
        while !hear(&manager).starts_with("STOPPING=1\n") {}
        daemon.end().with(0);
        assert_eq!(
            fs::metadata(&socket).expect("still there").ino(),
            inode,
            "{round}"
        );
    }
    early.end().with(0);
    drop(listener);
    fs::remove_file(&socket).expect("removed");
}
