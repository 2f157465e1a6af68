//! Redis Streams: an entry per notification, with its fields.

use std::path::{Path, PathBuf};

use anyhow::Context;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, Pipeline};
use tokio::process::Command;

use super::server::{Server, SocketDirectory, output};
use super::{Opponent, program};
use crate::load::{MESSAGE, context, title};

/// Redis, as it is installed.
#[derive(Debug)]
pub(crate) struct Redis {
    program: PathBuf,
    version: String,
}

impl Opponent for Redis {
    const NAME: &'static str = "Redis Streams";
    const KEY: &'static str = "redis";
    const SHARES_A_CONNECTION: bool = true;
    type Caller = MultiplexedConnection;

    async fn find() -> anyhow::Result<Self> {
        let program = program("redis-server", None)
            .context("there is no redis-server; install it: `apt-get install redis-server`")?;
        let version = output(Command::new(&program).arg("--version")).await?;
        // Redis server v=7.0.15 sha=…
        let version = version
            .split_whitespace()
            .find_map(|word| word.strip_prefix("v="))
            .unwrap_or("of an unknown version")
            .to_owned();
        Ok(Self { program, version })
    }

    fn describe(&self) -> String {
        format!(
            "Redis {}: appendonly yes, appendfsync always, no snapshots, otherwise as it comes; a Unix socket; one stream with an entry per \
             row, its columns as fields; callers share a multiplexed connection, and a batch is a pipeline of 100 XADD.",
            self.version
        )
    }

    async fn start(&self, directory: &Path) -> anyhow::Result<Server> {
        let sockets = SocketDirectory::new()?;
        let socket = sockets.path().join("redis");
        let mut command = Command::new(&self.program);
        command
            .args(["--port", "0", "--daemonize", "no", "--unixsocket"])
            .arg(&socket)
            .args([
                "--save",
                "",
                "--appendonly",
                "yes",
                "--appendfsync",
                "always",
                "--dir",
            ])
            .arg(directory);
        let address = format!("unix://{}", socket.display());
        let mut server = Server::spawn(&mut command, directory, address, Some(sockets))?;
        server.until(async |address| connect(address).await).await?;
        Ok(server)
    }

    async fn callers(&self, server: &Server, count: usize) -> anyhow::Result<Vec<Self::Caller>> {
        Ok(vec![connect(&server.address).await?; count])
    }

    async fn create(mut caller: Self::Caller, first: u64, rows: u64) -> anyhow::Result<()> {
        let mut pipeline = Pipeline::with_capacity(rows as usize);
        for number in first..first + rows {
            pipeline
                .cmd("XADD")
                .arg(&[
                    "notifications",
                    "*",
                    "type",
                    "info",
                    "priority",
                    "normal",
                    "status",
                    "pending",
                ])
                .arg("title")
                .arg(title(number))
                .arg("message")
                .arg(MESSAGE)
                .arg("context")
                .arg(context(number));
        }
        Ok(pipeline.exec_async(&mut caller).await?)
    }
}

async fn connect(address: &str) -> anyhow::Result<MultiplexedConnection> {
    // The library gives up after half a second by default, which a slow disk may take.
    let config = AsyncConnectionConfig::new().set_response_timeout(None);
    let mut connection = Client::open(address)?
        .get_multiplexed_async_connection_with_config(&config)
        .await?;
    // It accepts connections while it still loads.
    redis::cmd("PING").exec_async(&mut connection).await?;
    Ok(connection)
}
