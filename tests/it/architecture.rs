//! The invariants of the architecture that can be read from the source text and the dependency graph. Each check is a function over text, and
//! is tried on an offender first: a check that cannot fail is a defect.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use sha2::{Digest, Sha256};

/// The migrations that have been released or merged, with the sum of each file. A line is added for a new one and never changed: databases
/// in the field have run the old text.
const MIGRATIONS: &[(&str, &str)] = &[
    (
        "notifications/0001_journal.sql",
        "edb599c61ae41d450866e1ae38c724968db12c0a5b5c08a724834d7ebc469ded",
    ),
    (
        "notifications/0002_consumers.sql",
        "aae506a3bea1cabd7e71dc4b549bd59bc896ae1f26528bff0c1870c99ed839e2",
    ),
    (
        "notifications/0003_owner.sql",
        "4a5ff8b7059fbfbdc63a017a65196a045fc2b3ada7fa9e8e728a30454960be17",
    ),
    (
        "notifications/0004_watches.sql",
        "6fa1fff40ea6ce6d98f75aae5343650045a329695aa30b9d4df0564963511572",
    ),
    (
        "telemetry/0001_observations.sql",
        "f7299d5fac268931bd7881f696852e9d4a666b6add75dcef5f7199f860353461",
    ),
    (
        "telemetry/0002_expensive.sql",
        "c580edd7d2921e407f6e591ff36fdb35e374604ea2387188ebb49bb60acf8f1d",
    ),
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The source files below `folder` of the daemon, with their code: comments and what follows `#[cfg(test)]` are left out.
fn sources(folder: &str) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut folders = vec![root().join("src").join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|end| end == "rs") && !is_test(&path) {
                let text = std::fs::read_to_string(&path).expect("source text");
                let relative = path.strip_prefix(root()).expect("inside").to_owned();
                found.push((relative, code(&text)));
            }
        }
    }
    assert!(!found.is_empty(), "nothing to check in {folder}");
    found
}

fn is_test(path: &Path) -> bool {
    let name = path.file_stem().and_then(|name| name.to_str());
    matches!(name, Some("tests" | "conformance"))
}

/// The text without comments and without its tests, which stand last.
fn code(text: &str) -> String {
    let text = text.split("#[cfg(test)]\nmod ").next().unwrap_or_default();
    let without_comment = |line: &str| {
        let mut slashes = line.match_indices("//").map(|(at, _)| at);
        let comment = slashes.find(|at| !line[..*at].ends_with(':'));
        line[..comment.unwrap_or(line.len())].to_owned()
    };
    text.lines()
        .map(without_comment)
        .collect::<Vec<_>>()
        .join("\n")
}

/// Which of `words` stand in `code` as whole words.
fn mentions<'a>(code: &str, words: &[&'a str]) -> Vec<&'a str> {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    let stands_alone = |word: &&&str| {
        code.match_indices(**word).any(|(at, found)| {
            let before = code[..at].chars().next_back();
            let after = code[at + found.len()..].chars().next();
            !before.is_some_and(is_part) && !after.is_some_and(is_part)
        })
    };
    words.iter().filter(stands_alone).copied().collect()
}

/// Checks that no file below `folder`, those for which `exempt` holds excepted, mentions any of `words`.
fn assert_free_of(folder: &str, words: &[&str], exempt: impl Fn(&Path) -> bool) {
    let offenders: Vec<_> = sources(folder)
        .into_iter()
        .filter(|(path, _)| !exempt(path))
        .map(|(path, code)| (path, mentions(&code, words)))
        .filter(|(_, found)| !found.is_empty())
        .collect();
    assert!(offenders.is_empty(), "{offenders:?}");
}

const OUTSIDE_THE_DOMAIN: &[&str] = &[
    "tonic",
    "prost",
    "prost_types",
    "rusqlite",
    "deadpool_sqlite",
    "tokio_postgres",
    "pb",
    "std::fs",
    "std::net",
    "std::env",
    "tokio::fs",
    "tokio::net",
    "SystemTime",
    "Timestamp::now",
    "Zoned::now",
];
/// Nobody has a `Status` without naming tonic; other things are called Status, too.
const WIRE: &[&str] = &["tonic", "prost", "prost_types", "pb"];
const SQLITE: &[&str] = &["rusqlite", "deadpool_sqlite", "libsqlite3_sys"];
const HANDLES: &[&str] = &["Transaction", "Connection", "Savepoint", "Pool"];

#[test]
fn the_checks_of_source_text_find_offenders() {
    let offender = "use tonic::Status;\nlet now = std::time::SystemTime::now();";
    assert_eq!(
        mentions(offender, OUTSIDE_THE_DOMAIN),
        ["tonic", "SystemTime"]
    );
    assert_eq!(mentions(offender, WIRE), ["tonic"]);
    assert_eq!(
        mentions("fn f(c: &rusqlite::Connection)", SQLITE),
        ["rusqlite"]
    );
    assert_eq!(
        mentions("fn f(c: &rusqlite::Connection)", HANDLES),
        ["Connection"]
    );
    assert_eq!(
        mentions("jiff::Timestamp::now()", OUTSIDE_THE_DOMAIN),
        ["Timestamp::now"]
    );
    let innocent = code(
        "/// tonic\nlet mytonic = \"http://x\"; // Status\n#[cfg(test)]\nmod tests { use tonic; }",
    );
    assert!(
        mentions(&innocent, OUTSIDE_THE_DOMAIN).is_empty(),
        "{innocent}"
    );
    assert!(mentions(&innocent, WIRE).is_empty());
}

#[test]
fn invariant_1_the_domain_knows_neither_wire_nor_disk_nor_the_systems_clock() {
    assert_free_of("domain", OUTSIDE_THE_DOMAIN, |_| false);
}

#[test]
fn invariant_2_generated_code_and_status_stay_under_grpc() {
    // The connection gives tonic the peer's credentials: that trait is all it knows of the wire.
    let only_credentials = |path: &Path| path.ends_with("src/connection.rs");
    assert_free_of("", WIRE, |path| {
        path.starts_with("src/grpc") || only_credentials(path)
    });
    let connection = std::fs::read_to_string(root().join("src/connection.rs")).expect("source");
    assert!(mentions(&code(&connection), &["Status", "pb", "prost"]).is_empty());
}

#[test]
fn invariant_3_sqlite_stays_under_its_store() {
    assert_free_of("", SQLITE, |path| path.starts_with("src/store/sqlite"));
}

#[test]
fn invariant_5_no_store_method_hands_out_a_transaction_or_a_connection() {
    assert_free_of("domain", HANDLES, |_| false);
}

#[test]
fn invariant_6_no_released_migration_changes() {
    let folder = root().join("src/store/sqlite/migrations");
    let mut found = BTreeMap::new();
    for database in std::fs::read_dir(&folder).expect("migrations") {
        for file in std::fs::read_dir(database.expect("a folder").path()).expect("a folder") {
            let path = file.expect("a file").path();
            let name = path.strip_prefix(&folder).expect("inside");
            let text = std::fs::read(&path).expect("SQL");
            found.insert(name.display().to_string(), sum(&text));
        }
    }
    let known: BTreeMap<String, String> = MIGRATIONS
        .iter()
        .map(|(name, sum)| ((*name).to_owned(), (*sum).to_owned()))
        .collect();
    assert_eq!(found, known, "a change of the schema is a new file");
    assert_ne!(sum(b"CREATE TABLE a (b)"), sum(b"CREATE TABLE a (c)"));
}

fn sum(text: &[u8]) -> String {
    Sha256::digest(text)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// The packages of the workspace and of everything below, as Cargo resolved them.
struct Graph {
    /// The names of packages under their ids.
    names: BTreeMap<String, String>,
    /// The normal dependencies of each.
    normal: BTreeMap<String, BTreeSet<String>>,
    /// The ids of the packages under `clients/`.
    clients: Vec<String>,
}

impl Graph {
    fn read() -> Self {
        let output = Command::new(env!("CARGO"))
            .args([
                "metadata",
                "--format-version",
                "1",
                "--offline",
                "--manifest-path",
            ])
            .arg(root().join("Cargo.toml"))
            .output()
            .expect("cargo runs");
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "cargo metadata: {error}");
        Self::parse(&serde_json::from_slice(&output.stdout).expect("JSON"))
    }

    fn parse(metadata: &Value) -> Self {
        let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let mut graph = Self {
            names: BTreeMap::new(),
            normal: BTreeMap::new(),
            clients: Vec::new(),
        };
        let clients = root().join("clients");
        for package in list(&metadata["packages"]) {
            let id = text(&package["id"]);
            if Path::new(&text(&package["manifest_path"])).starts_with(&clients) {
                graph.clients.push(id.clone());
            }
            graph.names.insert(id, text(&package["name"]));
        }
        for node in list(&metadata["resolve"]["nodes"]) {
            // The kind of a normal dependency is null.
            let is_normal = |dependency: &&Value| {
                let kinds = dependency["dep_kinds"].as_array();
                kinds.is_some_and(|kinds| kinds.iter().any(|kind| kind["kind"].is_null()))
            };
            let dependencies = list(&node["deps"]);
            let normal = dependencies.iter().filter(is_normal);
            let ids = normal.map(|dependency| text(&dependency["pkg"])).collect();
            graph.normal.insert(text(&node["id"]), ids);
        }
        graph
    }

    /// The names of all packages that `id` needs to run.
    fn needs(&self, id: &str) -> BTreeSet<&str> {
        let mut found = BTreeSet::new();
        let mut open = vec![id];
        while let Some(id) = open.pop() {
            for dependency in self.normal.get(id).into_iter().flatten() {
                if found.insert(dependency.as_str()) {
                    open.push(dependency);
                }
            }
        }
        found.iter().map(|id| self.names[*id].as_str()).collect()
    }

    /// Those of `forbidden` that `id` needs.
    fn forbidden<'a>(&self, id: &str, forbidden: &[&'a str]) -> Vec<&'a str> {
        let needs = self.needs(id);
        let is_needed = |name: &&&str| needs.contains(**name);
        forbidden.iter().filter(is_needed).copied().collect()
    }
}

const NOT_FOR_CLIENTS: &[&str] = &["barista", "libsqlite3-sys", "rusqlite"];

#[test]
fn invariant_4_no_client_depends_on_the_daemon_or_on_sqlite() {
    let graph = Graph::read();
    assert!(graph.clients.len() >= 3, "{:?}", graph.clients);
    for client in &graph.clients {
        let found = graph.forbidden(client, NOT_FOR_CLIENTS);
        assert!(found.is_empty(), "{client} needs {found:?}");
    }
}

#[test]
fn invariant_9_there_is_one_sqlite_in_the_process() {
    let graph = Graph::read();
    let all = graph.names.values();
    assert_eq!(all.filter(|name| *name == "libsqlite3-sys").count(), 1);
}

#[test]
fn the_checks_of_the_dependency_graph_find_offenders() {
    let graph = Graph::read();
    // The daemon itself is what a client must not be.
    let daemon = graph.names.iter().find(|(_, name)| *name == "barista");
    let (daemon, _) = daemon.expect("the daemon's package");
    assert_eq!(
        graph.forbidden(daemon, NOT_FOR_CLIENTS),
        ["libsqlite3-sys", "rusqlite"]
    );
    let id = |name: &str| serde_json::json!({"id": name, "name": name, "manifest_path": root().join("clients").join(name)});
    let node = |id: &str, kind: Value, on: &str| serde_json::json!({"id": id, "deps": [{"pkg": on, "dep_kinds": [{"kind": kind}]}]});
    let offending = |kind: Value| {
        let nodes = [
            node("cli", kind, "middle"),
            node("middle", Value::Null, "barista"),
        ];
        let packages = [id("cli"), id("middle"), id("barista")];
        let metadata = serde_json::json!({"packages": packages, "resolve": {"nodes": nodes}});
        Graph::parse(&metadata)
    };
    let forbidden = |kind| offending(kind).forbidden("cli", NOT_FOR_CLIENTS);
    assert_eq!(forbidden(Value::Null), ["barista"], "through another one");
    let for_tests = forbidden(Value::from("dev"));
    assert!(for_tests.is_empty(), "tests may use everything");
}

/// The variables of Barista that `code` names, as whole words.
fn variables_in(code: &str) -> BTreeSet<String> {
    code.split(|c: char| !(c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_'))
        .filter(|word| word.len() > "BARISTA_".len() && word.starts_with("BARISTA_"))
        .map(str::to_owned)
        .collect()
}

/// A client starts the daemon in its own environment, and the daemon refuses variables that it has never heard of.
#[test]
fn every_variable_of_a_client_is_known_to_the_daemon() {
    let found = variables_in("env(\"BARISTA_ONE\") // BARISTA_TWO_2, BARISTA_");
    assert!(found.iter().eq(["BARISTA_ONE", "BARISTA_TWO_2"]));
    let own: Vec<String> = barista::config::KEYS
        .iter()
        .map(barista::config::Key::variable)
        .collect();
    // Set by build scripts, for the compiler alone.
    let of_builds = ["BARISTA_TARGET", "BARISTA_PROFILE"];
    for client in ["cli", "rust", "bench"] {
        let folder = format!("../clients/{client}/src");
        for (path, code) in sources(&folder) {
            for variable in variables_in(&code) {
                let known = own.contains(&variable)
                    || of_builds.contains(&variable.as_str())
                    || barista_locate::variables::is_of_clients(&variable);
                assert!(
                    known,
                    "{} uses {variable}: add it to CLIENT_VARIABLES in clients/locate/src/variables.rs",
                    path.display()
                );
            }
        }
    }
}
