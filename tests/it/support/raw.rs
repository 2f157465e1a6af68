//! The generated stubs on a connection of their own, for calls that the client library would check, repeat or hide.

use std::path::Path;

use barista_client::pb::notification::v1::notification_service_client::NotificationServiceClient;
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};
use tonic_types::StatusExt;
use tower::service_fn;

use super::soon;

/// A connection, and the stubs of the service that needs it most.
pub(crate) struct Raw {
    pub(crate) notifications: NotificationServiceClient<Channel>,
    pub(crate) channel: Channel,
}

impl Raw {
    pub(crate) async fn connect(socket: &Path) -> Self {
        Self::try_connect(socket).await.expect("connected")
    }

    pub(crate) async fn try_connect(socket: &Path) -> Result<Self, tonic::transport::Error> {
        let socket = socket.to_owned();
        let connector = service_fn(move |_: http::Uri| {
            let socket = socket.clone();
            async move { UnixStream::connect(socket).await.map(TokioIo::new) }
        });
        let endpoint = Endpoint::from_static("http://localhost");
        let channel = soon(endpoint.connect_with_connector(connector)).await?;
        Ok(Self {
            notifications: NotificationServiceClient::new(channel.clone()),
            channel,
        })
    }
}

/// The code of an error, and the reason that it must carry.
pub(crate) fn code_and_reason(status: &Status) -> (Code, String) {
    let info = status.get_details_error_info();
    let info = info.unwrap_or_else(|| panic!("an error without ErrorInfo: {status:?}"));
    assert_eq!(info.domain, "barista");
    (status.code(), info.reason)
}
