//! Generates the messages, client stubs and descriptor set of `proto/`, without a `protoc` to install.

use std::error::Error;
use std::path::PathBuf;

const FILES: [&str; 6] = [
    "barista/admin/v1/admin_service.proto",
    "barista/analytics/v1/analytics_service.proto",
    "barista/consumer/v1/consumer_service.proto",
    "barista/error/v1/error_reason.proto",
    "barista/notification/v1/notification_service.proto",
    "barista/trace/v1/trace_service.proto",
];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=../../proto");
    let mut compiler = protox::Compiler::new(["../../proto"])?;
    compiler
        .include_source_info(true)
        .include_imports(true)
        .open_files(FILES)?;
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    std::fs::write(
        out.join("descriptor.bin"),
        compiler.encode_file_descriptor_set(),
    )?;
    tonic_prost_build::configure()
        .build_server(false)
        .compile_fds(compiler.file_descriptor_set())?;
    // The tests play the daemon, with the same messages. Nothing else includes these files.
    let servers = out.join("server");
    std::fs::create_dir_all(&servers)?;
    let mut servers = tonic_prost_build::configure()
        .build_client(false)
        .out_dir(servers);
    for area in [
        "admin",
        "analytics",
        "consumer",
        "error",
        "notification",
        "trace",
    ] {
        servers = servers.extern_path(
            format!(".barista.{area}.v1"),
            format!("::barista_client::pb::{area}::v1"),
        );
    }
    servers.compile_fds(compiler.file_descriptor_set())?;
    Ok(())
}
