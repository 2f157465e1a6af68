//! NATS JetStream: a message per notification, as JSON.

use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail};
use async_nats::jetstream::stream::{Config, StorageType};
use async_nats::jetstream::{Context, ContextBuilder};
use tokio::process::Command;

use super::server::{Server, output};
use super::{Opponent, program};
use crate::load::{MESSAGE, context, title};

/// The first release that can sync each message before it acknowledges it.
const SINCE: (u32, u32) = (2, 10);
/// The only subject of the only stream.
const SUBJECT: &str = "notifications";
/// More than all callers have under way: a caller that has to wait for a place in the middle of its batch would hold up the others.
const IN_FLIGHT: usize = 100_000;
/// How long a caller waits for an acknowledgement, as with Barista: the library's five seconds are little for a batch on a slow disk.
const PATIENCE: Duration = Duration::from_secs(120);

/// NATS, as it is installed.
#[derive(Debug)]
pub(crate) struct Nats {
    program: PathBuf,
    version: String,
}

impl Opponent for Nats {
    const NAME: &'static str = "NATS JetStream";
    const KEY: &'static str = "nats";
    const SHARES_A_CONNECTION: bool = true;
    type Caller = Context;

    async fn find() -> anyhow::Result<Self> {
        const INSTALL: &str = "install 2.10 or newer (Debian 13: `apt-get install nats-server`, or https://nats.io/download), and put it \
            first in PATH";
        let program = program("nats-server", None)
            .with_context(|| format!("there is no nats-server; {INSTALL}"))?;
        let text = output(Command::new(&program).arg("--version")).await?;
        let version = text
            .rsplit_once(" v")
            .map_or(text.as_str(), |(_, version)| version);
        if release(version).is_none_or(|release| release < SINCE) {
            bail!(
                "{} is {version}, which cannot sync each message (sync_interval: always); {INSTALL}",
                program.display()
            );
        }
        Ok(Self {
            version: version.to_owned(),
            program,
        })
    }

    fn describe(&self) -> String {
        format!(
            "NATS {}: one JetStream stream on files with sync_interval always, otherwise as it comes; loopback TCP, as it has no Unix \
             sockets; a message per row, its columns as JSON; callers share a connection, and a batch is 100 messages before the first \
             acknowledgement is awaited.",
            self.version
        )
    }

    async fn start(&self, directory: &Path) -> anyhow::Result<Server> {
        // Free when asked for: NATS can choose a port itself, and tells it in its log alone.
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?
            .local_addr()?
            .port();
        let config = directory.join("nats.conf");
        let text = format!(
            "listen: \"127.0.0.1:{port}\"\njetstream {{\n  store_dir: {}\n  sync_interval: always\n}}\n",
            serde_json::to_string(&directory.join("store"))?
        );
        std::fs::write(&config, text).context("cannot write nats.conf")?;
        let mut command = Command::new(&self.program);
        command.arg("--config").arg(&config);
        let address = format!("nats://127.0.0.1:{port}");
        let mut server = Server::spawn(&mut command, directory, address, None)?;
        let context = server.until(async |address| connect(address).await).await?;
        let stream = Config {
            name: SUBJECT.to_owned(),
            subjects: vec![SUBJECT.to_owned()],
            storage: StorageType::File,
            ..Config::default()
        };
        context
            .create_stream(stream)
            .await
            .context("cannot create the stream")?;
        Ok(server)
    }

    async fn callers(&self, server: &Server, count: usize) -> anyhow::Result<Vec<Self::Caller>> {
        Ok(vec![connect(&server.address).await?; count])
    }

    async fn create(caller: Self::Caller, first: u64, rows: u64) -> anyhow::Result<()> {
        let mut acknowledgements = Vec::with_capacity(rows as usize);
        for number in first..first + rows {
            let row = serde_json::json!({
                "type": "info",
                "priority": "normal",
                "title": title(number),
                "message": MESSAGE,
                "context": context(number),
                "status": "pending",
            });
            acknowledgements.push(caller.publish(SUBJECT, row.to_string().into()).await?);
        }
        for acknowledgement in acknowledgements {
            acknowledgement.await?;
        }
        Ok(())
    }
}

async fn connect(address: &str) -> anyhow::Result<Context> {
    let client = async_nats::connect(address).await?;
    Ok(ContextBuilder::new()
        .timeout(PATIENCE)
        .max_ack_inflight(IN_FLIGHT)
        .build(client))
}

/// The first two numbers of a version.
fn release(version: &str) -> Option<(u32, u32)> {
    let mut numbers = version.split('.').map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_are_compared_as_numbers() {
        assert!(release("2.9.10") < Some(SINCE) && release("2.10.27") >= Some(SINCE));
        assert_eq!(release("unknown"), None);
    }
}
