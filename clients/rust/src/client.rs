//! The client: one shared connection, and calls that outlast a restart of the daemon.

use std::future::Future;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout_at};
use tonic::transport::Channel;
use tonic::{Request, Response, Status};

use crate::backoff::Backoff;
use crate::error::Error;
use crate::options::ConnectOptions;
use crate::pb::admin::v1::ServerInfo;
use crate::session::Session;
use crate::target::Target;

/// How often a call is sent at most.
const MAX_ATTEMPTS: u32 = 3;
/// How long a call looks for a daemon that went away, where it may not start one itself.
const ABSENCE_LIMIT: Duration = Duration::from_secs(5);

/// A connection to the daemon. Clones share it, and are cheap.
///
/// Calls may be made from many tasks at once. When the connection breaks, or the daemon restarts, a call is repeated on a new
/// connection within [`ConnectOptions::call_timeout`]: every call of this library is safe to repeat, because an empty `request_id` is
/// filled in before the first attempt.
#[derive(Debug, Clone)]
pub struct Client {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    target: Arc<Target>,
    session: RwLock<Arc<Session>>,
    /// Held by the one call that renews the session while the others wait for it.
    renewing: tokio::sync::Mutex<()>,
}

impl Client {
    /// Finds the daemon, starts it where none answers and that is allowed, and shakes hands.
    ///
    /// Needs a Tokio runtime with time and I/O enabled; a `current_thread` one is the fastest to start.
    ///
    /// # Errors
    ///
    /// [`Error::Locate`], [`Error::NotRunning`], [`Error::StartFailed`], [`Error::Unresponsive`], [`Error::UntrustedSocket`],
    /// [`Error::ProtocolMismatch`], [`Error::Io`]; each says what to do.
    pub async fn connect(options: ConnectOptions) -> Result<Self, Error> {
        let target = Arc::new(Target::resolve(options)?);
        let session = Session::establish(&target, true).await?;
        let session = RwLock::new(Arc::new(session));
        let renewing = tokio::sync::Mutex::new(());
        Ok(Self {
            shared: Arc::new(Shared {
                target,
                session,
                renewing,
            }),
        })
    }

    /// Who the daemon is, as it said in the last handshake.
    #[must_use]
    pub fn server_info(&self) -> Arc<ServerInfo> {
        Arc::clone(&self.session().info)
    }

    /// The socket, as it is published just now.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.shared.target.socket()
    }

    pub(crate) fn target(&self) -> &Arc<Target> {
        &self.shared.target
    }

    pub(crate) fn session(&self) -> Arc<Session> {
        Arc::clone(
            &self
                .shared
                .session
                .read()
                .unwrap_or_else(PoisonError::into_inner),
        )
    }

    /// Makes a call that is safe to repeat, and repeats it where that can help.
    pub(crate) async fn call<Q, A, F, R>(&self, request: Q, send: F) -> Result<A, Error>
    where
        Q: Clone,
        F: Fn(Channel, Request<Q>) -> R,
        R: Future<Output = Result<Response<A>, Status>>,
    {
        self.call_where(true, request, send).await
    }

    /// As [`Client::call`], but starts no daemon where none runs: for whoever has something else that decides about that.
    pub(crate) async fn call_running<Q, A, F, R>(&self, request: Q, send: F) -> Result<A, Error>
    where
        Q: Clone,
        F: Fn(Channel, Request<Q>) -> R,
        R: Future<Output = Result<Response<A>, Status>>,
    {
        self.call_where(false, request, send).await
    }

    async fn call_where<Q, A, F, R>(&self, may_start: bool, request: Q, send: F) -> Result<A, Error>
    where
        Q: Clone,
        F: Fn(Channel, Request<Q>) -> R,
        R: Future<Output = Result<Response<A>, Status>>,
    {
        let limit = self.shared.target.call_timeout;
        let deadline = Instant::now() + limit;
        let mut backoff = Backoff::reconnecting();
        let mut attempt = 1;
        loop {
            let session = self.session();
            let error = match self
                .send_once(&session, request.clone(), deadline, limit, &send)
                .await
            {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            if attempt >= MAX_ATTEMPTS || !error.is_worth_repeating() || Instant::now() >= deadline
            {
                return Err(error);
            }
            attempt += 1;
            if error.needs_connection() {
                Box::pin(self.renew_within(&session, &error, deadline, may_start)).await?;
            } else {
                sleep(backoff.pause().min(deadline - Instant::now())).await;
            }
        }
    }

    /// Makes a call once, on `session`.
    pub(crate) async fn send_once<Q, A, F, R>(
        &self,
        session: &Session,
        request: Q,
        deadline: Instant,
        limit: Duration,
        send: &F,
    ) -> Result<A, Error>
    where
        F: Fn(Channel, Request<Q>) -> R,
        R: Future<Output = Result<Response<A>, Status>>,
    {
        let mut request = session.sign(Request::new(request));
        request.set_timeout(deadline.saturating_duration_since(Instant::now()));
        match timeout_at(deadline, send(session.channel.clone(), request)).await {
            Ok(Ok(answer)) => Ok(answer.into_inner()),
            Ok(Err(status)) => Err(Error::from_status(&status, &self.socket(), limit)),
            Err(_) => Err(Error::TimedOut { after: limit }),
        }
    }

    /// Replaces the session that failed with `failure`, and keeps trying for a while: somebody may be restarting the daemon.
    async fn renew_within(
        &self,
        failed: &Arc<Session>,
        failure: &Error,
        deadline: Instant,
        may_start: bool,
    ) -> Result<(), Error> {
        let give_up = deadline.min(Instant::now() + ABSENCE_LIMIT);
        let mut backoff = Backoff::reconnecting();
        loop {
            let error = match timeout_at(deadline, self.renew(failed, may_start)).await {
                Ok(Ok(())) => return Ok(()),
                Ok(Err(error)) => error,
                Err(_) => {
                    return Err(Error::TimedOut {
                        after: self.shared.target.call_timeout,
                    });
                }
            };
            if !error.is_absence() || Instant::now() >= give_up {
                return Err(match failure {
                    // The first attempt may have been carried out: only "not running" would hide that.
                    Error::Disconnected { .. } if error.needs_connection() => {
                        self.shared.target.disconnected(error.to_string())
                    }
                    _ => error,
                });
            }
            sleep(backoff.pause()).await;
        }
    }

    /// Replaces the session that failed, unless another call has done so already. `may_start` says whether a daemon may be started for it.
    pub(crate) async fn renew(&self, failed: &Arc<Session>, may_start: bool) -> Result<(), Error> {
        let _renewing = self.shared.renewing.lock().await;
        if !Arc::ptr_eq(failed, &self.session()) {
            return Ok(());
        }
        let session = Arc::new(Session::establish(&self.shared.target, may_start).await?);
        *self
            .shared
            .session
            .write()
            .unwrap_or_else(PoisonError::into_inner) = session;
        Ok(())
    }
}
