//! The generated messages and stubs of `proto/`: the only door for generated code.
//!
//! The comments of the definition are the documentation here.

/// Packages `barista.notification.*`: asking, answering, waiting and watching.
pub mod notification {
    /// Package `barista.notification.v1`.
    pub mod v1 {
        #![expect(
            unused_qualifications,
            clippy::disallowed_methods,
            reason = "the generator writes full paths, and makes a Status of an error of the transport"
        )]
        tonic::include_proto!("barista.notification.v1");
    }
}

/// Packages `barista.admin.*`: looking after a daemon.
pub mod admin {
    /// Package `barista.admin.v1`.
    pub mod v1 {
        #![expect(
            unused_qualifications,
            clippy::disallowed_methods,
            reason = "the generator writes full paths, and makes a Status of an error of the transport"
        )]
        tonic::include_proto!("barista.admin.v1");
    }
}

/// Packages `barista.consumer.*`: durable watchers.
pub mod consumer {
    /// Package `barista.consumer.v1`.
    pub mod v1 {
        #![expect(
            unused_qualifications,
            clippy::disallowed_methods,
            reason = "the generator writes full paths, and makes a Status of an error of the transport"
        )]
        tonic::include_proto!("barista.consumer.v1");
    }
}

/// Packages `barista.trace.*`: what agents do, and what it costs.
pub mod trace {
    /// Package `barista.trace.v1`.
    pub mod v1 {
        #![expect(
            unused_qualifications,
            clippy::disallowed_methods,
            reason = "the generator writes full paths, and makes a Status of an error of the transport"
        )]
        tonic::include_proto!("barista.trace.v1");
    }
}

/// Packages `barista.analytics.*`: questions about usage, cost, latency and errors.
pub mod analytics {
    /// Package `barista.analytics.v1`.
    pub mod v1 {
        #![expect(
            unused_qualifications,
            clippy::disallowed_methods,
            reason = "the generator writes full paths, and makes a Status of an error of the transport"
        )]
        tonic::include_proto!("barista.analytics.v1");
    }
}

/// Packages `barista.error.*`: the reasons that errors carry.
pub mod error {
    /// Package `barista.error.v1`.
    pub mod v1 {
        tonic::include_proto!("barista.error.v1");
    }
}

/// All of the above as an encoded `google.protobuf.FileDescriptorSet`, imports and comments included, for tools that render messages
/// by reflection.
pub const DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptor.bin"));

impl notification::v1::NotificationState {
    /// Whether this is one of the four states that never change again.
    #[must_use]
    pub fn is_end(self) -> bool {
        matches!(
            self,
            Self::Responded | Self::Dismissed | Self::Cancelled | Self::Expired
        )
    }
}
