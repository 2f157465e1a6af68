//! PostgreSQL: the same table with the same indexes, one row per commit.

use std::fs;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use tokio::process::Command;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Config, NoTls, Statement};

use super::server::{Server, SocketDirectory, output};
use super::{Opponent, program};
use crate::load::{MESSAGE, context, title};

/// Debian's directories of each release.
const RELEASES: &str = "/usr/lib/postgresql";
/// Whom Debian runs PostgreSQL as: it refuses to be root.
const USER: &str = "postgres";
const INSTALL: &str = "install it: `apt-get install postgresql`";

/// The columns and indexes of Barista's own table. Its journal has no counterpart here.
const SCHEMA: &str = "
CREATE TABLE notifications (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    type TEXT NOT NULL, priority TEXT NOT NULL DEFAULT 'normal', title TEXT NOT NULL, message TEXT NOT NULL, context TEXT,
    status TEXT NOT NULL DEFAULT 'pending', user_response TEXT, created_at TEXT NOT NULL, updated_at TEXT NOT NULL,
    agent TEXT, session TEXT, project TEXT, tags TEXT, options TEXT, allow_multiple INTEGER, allow_text INTEGER,
    expires_at TEXT, default_response TEXT, created_surface TEXT, read_at TEXT, read_by TEXT, read_surface TEXT,
    closed_at TEXT, closed_by TEXT, closed_surface TEXT, response_options TEXT,
    request_id BYTEA, request_digest BYTEA, response_request_id BYTEA
);
CREATE INDEX ON notifications(status, id);
CREATE INDEX ON notifications(status, priority, id);
CREATE INDEX ON notifications(expires_at, id) WHERE expires_at IS NOT NULL AND status IN ('pending', 'read');
CREATE INDEX ON notifications(request_id, id) WHERE request_id IS NOT NULL;
";

/// One row. Times are text, as in Barista's table; the request id and the digest of the request have 16 bytes each.
const INSERT: &str = "
INSERT INTO notifications (type, priority, title, message, context, status, created_at, updated_at, request_id, request_digest)
VALUES ('info', 'normal', $1, $2, $3, 'pending', now()::text, now()::text, $4, $4)
RETURNING id
";

/// Many rows.
const INSERT_MANY: &str = "
INSERT INTO notifications (type, priority, title, message, context, status, created_at, updated_at, request_id, request_digest)
SELECT 'info', 'normal', title, $1, context, 'pending', now()::text, now()::text, request_id, request_id
  FROM unnest($2::text[], $3::text[], $4::bytea[]) AS rows(title, context, request_id)
RETURNING id
";

/// PostgreSQL, as it is installed.
#[derive(Debug)]
pub(crate) struct Postgres {
    programs: PathBuf,
    version: String,
    /// Whom to run it as.
    user: Option<(u32, u32)>,
}

/// A connection with the statements that it has prepared.
#[derive(Debug)]
pub(crate) struct Connection {
    client: Client,
    insert: Statement,
    insert_many: Statement,
}

impl Opponent for Postgres {
    const NAME: &'static str = "PostgreSQL";
    const KEY: &'static str = "postgres";
    const SHARES_A_CONNECTION: bool = false;
    type Caller = Arc<Connection>;

    async fn find() -> anyhow::Result<Self> {
        let program = program("initdb", debian_releases())
            .with_context(|| format!("there is no initdb; {INSTALL}"))?;
        // The programs find their files from where they really are.
        let program = fs::canonicalize(program)?;
        let programs = program.parent().context("initdb is in no directory")?;
        let version = output(Command::new(programs.join("postgres")).arg("--version")).await?;
        let user = if rustix::process::geteuid().is_root() {
            let passwd = fs::read_to_string("/etc/passwd").context("cannot read /etc/passwd")?;
            let ids = ids_of(&passwd, USER);
            Some(ids.with_context(|| {
                format!("it refuses to run as root, and there is no user {USER}; {INSTALL}")
            })?)
        } else {
            None
        };
        Ok(Self {
            programs: programs.to_owned(),
            version,
            user,
        })
    }

    fn describe(&self) -> String {
        format!(
            "{}: fsync, synchronous_commit and full_page_writes on, otherwise as it comes; a Unix socket; the same columns and indexes, but \
             no journal of changes; a connection per caller with a prepared INSERT, and a batch is one INSERT of 100 rows.",
            self.version
        )
    }

    async fn start(&self, directory: &Path) -> anyhow::Result<Server> {
        let sockets = SocketDirectory::new()?;
        if let Some((user, group)) = self.user {
            for owned in [directory, sockets.path()] {
                chown(owned, Some(user), Some(group))?;
            }
        }
        let data = directory.join("data");
        let mut initdb = self.command("initdb");
        initdb
            .args([
                "--auth=trust",
                "--no-locale",
                "--encoding=UTF8",
                "--username=postgres",
                "--pgdata",
            ])
            .arg(&data)
            .current_dir("/");
        let hint = "every directory above the data must let other users pass (chmod o+x), or name another place with --dir";
        output(&mut initdb).await.context(hint)?;
        let mut command = self.command("postgres");
        command.arg("-D").arg(&data).arg("-k").arg(sockets.path());
        for setting in [
            "listen_addresses=",
            "fsync=on",
            "synchronous_commit=on",
            "full_page_writes=on",
        ] {
            command.args(["-c", setting]);
        }
        let address = sockets.path().display().to_string();
        let mut server = Server::spawn(&mut command, directory, address, Some(sockets))?;
        let client = server.until(async |address| connect(address).await).await?;
        client
            .batch_execute(SCHEMA)
            .await
            .context("cannot create the table")?;
        Ok(server)
    }

    async fn callers(&self, server: &Server, count: usize) -> anyhow::Result<Vec<Self::Caller>> {
        let mut callers = Vec::with_capacity(count);
        for _ in 0..count {
            let client = connect(&server.address).await?;
            let insert = client.prepare(INSERT).await?;
            let insert_many = client.prepare(INSERT_MANY).await?;
            callers.push(Arc::new(Connection {
                client,
                insert,
                insert_many,
            }));
        }
        Ok(callers)
    }

    async fn create(caller: Self::Caller, first: u64, rows: u64) -> anyhow::Result<()> {
        let Connection {
            client,
            insert,
            insert_many,
        } = &*caller;
        if rows == 1 {
            let (title, context, id) = (title(first), context(first), request_id(first));
            let values: [&(dyn ToSql + Sync); 4] = [&title, &MESSAGE, &context, &id];
            client.query(insert, &values).await?;
        } else {
            let numbers = || first..first + rows;
            let titles: Vec<_> = numbers().map(title).collect();
            let contexts: Vec<_> = numbers().map(context).collect();
            let ids: Vec<_> = numbers().map(request_id).collect();
            let values: [&(dyn ToSql + Sync); 4] = [&MESSAGE, &titles, &contexts, &ids];
            client.query(insert_many, &values).await?;
        }
        Ok(())
    }
}

/// As long as a UUID, and ascending, as Barista's clients make them: an index takes such keys at its end.
fn request_id(number: u64) -> Vec<u8> {
    u128::from(number).to_be_bytes().to_vec()
}

impl Postgres {
    fn command(&self, name: &str) -> Command {
        let mut command = Command::new(self.programs.join(name));
        if let Some((user, group)) = self.user {
            command.uid(user).gid(group);
        }
        command
    }
}

async fn connect(sockets: &str) -> anyhow::Result<Client> {
    let mut config = Config::new();
    config.host_path(sockets).user(USER).dbname(USER);
    let (client, connection) = config.connect(NoTls).await?;
    // It ends with the client, or with the server, which the client's next call reports.
    tokio::spawn(async move { drop(connection.await) });
    Ok(client)
}

/// The newest release first.
fn debian_releases() -> Vec<PathBuf> {
    let mut releases: Vec<_> = fs::read_dir(RELEASES)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path().join("bin"))
        .collect();
    releases.sort();
    releases.reverse();
    releases
}

/// The user's and its group's number in the text of `/etc/passwd`.
fn ids_of(passwd: &str, user: &str) -> Option<(u32, u32)> {
    passwd.lines().find_map(|line| {
        let mut fields = line
            .strip_prefix(user)?
            .strip_prefix(':')?
            .split(':')
            .skip(1);
        Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_found_by_the_whole_name() {
        let passwd =
            "root:x:0:0::/:/bin/sh\npostgresql:x:7:8::/:\npostgres:x:107:116:it:/var:/bin/bash\n";
        assert_eq!(ids_of(passwd, "postgres"), Some((107, 116)));
        assert_eq!(ids_of(passwd, "nobody"), None);
    }
}
