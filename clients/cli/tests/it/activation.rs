//! A service manager that listens in the daemon's place and waits until it is ready, as systemd does.

use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::os::unix::net::{UnixDatagram, UnixListener};

use rustix::process::Signal;

use crate::heard::HANG;
use crate::home::Home;
use crate::program::{BARISTAD, Running};

/// The sockets arrive as stdin and stdout and leave as descriptors 3 and 4, and the shell becomes the daemon, so that it knows its own process.
const MANAGER: &str = r#"exec 3<&0 4<&1 </dev/null >&2; LISTEN_FDS=2 LISTEN_PID=$$ exec "$0""#;

fn hear(manager: &UnixDatagram) -> String {
    let mut bytes = [0; 4096];
    let length = manager.recv(&mut bytes).expect("a message");
    String::from_utf8_lossy(&bytes[..length]).into_owned()
}

#[test]
fn the_daemon_serves_on_the_socket_that_it_is_given_and_leaves_it_there() {
    let home = Home::new();
    let socket = home.socket();
    let agent_socket = socket.with_file_name("agent").join("agent.sock");
    let mut private = fs::DirBuilder::new();
    private.recursive(true).mode(0o700);
    private
        .create(agent_socket.parent().expect("a directory"))
        .expect("created");
    let listener = UnixListener::bind(&socket).expect("bound");
    let agents = UnixListener::bind(&agent_socket).expect("bound");
    let inode = |path| fs::metadata(path).expect("there").ino();
    let (first, first_of_agents) = (inode(&socket), inode(&agent_socket));
    let manager = UnixDatagram::bind(home.path().join("notify")).expect("bound");
    manager.set_read_timeout(Some(HANG)).expect("a limit");

    // Whoever comes before the daemon is served by it.
    let early = home.start(["notify", "Early"]);
    let door = agent_socket.display().to_string();
    let sandboxed = home.start(["--socket", &door, "ask", "May I?", "--option", "yes"]);
    for round in 1..=2 {
        let mut command = home.command("sh");
        command
            .args(["-c", MANAGER])
            .arg(BARISTAD.as_path())
            .env("NOTIFY_SOCKET", home.path().join("notify"))
            .stdin(OwnedFd::from(listener.try_clone().expect("a descriptor")))
            .stdout(OwnedFd::from(agents.try_clone().expect("a descriptor")));
        let daemon = Running::start_with_stdout(&mut command);
        drop(command);
        assert!(hear(&manager).starts_with("READY=1\n"));
        assert_eq!(home.daemon(), daemon.pid());
        home.run(["notify", "--no-autostart", "Hello"]).with(0);
        // Each socket is the door that its path says: an agent may ask, and not answer.
        let id = sandboxed.question();
        home.run(["--socket", &door, "respond", &id, "yes"]).with(4);
        if round == 2 {
            home.run(["respond", "--no-autostart", &id, "yes"]).with(0);
        }
        daemon.signal(Signal::TERM);
        while !hear(&manager).starts_with("STOPPING=1\n") {}
        daemon.end().with(0);
        assert_eq!(inode(&socket), first, "{round}");
        assert_eq!(inode(&agent_socket), first_of_agents, "{round}");
    }
    early.end().with(0);
    assert_eq!(sandboxed.end().with(0).value(), "yes");
    drop((listener, agents));
    fs::remove_file(&socket).expect("removed");
}
