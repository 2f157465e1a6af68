//! The page of metrics over HTTP, for Prometheus: on the loopback interface alone, and only where it is asked for.
//!
//! Whoever can open a connection to the loopback interface can read the page, other users of the machine too. It has counts, sizes and the
//! names of consumers, and nothing of any notification.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use http::header::{ALLOW, CONTENT_TYPE, HOST};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

/// The path of the page.
const PATH: &str = "/metrics";
/// What Prometheus calls the format.
const FORMAT: &str = "text/plain; version=0.0.4; charset=utf-8";
/// How many connections are served at a time; further ones wait in the kernel's queue.
const MAX_CONNECTIONS: usize = 16;
/// How long a connection may take, from its request to the last byte of the answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// The pause after an error of `accept` that the next attempt would meet again.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Renders the page; an error is told in one line.
pub type Render =
    Arc<dyn Fn() -> Pin<Box<dyn Future<Output = Result<String, String>> + Send>> + Send + Sync>;

/// Why there is no listener.
#[derive(Debug, thiserror::Error)]
#[error(
    "cannot serve metrics on {address}: {source}; set metrics.listen to a free port of 127.0.0.1, or leave it out"
)]
pub struct ScrapeError {
    address: SocketAddr,
    source: io::Error,
}

/// A listener on the loopback interface.
#[derive(Debug)]
pub struct Scrape {
    listener: TcpListener,
    address: SocketAddr,
}

impl Scrape {
    /// Listens on `address`, which is one of the loopback interface. Port 0 is any that is free.
    ///
    /// # Errors
    ///
    /// [`ScrapeError`], such as that the port is taken.
    pub async fn bind(address: SocketAddr) -> Result<Self, ScrapeError> {
        let failed = |source| ScrapeError { address, source };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(Self { listener, address })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves the page until `stop`.
    pub async fn serve(self, render: Render, stop: CancellationToken) {
        let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        loop {
            // The semaphore is never closed.
            let next = async {
                let place = Arc::clone(&places).acquire_owned().await.ok();
                (place, self.listener.accept().await)
            };
            let (place, accepted) = tokio::select! {
                next = next => next,
                () = stop.cancelled() => return,
            };
            match accepted {
                Ok((stream, _)) => {
                    let connection = converse(stream, self.address, Arc::clone(&render), place);
                    let stop = stop.clone();
                    tokio::spawn(async move { stop.run_until_cancelled(connection).await });
                }
                Err(error) => {
                    tracing::debug!(%error, "cannot accept a connection for metrics");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}

/// Answers one request, and hangs up.
async fn converse(
    stream: TcpStream,
    address: SocketAddr,
    render: Render,
    _place: Option<OwnedSemaphorePermit>,
) {
    let service = service_fn(move |request: Request<Incoming>| {
        let render = Arc::clone(&render);
        async move { Ok::<_, Infallible>(answer(&request, address, &render).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(PATIENCE)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    // A client that breaks the protocol, or is too slow, has itself to blame.
    drop(tokio::time::timeout(PATIENCE, connection).await);
}

async fn answer(
    request: &Request<Incoming>,
    address: SocketAddr,
    render: &Render,
) -> Response<Full<Bytes>> {
    if !is_meant(request.headers(), address) {
        let text = "the Host header does not name this address\n";
        return plain(StatusCode::MISDIRECTED_REQUEST, text);
    }
    if request.uri().path() != PATH {
        return plain(StatusCode::NOT_FOUND, "only /metrics is served here\n");
    }
    if request.method() != Method::GET {
        let mut response = plain(StatusCode::METHOD_NOT_ALLOWED, "only GET is served here\n");
        let allowed = http::HeaderValue::from_static("GET");
        response.headers_mut().insert(ALLOW, allowed);
        return response;
    }
    match render().await {
        Ok(page) => plain(StatusCode::OK, page),
        Err(error) => {
            tracing::warn!(error, "cannot render the metrics");
            plain(StatusCode::INTERNAL_SERVER_ERROR, "internal error\n")
        }
    }
}

/// Whether the request names the address that it came to. A page in a browser can make any name lead to the loopback interface, and would
/// otherwise read the answer.
fn is_meant(headers: &HeaderMap, address: SocketAddr) -> bool {
    let mut hosts = headers.get_all(HOST).iter();
    let (Some(host), None) = (hosts.next(), hosts.next()) else {
        return false;
    };
    let named = [address.to_string(), format!("localhost:{}", address.port())];
    named.iter().any(|name| host.as_bytes() == name.as_bytes())
}

fn plain(status: StatusCode, text: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(text.into()));
    *response.status_mut() = status;
    let format = http::HeaderValue::from_static(FORMAT);
    response.headers_mut().insert(CONTENT_TYPE, format);
    response
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    /// What a listener with the page "up 1" answers to `request`, in which HOST stands for its address.
    async fn say(request: &str) -> String {
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        let scrape = Scrape::bind(address).await.expect("a port");
        let address = scrape.address();
        let stop = CancellationToken::new();
        let render: Render = Arc::new(|| Box::pin(async { Ok("up 1\n".to_owned()) }));
        let serving = tokio::spawn(scrape.serve(render, stop.clone()));
        let mut stream = TcpStream::connect(address).await.expect("connected");
        let port = address.port().to_string();
        let request = request
            .replace("HOST", &address.to_string())
            .replace("PORT", &port);
        stream.write_all(request.as_bytes()).await.expect("sent");
        let mut reply = String::new();
        stream.read_to_string(&mut reply).await.expect("answered");
        stop.cancel();
        serving.await.expect("no panic");
        reply
    }

    #[tokio::test]
    async fn the_page_is_served_to_whoever_names_this_address() {
        for host in ["HOST", "localhost:PORT"] {
            let reply = say(&format!("GET /metrics HTTP/1.1\r\nHost: {host}\r\n\r\n")).await;
            assert!(reply.starts_with("HTTP/1.1 200 OK\r\n"), "{reply}");
            assert!(reply.contains("text/plain; version=0.0.4"), "{reply}");
            assert!(reply.ends_with("\r\n\r\nup 1\n"), "{reply}");
        }
    }

    #[tokio::test]
    async fn everything_else_is_refused() {
        for (request, status) in [
            ("GET /metrics HTTP/1.1\r\nHost: evil.example\r\n\r\n", "421"),
            (
                "GET /metrics HTTP/1.1\r\nHost: evil.example:PORT\r\n\r\n",
                "421",
            ),
            ("GET /metrics HTTP/1.1\r\n\r\n", "421"),
            (
                "GET /metrics HTTP/1.1\r\nHost: HOST\r\nHost: evil.example\r\n\r\n",
                "421",
            ),
            ("GET / HTTP/1.1\r\nHost: HOST\r\n\r\n", "404"),
            (
                "POST /metrics HTTP/1.1\r\nHost: HOST\r\nContent-Length: 0\r\n\r\n",
                "405",
            ),
            ("nonsense\r\n\r\n", "400"),
        ] {
            let reply = say(request).await;
            assert!(
                reply.starts_with(&format!("HTTP/1.1 {status}")),
                "{request}: {reply}"
            );
            assert!(!reply.contains("up 1"), "{request}: {reply}");
            assert_eq!(reply.contains("allow: GET\r\n"), status == "405");
        }
    }
}
