//! The service, for people and programs.

use std::path::{Path, PathBuf};

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::service::files::Found;
use crate::service::manager::State;
use crate::span;
use crate::style::{self, paint};
use crate::text;
use crate::time::Clock;

/// The lines about the unit files, what systemd knows, the sockets and the last sign of life.
pub(crate) fn render(files: &[(PathBuf, Found)], service: &State, socket: &State) -> String {
    let mut page = String::new();
    let mut push = |name: &str, value: &str| {
        page.push_str(&format!("{name:<10}{}\n", text::line(value)));
    };
    for (path, found) in files {
        push("unit", &format!("{} ({})", path.display(), found.word()));
    }
    if service.load != "loaded" {
        push("service", "systemd knows no barista.service");
        return page;
    }
    // A package brings units of its own.
    if !files
        .iter()
        .any(|(path, _)| Path::new(&service.file) == path)
    {
        push("unit", &format!("{} (in use)", service.file));
    }
    push(
        "enabled",
        &format!("{}; socket {}", service.enabled, socket.enabled),
    );
    let process = service
        .pid
        .map_or_else(String::new, |pid| format!(", process {pid}"));
    let state = |state: &State| {
        let colour = if state.is_active() {
            style::GOOD
        } else {
            style::ALARM
        };
        paint(colour, &format!("{} ({})", state.active, state.sub))
    };
    // Colours are no text of systemd's, so these lines are put together here.
    page.push_str(&format!("{:<10}{}{process}\n", "service", state(service)));
    page.push_str(&format!("{:<10}{}\n", "socket", state(socket)));
    let mut push = |name: &str, value: &str| {
        page.push_str(&format!("{name:<10}{}\n", text::line(value)));
    };
    for path in &socket.sockets {
        push("", &path.display().to_string());
    }
    if !service.is_active() && !matches!(&*service.result, "" | "success") {
        push("ended by", &service.result);
    }
    if service.restarts > 0 {
        push("restarts", &service.restarts.to_string());
    }
    if !service.status.is_empty() {
        push("says", &service.status);
    }
    if let (Some(ago), false) = (service.last_sign, service.watchdog.is_empty()) {
        let ago = match ago.as_secs() {
            0 => "now".to_owned(),
            seconds => format!("{} ago", span::short(seconds)),
        };
        let limit = &service.watchdog;
        push(
            "watchdog",
            &format!("last sign of life {ago}; restarted after {limit} without one"),
        );
    }
    if service.is_stale || socket.is_stale {
        push(
            "",
            "the files have changed since systemd read them: systemctl --user daemon-reload",
        );
    }
    page
}

/// The same for programs.
pub(crate) fn json(
    files: &[(PathBuf, Found)],
    service: &State,
    socket: &State,
    clock: &Clock,
) -> Value {
    let units: Vec<Value> = files
        .iter()
        .map(|(path, found)| json!({ "path": path.to_string_lossy(), "state": found.word() }))
        .collect();
    let last_sign = service.last_sign.and_then(|ago| sign_time(clock.now, ago));
    json!({
        "installed": service.load == "loaded",
        "units": units,
        "service": {
            "file": service.file, "enabled": service.enabled, "active": service.active, "sub": service.sub, "result": service.result,
            "pid": service.pid, "restarts": service.restarts, "status": service.status, "needsReload": service.is_stale,
        },
        "socket": {
            "enabled": socket.enabled, "active": socket.active, "sub": socket.sub, "needsReload": socket.is_stale,
            "paths": socket.sockets.iter().map(|path| path.to_string_lossy()).collect::<Vec<_>>(),
        },
        "watchdog": { "limit": service.watchdog, "lastSignTime": last_sign.map(|time| time.to_string()) },
    })
}

fn sign_time(now: Timestamp, ago: std::time::Duration) -> Option<Timestamp> {
    now.checked_sub(SignedDuration::try_from(ago).ok()?).ok()
}
