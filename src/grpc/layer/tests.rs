use std::time::Duration;

use http_body::Body as _;
use tokio::net::UnixStream;

use super::super::body::Polled;
use super::super::testing::reason;
use super::*;

/// Calls a service behind the border as a process of the daemon's own user.
async fn call<S>(service: S, timeout: Option<&'static str>) -> Response<Body>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
    S: Clone + Send + 'static,
    S::Future: Send,
{
    let (ours, _theirs) = UnixStream::pair().expect("sockets");
    let mut request = Request::new(Body::empty());
    let info = ConnectInfo {
        door: Door::Person,
        credentials: ours.peer_cred().ok(),
    };
    request.extensions_mut().insert(info);
    if let Some(timeout) = timeout {
        let timeout = http::HeaderValue::from_static(timeout);
        request.headers_mut().insert("grpc-timeout", timeout);
    }
    let Ok(response) = border().layer(service).call(request).await;
    response
}

fn border() -> BorderLayer {
    BorderLayer {
        owner: rustix::process::getuid().as_raw(),
        rpcs: TaskTracker::new(),
        drain: CancellationToken::new(),
        agents: AgentDoor::new(1),
        exports: Exports::new(1),
        counts: Rpcs::new(),
    }
}

fn status_of(response: &Response<Body>) -> Status {
    Status::from_header_map(response.headers()).expect("a status")
}

/// The status at the end of a body.
async fn end_of(response: Response<Body>) -> Status {
    let mut body = response.into_body();
    loop {
        let frame = std::future::poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await;
        let frame = frame.expect("trailers").expect("no error");
        if let Ok(trailers) = frame.into_trailers() {
            assert!(body.is_end_stream());
            return Status::from_header_map(&trailers).expect("a status");
        }
    }
}

#[test]
fn the_owner_and_root_may_call_and_nobody_else() {
    assert!(may_call(Some(1_000), 1_000));
    assert!(may_call(Some(0), 1_000));
    assert!(!may_call(Some(1_001), 1_000));
    assert!(!may_call(Some(1_000), 0));
    assert!(!may_call(None, 1_000));
    assert!(!may_call(None, 0));
}

#[tokio::test]
async fn a_caller_without_credentials_is_refused_before_the_service_is_called() {
    let unreachable = tower::service_fn(|_: Request<Body>| async { panic!("called") });
    let request = Request::new(Body::empty());
    let Ok(response) = border().layer(unreachable).call(request).await;
    let status = status_of(&response);
    assert_eq!(status.code(), Code::PermissionDenied);
    assert_eq!(reason(&status), "PEER_NOT_PERMITTED");
}

#[tokio::test(start_paused = true)]
async fn a_deadline_ends_in_a_typed_error_before_the_transport_gives_up() {
    let never = tower::service_fn(|request: Request<Body>| {
        let deadline: Option<&Deadline> = request.extensions().get();
        assert!(deadline.is_some(), "handlers know the deadline");
        std::future::pending::<Result<Response<Body>, Infallible>>()
    });
    let start = tokio::time::Instant::now();
    let status = status_of(&call(never, Some("1S")).await);
    assert!(start.elapsed() < Duration::from_secs(1));
    assert_eq!(status.code(), Code::DeadlineExceeded);
    assert_eq!(reason(&status), "DEADLINE_EXCEEDED");
}

#[tokio::test]
async fn exports_wait_for_their_turn_and_other_calls_do_not() {
    let (go, gone) = tokio::sync::watch::channel(0);
    let begun = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counter = Arc::clone(&begun);
    let service = tower::service_fn(move |_: Request<Body>| {
        counter.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        let mut gone = gone.clone();
        async move {
            gone.wait_for(|gone| *gone > 0).await.expect("a signal");
            Ok::<_, Infallible>(Response::new(Body::empty()))
        }
    });
    let (ours, _theirs) = UnixStream::pair().expect("sockets");
    let mut border = border().layer(service);
    let mut call = |path: &'static str| {
        let mut request = Request::new(Body::empty());
        *request.uri_mut() = http::Uri::from_static(path);
        request.extensions_mut().insert(ConnectInfo {
            door: Door::Person,
            credentials: ours.peer_cred().ok(),
        });
        border.call(request)
    };
    let export = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
    let mut first = call(export);
    let mut second = call(export);
    let mut other = call("/barista.trace.v1.TraceService/GetTrace");
    for pending in [&mut first, &mut second, &mut other] {
        assert!(futures_util::poll!(pending).is_pending());
    }
    let begun = || begun.load(std::sync::atomic::Ordering::SeqCst);
    assert_eq!(begun(), 2, "the first export, and the other call");
    go.send(1).expect("a listener");
    for ended in [first, other, second] {
        let Ok(_) = ended.await;
    }
    assert_eq!(begun(), 3);
}

#[tokio::test]
async fn a_panic_in_a_handler_is_an_internal_error() {
    let service = tower::service_fn(|_: Request<Body>| async { panic!("out of cups") });
    let status = status_of(&call(service, None).await);
    assert_eq!(status.code(), Code::Internal);
    assert_eq!(reason(&status), "INTERNAL");
    assert_eq!(status.message(), "internal error");
}

/// A body that does the same whenever it is asked.
struct Always(fn() -> Polled);

impl http_body::Body for Always {
    type Data = prost::bytes::Bytes;
    type Error = Status;

    fn poll_frame(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Polled {
        (self.0)()
    }
}

async fn call_body(poll: fn() -> Polled) -> Response<Body> {
    let service = tower::service_fn(move |_: Request<Body>| async move {
        Ok(Response::new(Body::new(Always(poll))))
    });
    call(service, None).await
}

#[tokio::test]
async fn a_panic_in_a_stream_is_an_internal_error_at_its_end() {
    let response = call_body(|| panic!("out of cups")).await;
    let status = end_of(response).await;
    assert_eq!(status.code(), Code::Internal);
    assert_eq!(reason(&status), "INTERNAL");
}

#[tokio::test]
async fn an_error_at_the_end_of_a_stream_gets_a_reason_and_success_is_left_alone() {
    let failed = call_body(|| {
        let mut trailers = http::HeaderMap::new();
        trailers.insert("grpc-status", http::HeaderValue::from_static("11"));
        Poll::Ready(Some(Ok(http_body::Frame::trailers(trailers))))
    });
    let status = end_of(failed.await).await;
    assert_eq!(status.code(), Code::Internal);
    assert_eq!(reason(&status), "INTERNAL");
    let fine = call_body(|| {
        let mut trailers = http::HeaderMap::new();
        trailers.insert("grpc-status", http::HeaderValue::from_static("0"));
        Poll::Ready(Some(Ok(http_body::Frame::trailers(trailers))))
    });
    let status = end_of(fine.await).await;
    assert_eq!(status.code(), Code::Ok);
    assert!(status.details().is_empty());
}

#[tokio::test]
async fn a_standard_stream_that_does_not_end_by_itself_is_ended_by_the_shutdown() {
    let border = border();
    let (ours, _theirs) = UnixStream::pair().expect("sockets");
    let mut request = Request::new(Body::empty());
    *request.uri_mut() = http::Uri::from_static("/grpc.health.v1.Health/Watch");
    let info = ConnectInfo {
        door: Door::Person,
        credentials: ours.peer_cred().ok(),
    };
    request.extensions_mut().insert(info);
    let service = tower::service_fn(|_: Request<Body>| async {
        Ok(Response::new(Body::new(Always(|| Poll::Pending))))
    });
    let Ok(response) = border.layer(service).call(request).await;
    assert_eq!(border.rpcs.len(), 1);
    border.drain.cancel();
    let status = end_of(response).await;
    assert_eq!(reason(&status), "SHUTTING_DOWN");
    assert!(border.rpcs.is_empty());
}

#[test]
fn only_what_is_our_fault_is_worth_a_warning() {
    for code in [Code::Internal, Code::ResourceExhausted] {
        assert!(is_our_fault(code), "{code:?}");
    }
    for code in [
        Code::Ok,
        Code::NotFound,
        Code::InvalidArgument,
        Code::Unavailable,
    ] {
        assert!(!is_our_fault(code), "{code:?}");
    }
}
