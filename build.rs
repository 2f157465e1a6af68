//! Generates the messages, server stubs and descriptor set of `proto/`, without a `protoc` to install.

use std::error::Error;
use std::path::PathBuf;

use protox::prost::Message;

const FILES: [&str; 9] = [
    "barista/admin/v1/admin_service.proto",
    "barista/analytics/v1/analytics_service.proto",
    "barista/consumer/v1/consumer_service.proto",
    "barista/error/v1/error_reason.proto",
    "barista/notification/v1/notification_service.proto",
    "barista/trace/v1/trace_service.proto",
    "opentelemetry/proto/collector/logs/v1/logs_service.proto",
    "opentelemetry/proto/collector/metrics/v1/metrics_service.proto",
    "opentelemetry/proto/collector/trace/v1/trace_service.proto",
];

/// What reflection tells: all files, and the comments of ours. Those of the others are half of the whole, and each start would decode them.
fn described(compiler: &protox::Compiler) -> Vec<u8> {
    let mut set = compiler.file_descriptor_set();
    for file in &mut set.file {
        if !file.package().starts_with("barista.") {
            file.source_code_info = None;
        }
    }
    set.encode_to_vec()
}

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=proto");
    println!(
        "cargo:rustc-env=BARISTA_TARGET={}",
        std::env::var("TARGET")?
    );
    println!(
        "cargo:rustc-env=BARISTA_PROFILE={}",
        std::env::var("PROFILE")?
    );
    let mut compiler = protox::Compiler::new(["proto"])?;
    compiler
        .include_source_info(true)
        .include_imports(true)
        .open_files(FILES)?;
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    std::fs::write(out.join("descriptor.bin"), described(&compiler))?;
    let mut messages = tonic_prost_build::Config::new();
    // These were written for other generators: rustdoc takes parts of them for HTML.
    messages.disable_comments([".opentelemetry"]);
    tonic_prost_build::configure()
        .build_client(false)
        .compile_fds_with_config(compiler.file_descriptor_set(), messages)?;
    Ok(())
}
