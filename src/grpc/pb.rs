//! The generated messages and server stubs of `proto/`. Nothing else in the crate includes generated code.

/// The descriptors of every file of `proto/` and of what they import, for reflection.
pub const DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptor.bin"));

/// `barista.notification`.
pub mod notification {
    /// `barista.notification.v1`.
    #[expect(
        unused_qualifications,
        clippy::allow_attributes,
        clippy::too_many_lines,
        reason = "generated; its documentation is in proto/"
    )]
    pub mod v1 {
        tonic::include_proto!("barista.notification.v1");
    }
}

/// `barista.admin`.
pub mod admin {
    /// `barista.admin.v1`.
    #[expect(
        unused_qualifications,
        clippy::allow_attributes,
        clippy::too_many_lines,
        reason = "generated; its documentation is in proto/"
    )]
    pub mod v1 {
        tonic::include_proto!("barista.admin.v1");
    }
}

/// `barista.consumer`.
pub mod consumer {
    /// `barista.consumer.v1`.
    #[expect(
        unused_qualifications,
        clippy::allow_attributes,
        clippy::too_many_lines,
        reason = "generated; its documentation is in proto/"
    )]
    pub mod v1 {
        tonic::include_proto!("barista.consumer.v1");
    }
}

/// `barista.error`.
pub mod error {
    /// `barista.error.v1`.
    pub mod v1 {
        tonic::include_proto!("barista.error.v1");
    }
}

/// `barista.trace`.
pub mod trace {
    /// `barista.trace.v1`.
    #[expect(
        unused_qualifications,
        clippy::allow_attributes,
        clippy::too_many_lines,
        reason = "generated; its documentation is in proto/"
    )]
    pub mod v1 {
        tonic::include_proto!("barista.trace.v1");
    }
}

/// `barista.analytics`.
pub mod analytics {
    /// `barista.analytics.v1`.
    #[expect(
        unused_qualifications,
        clippy::allow_attributes,
        clippy::too_many_lines,
        reason = "generated; its documentation is in proto/"
    )]
    pub mod v1 {
        tonic::include_proto!("barista.analytics.v1");
    }
}

/// `opentelemetry.proto`: the OpenTelemetry protocol.
pub mod opentelemetry {
    /// `opentelemetry.proto`.
    #[expect(
        missing_docs,
        unused_qualifications,
        clippy::allow_attributes,
        reason = "generated; its documentation is in proto/"
    )]
    pub mod proto {
        pub mod collector {
            pub mod logs {
                pub mod v1 {
                    tonic::include_proto!("opentelemetry.proto.collector.logs.v1");
                }
            }
            pub mod metrics {
                pub mod v1 {
                    tonic::include_proto!("opentelemetry.proto.collector.metrics.v1");
                }
            }
            pub mod trace {
                pub mod v1 {
                    tonic::include_proto!("opentelemetry.proto.collector.trace.v1");
                }
            }
        }
        pub mod common {
            pub mod v1 {
                tonic::include_proto!("opentelemetry.proto.common.v1");
            }
        }
        pub mod logs {
            pub mod v1 {
                tonic::include_proto!("opentelemetry.proto.logs.v1");
            }
        }
        pub mod metrics {
            pub mod v1 {
                tonic::include_proto!("opentelemetry.proto.metrics.v1");
            }
        }
        pub mod resource {
            pub mod v1 {
                tonic::include_proto!("opentelemetry.proto.resource.v1");
            }
        }
        pub mod trace {
            pub mod v1 {
                tonic::include_proto!("opentelemetry.proto.trace.v1");
            }
        }
    }
}
