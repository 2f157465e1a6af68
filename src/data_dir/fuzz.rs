//! The names of files, as a function that a fuzzer can call with any bytes: see `grpc/fuzz.rs`.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::rules;

/// A name for a database, and a path: what is accepted stays in the directory.
pub fn path(bytes: &[u8]) {
    let directory = Path::new("/srv/data");
    if let Ok(name) = std::str::from_utf8(bytes)
        && rules::file_name(name).is_ok()
    {
        let joined = directory.join(name);
        assert!(rules::is_inside(directory, &joined), "{name:?}");
        assert_eq!(joined.parent(), Some(directory), "{name:?}");
        assert_eq!(joined.file_name(), Some(OsStr::new(name)), "{name:?}");
        assert!(!name.contains('\0') && !name.ends_with("-wal"), "{name:?}");
    }
    let any = directory.join(OsStr::from_bytes(bytes));
    if rules::is_inside(directory, &any) {
        // Doubled slashes apart, the text says the same: no step leads up or elsewhere.
        let plain: PathBuf = any.components().collect();
        assert!(plain.as_os_str().as_bytes().starts_with(b"/srv/data/"));
        assert!(!any.components().any(|part| part.as_os_str() == ".."));
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;
    use proptest::sample::select;
    use proptest::test_runner::{Config, TestCaseError, TestRunner};

    use super::path;

    /// Fails when `rules::is_inside` compares texts, or `rules::file_name` takes a name with a slash.
    #[test]
    fn no_name_leads_out_of_the_directory() {
        let cases = match std::env::var_os("BARISTA_LONG") {
            Some(_) => 1_000_000,
            None => 20_000,
        };
        let config = Config {
            cases,
            failure_persistence: None,
            ..Config::default()
        };
        let pieces = select(vec![
            "..",
            ".",
            "/",
            "//",
            "a",
            "-wal",
            "-evil",
            "/srv/data",
            "data",
            "\0",
            "\u{e9}",
            "\\",
        ]);
        let built = vec(pieces, 0..6).prop_map(|pieces| pieces.concat().into_bytes());
        let inputs = prop_oneof![3 => built, 1 => vec(any::<u8>(), 0..40)];
        let outcome = TestRunner::new(config).run(&inputs, |bytes| {
            path(&bytes);
            Ok::<(), TestCaseError>(())
        });
        if let Err(error) = outcome {
            panic!("{error}");
        }
    }
}
