use std::collections::BTreeSet;
use std::path::Path;

use clap::{CommandFactory, Parser};

use super::*;

const SHIPPED: &str = include_str!("../../data/barista.toml");

fn arguments(words: &[&str]) -> Arguments {
    Arguments::try_parse_from(std::iter::once(&"baristad").chain(words)).expect("arguments")
}

fn no_environment(_: &str) -> Option<OsString> {
    None
}

fn environment<'a>(pairs: &'a [(&str, &str)]) -> impl Fn(&str) -> Option<OsString> + 'a {
    move |name| {
        pairs
            .iter()
            .find(|(key, _)| *key == name)
            .map(|(_, value)| value.into())
    }
}

fn directory_with(text: &str) -> tempfile::TempDir {
    let directory = tempfile::tempdir().expect("a temporary directory");
    std::fs::write(directory.path().join("barista.toml"), text).expect("a file");
    directory
}

fn refusal(text: &str) -> String {
    let directory = directory_with(text);
    let error = Config::load(&arguments(&[]), no_environment, directory.path()).expect_err(text);
    error
        .to_string()
        .replace(directory.path().to_str().expect("UTF-8"), "DIR")
}

#[test]
fn without_a_file_everything_is_at_its_default() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let config = Config::load(&arguments(&[]), no_environment, directory.path()).expect("config");
    assert_eq!(config, Config::default());
}

#[test]
fn the_shipped_file_is_made_from_the_table_of_keys() {
    assert!(
        SHIPPED == keys::template(),
        "data/barista.toml should be:\n{}",
        keys::template()
    );
}

#[test]
fn the_shipped_file_with_every_setting_uncommented_is_the_defaults() {
    let is_setting = |line: &&str| {
        line.strip_prefix('#')
            .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_lowercase()))
    };
    assert_eq!(SHIPPED.lines().filter(is_setting).count(), KEYS.len());
    let uncommented: String = SHIPPED
        .lines()
        .map(|line| if is_setting(&line) { &line[1..] } else { line })
        .flat_map(|line| [line, "\n"])
        .collect();
    let directory = directory_with(&uncommented);
    let config = Config::load(&arguments(&[]), no_environment, directory.path()).expect("config");
    assert_eq!(config, Config::default());
}

/// The list of valid keys in serde's message comes from the structs, so that the table cannot forget a field.
#[test]
fn the_table_has_every_field_of_the_structs() {
    let mut sections = refusal("nothing = 1");
    for section in ["server", "agent", "storage", "consumers", "log"] {
        assert!(sections.contains(&format!("`{section}`")), "{sections}");
        sections = sections.replace(&format!("`{section}`"), "");
        let message = refusal(&format!("[{section}]\nnothing = 1"));
        let named: BTreeSet<&str> = message
            .split_once("expected ")
            .map(|(_, list)| list.split('`').skip(1).step_by(2).collect())
            .expect("a list of keys");
        let listed: BTreeSet<&str> = KEYS
            .iter()
            .filter(|key| key.section == section)
            .map(|key| key.name)
            .collect();
        assert_eq!(named, listed);
    }
    assert_eq!(
        sections.matches('`').count(),
        2,
        "a section without keys: {sections}"
    );
}

#[test]
fn help_names_every_key_default_variable_and_flag() {
    let help = Arguments::command().render_long_help().to_string();
    for key in KEYS {
        assert!(
            help.contains(&format!("{}.{} = {}", key.section, key.name, key.default)),
            "{key:?}"
        );
        assert!(help.contains(&key.variable()), "{key:?}");
        assert!(key.flag.is_none_or(|flag| help.contains(flag)), "{key:?}");
    }
}

#[test]
fn each_layer_wins_over_the_one_below() {
    let directory = directory_with("[storage]\nreaders = 5\n[server]\nworker_threads = 2\n");
    let load = |words: &[&str], pairs: &[(&str, &str)]| {
        let config = Config::load(&arguments(words), environment(pairs), directory.path());
        let server = config.expect("config").server;
        server.worker_threads
    };
    assert_eq!(load(&[], &[]), 2);
    assert_eq!(load(&[], &[("BARISTA_SERVER_WORKER_THREADS", "3")]), 3);
    assert_eq!(
        load(
            &["--worker-threads", "4"],
            &[("BARISTA_SERVER_WORKER_THREADS", "3")]
        ),
        4
    );
    assert_eq!(load(&[], &[("BARISTA_SERVER_WORKER_THREADS", "")]), 2);
}

#[test]
fn every_key_is_set_by_its_variable() {
    let samples = [
        ("server.socket", "/s"),
        ("server.max_message_bytes", "1 MiB"),
        ("server.max_concurrent_streams", "7"),
        ("server.max_connections", "7"),
        ("server.max_watchers", "7"),
        ("server.handshake_timeout", "7s"),
        ("server.keepalive_interval", "7s"),
        ("server.shutdown_grace", "7s"),
        ("server.worker_threads", "7"),
        ("agent.enabled", "false"),
        ("agent.socket", "/s"),
        ("agent.allow_default", "true"),
        ("agent.max_connections", "7"),
        ("agent.max_calls", "7"),
        ("storage.busy_timeout", "7s"),
        ("storage.busy_attempts", "7"),
        ("storage.queue_capacity", "7"),
        ("storage.batch_max_writes", "7"),
        ("storage.batch_max_bytes", "70000"),
        ("storage.readers", "7"),
        ("storage.cache_kib", "70"),
        ("storage.min_free_disk_bytes", "0"),
        ("storage.foreign_poll", "7ms"),
        ("storage.idle_poll", "7ms"),
        ("storage.checkpoint_frames", "7"),
        ("storage.truncate_bytes", "7 MiB"),
        ("storage.allow_network_file_system", "true"),
        ("storage.file_check_interval", "7s"),
        ("consumers.max_lag_events", "7"),
        ("consumers.max_age", "7h"),
        ("log.format", "json"),
        ("log.level", "barista=debug"),
        ("log.file", "7"),
        ("log.max_bytes", "7 MiB"),
        ("log.keep", "7"),
    ];
    assert_eq!(samples.len(), KEYS.len());
    for (key, (name, text)) in KEYS.iter().zip(samples) {
        assert_eq!(format!("{}.{}", key.section, key.name), name);
        let variable = key.variable();
        let pairs = [(variable.as_str(), text)];
        let config =
            Config::load(&arguments(&[]), environment(&pairs), Path::new("/nowhere")).expect(name);
        assert_ne!(config, Config::default(), "{name}");
    }
}

#[test]
fn flags_set_their_keys() {
    let words = [
        "--socket",
        "s.sock",
        "--log-format",
        "json",
        "--log-level",
        "debug",
        "--log-file",
        "/l",
        "--worker-threads",
        "2",
        "--max-connections",
        "9",
        "--shutdown-grace",
        "1s",
        "--allow-network-file-system",
    ];
    let config =
        Config::load(&arguments(&words), no_environment, Path::new("/data")).expect("config");
    assert_eq!(config.server.socket, Some("/data/s.sock".into()));
    assert_eq!(
        (config.server.worker_threads, config.server.max_connections),
        (2, 9)
    );
    assert_eq!(config.server.shutdown_grace, Duration::from_secs(1));
    assert!(config.storage.allow_network_file_system);
    assert_eq!(
        (config.log.format, config.log.level.as_str()),
        (LogFormat::Json, "debug")
    );
    assert_eq!(config.log.file, Some("/l".into()));
}

#[test]
fn a_mistake_in_the_file_is_told_with_its_line_and_the_alternatives() {
    assert_eq!(
        refusal("[log]\nlevel = \"info\"\nkep = 3\n"),
        "DIR/barista.toml:3: unknown field `kep`, expected one of `format`, `level`, `file`, `max_bytes`, `keep`"
    );
    assert_eq!(
        refusal("\n[log]\nformat = \"xml\"\n"),
        "DIR/barista.toml:3: unknown variant `xml`, expected `human` or `json`"
    );
    assert_eq!(
        refusal("[server]\nshutdown_grace = \"1m\"\n"),
        "DIR/barista.toml:2: invalid value: string \"1m\", expected a duration such as \"30s\" or \"250ms\", from 0s to 10s"
    );
    assert_eq!(
        refusal("[storage]\nreaders = 0\n"),
        "DIR/barista.toml:2: invalid value: integer `0`, expected a whole number from 1 to 64"
    );
    assert!(
        refusal("[storage]\nbusy_timeout = 30\n")
            .starts_with("DIR/barista.toml:2: invalid type: integer `30`, expected a duration")
    );
    assert!(
        refusal("[log]\nmax_bytes = \"10 MB\"\n")
            .contains("such as \"64 MiB\", from 4 KiB to 1 TiB")
    );
    assert!(refusal("[log]\nlevel = \"info,=\"\n").contains("expected off, error, warn"));
    assert!(
        refusal("[log]\nfile = \"notifications.db\"\n").contains("a file that is not a database")
    );
    assert!(refusal("[log\n").starts_with("DIR/barista.toml:1: "));
}

#[test]
fn a_mistake_in_a_variable_or_a_flag_names_it() {
    let load = |words: &[&str], pairs: &[(&str, &str)]| {
        Config::load(&arguments(words), environment(pairs), Path::new("/nowhere"))
            .expect_err("a mistake")
            .to_string()
    };
    assert_eq!(
        load(&[], &[("BARISTA_STORAGE_READERS", "many")]),
        "environment variable BARISTA_STORAGE_READERS: invalid type: string \"many\", expected a whole number from 1 to 64; correct it or unset it"
    );
    assert!(load(&[], &[("BARISTA_LOG_KEEP", "-1")]).contains("integer `-1`"));
    assert_eq!(
        load(&["--log-format", "xml"], &[]),
        "--log-format: unknown variant `xml`, expected `human` or `json`; see baristad --help"
    );
}

#[test]
fn a_named_file_must_exist_and_a_missing_default_one_may_not() {
    let error = Config::load(
        &arguments(&["--config", "/nowhere/x.toml"]),
        no_environment,
        Path::new("/nowhere"),
    );
    assert!(
        matches!(error, Err(ConfigError::Unreadable { .. })),
        "{error:?}"
    );
}

#[test]
fn polls_that_contradict_each_other_are_refused() {
    let message = refusal("[storage]\nforeign_poll = \"2s\"\n");
    assert!(
        message.contains("storage.foreign_poll is longer than storage.idle_poll"),
        "{message}"
    );
}
