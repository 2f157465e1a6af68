//! Metrics over HTTP.

use std::io::{Read, Write};
use std::net::TcpStream;

use crate::support::{Home, TestDaemon, beside};

/// What a server answers to a GET of `path`.
fn get(address: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).expect("connected");
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\n\r\n").expect("sent");
    let mut reply = String::new();
    stream.read_to_string(&mut reply).expect("answered");
    reply
}

#[tokio::test]
async fn metrics_are_served_on_the_loopback_interface_where_that_is_configured() {
    let daemon = TestDaemon::configured("[metrics]\nlisten = '127.0.0.1:0'").await;
    daemon.ask("Counted?").await;
    let said = daemon.process().said();
    let address = said
        .split_once("serving metrics on http://")
        .and_then(|(_, rest)| rest.split_once("/metrics"))
        .map(|(address, _)| address.to_owned())
        .expect("the log says where");
    let page = beside(move || get(&address, "/metrics")).await;
    assert!(page.starts_with("HTTP/1.1 200 OK"), "{page}");
    assert!(
        page.contains("\nbarista_notifications_created_total 1\n"),
        "{page}"
    );
}

#[tokio::test]
async fn metrics_are_served_nowhere_else() {
    for address in [
        "0.0.0.0:9464",
        "192.0.2.1:9464",
        "[::]:9464",
        "9464",
        "localhost:9464",
    ] {
        let home = Home::configured(&format!("[metrics]\nlisten = '{address}'"));
        let (code, said) = home.refusal().await;
        assert_eq!(code, 2, "{address}: {said}");
        assert!(said.contains("loopback"), "{address}: {said}");
    }
    let daemon = TestDaemon::start().await;
    assert!(!daemon.process().said().contains("serving metrics"));
}

#[tokio::test]
async fn a_port_that_is_taken_is_told_and_leaves_nothing_behind() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address");
    let home = Home::configured(&format!("[metrics]\nlisten = '{address}'"));
    let (code, said) = home.refusal().await;
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("set metrics.listen"), "{said}");
    assert!(!home.data_dir().join("run/barista.sock").exists());
    drop(taken);
    let daemon = TestDaemon::start_in(home).await;
    daemon.ask("And now?").await;
}
