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
    let complaint = |text: &str| {
        let error = toml::from_str::<Config>(text).expect_err(text);
        error.message().to_owned()
    };
    let mut sections = complaint("nothing = 1");
    for section in [
        "server",
        "agent",
        "storage",
        "consumers",
        "retention",
        "telemetry",
        "metrics",
        "log",
    ] {
        assert!(sections.contains(&format!("`{section}`")), "{sections}");
        sections = sections.replace(&format!("`{section}`"), "");
        let message = complaint(&format!("[{section}]\nnothing = 1"));
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
        ("retention.journal_max_age", "7h"),
        ("retention.journal_max_events", "7"),
        ("retention.closed_max_age", "70h"),
        ("retention.observations_max_age", "7h"),
        ("retention.payloads_max_age", "7h"),
        ("retention.observation_events", "7"),
        ("retention.interval", "7s"),
        ("telemetry.content", "full"),
        ("metrics.listen", "127.0.0.1:9464"),
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
fn a_mistake_in_the_file_is_told_with_its_place_the_key_and_what_is_valid() {
    let told = [
        (
            "[log]\nlevel = \"info\"\nkep = 3\n",
            "3:1: log.kep is no setting; did you mean keep?",
        ),
        (
            "[log]\n  colour = 3\n",
            "2:3: log.colour is no setting; the section log has format, level, file, max_bytes, keep",
        ),
        (
            "[log]\nreaders = 3\n",
            "2:1: log.readers is no setting; readers belongs to the section storage",
        ),
        (
            "[sever]\nsocket = \"s\"\n",
            "1:2: there is no section sever; did you mean server?",
        ),
        (
            "readers = 3\n",
            "1:1: readers must stand below a line with [storage]",
        ),
        (
            "log = 3\n",
            "1:1: log must be a section: write [log] on a line of its own",
        ),
        (
            "\n[log]\nformat = \"xml\"\n",
            "3:10: log.format is \"xml\", but must be human or json",
        ),
        (
            "[server]\nshutdown_grace = \"1m\"\n",
            "2:18: server.shutdown_grace is \"1m\", but must be a duration such as \"30s\" or \"250ms\", from 0s to 10s",
        ),
        (
            "[storage]\nreaders = 0\nkep = 1\n",
            "2:11: storage.readers is 0, but must be a whole number from 1 to 64",
        ),
        (
            "[storage]\nbusy_timeout = 30\n",
            "2:16: storage.busy_timeout is 30, but must be a duration such as \"30s\" or \"250ms\", from 1ms to 10m",
        ),
    ];
    for (text, message) in told {
        assert_eq!(refusal(text), format!("DIR/barista.toml:{message}"));
    }
    assert!(
        refusal("[log]\nmax_bytes = \"10 MB\"\n")
            .contains("such as \"64 MiB\", from 4 KiB to 1 TiB")
    );
    assert!(
        refusal("[log]\nfile = \"notifications.db\"\n").contains("a file that is not a database")
    );
    let broken = refusal("[log]\nkeep = \n");
    assert!(
        broken.starts_with("DIR/barista.toml:2:8: this is no TOML: "),
        "{broken}"
    );
    let unclosed = refusal("[log\n");
    assert!(
        unclosed.starts_with("DIR/barista.toml:1:5: this is no TOML: "),
        "{unclosed}"
    );
}

#[test]
fn a_log_level_is_a_level_or_a_directive() {
    for level in ["loud", "info,=", "", "info,loud", "barista=loud"] {
        let said = refusal(&format!("[log]\nlevel = \"{level}\"\n"));
        assert!(
            said.contains("log.level is") && said.contains("must be off, error, warn"),
            "{said}"
        );
    }
    for level in ["INFO", "info,barista::store=debug", "barista=trace", "off"] {
        let directory = directory_with(&format!("[log]\nlevel = \"{level}\"\n"));
        let config = Config::load(&arguments(&[]), no_environment, directory.path());
        assert_eq!(config.expect(level).log.level, level);
    }
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
        "the environment variable BARISTA_STORAGE_READERS is \"many\", but must be a whole number from 1 to 64"
    );
    assert!(load(&[], &[("BARISTA_LOG_KEEP", "-1")]).contains("is \"-1\""));
    assert!(load(&[], &[("BARISTA_LOG_LEVEL", "loud")]).contains("BARISTA_LOG_LEVEL is \"loud\""));
    assert_eq!(
        load(&["--log-format", "xml"], &[]),
        "--log-format is \"xml\", but must be human or json"
    );
}

#[test]
fn a_variable_that_only_looks_like_ours_is_refused_with_the_one_that_was_meant() {
    let refuse = |names: &[&str]| refuse_unknown_variables(names.iter().map(OsString::from));
    let told = |name| refuse(&["HOME", name]).map_err(|error| error.to_string());
    assert_eq!(
        told("BARISTA_LOG_LEVL"),
        Err("the environment variable BARISTA_LOG_LEVL is none of Barista's; did you mean BARISTA_LOG_LEVEL?".to_owned())
    );
    assert!(told("BARISTA_DATADIR").is_err_and(|said| said.ends_with("BARISTA_DATA_DIR?")));
    assert!(told("BARISTA_BEANS").is_err_and(|said| said.ends_with("none of Barista's")));
    let own: Vec<String> = KEYS.iter().map(Key::variable).collect();
    let own: Vec<&str> = own.iter().map(String::as_str).collect();
    assert!(refuse(&own).is_ok());
    assert!(refuse(variables::CLIENT_VARIABLES).is_ok());
}

#[test]
fn each_mistake_comes_with_a_remedy() {
    let directory = directory_with("[log]\nkeep = -1\n");
    let error = Config::load(&arguments(&[]), no_environment, directory.path());
    let remedy = error.expect_err("a mistake").remedy();
    assert!(remedy.starts_with("correct line 2 of /"), "{remedy}");
    let unknown = refuse_unknown_variables([OsString::from("BARISTA_DATADIR")].into_iter());
    let remedy = unknown.expect_err("unknown").remedy();
    assert_eq!(
        remedy,
        "unset BARISTA_DATADIR, and set BARISTA_DATA_DIR instead"
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
