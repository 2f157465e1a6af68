//! Any sequence of operations, restarts included, shows the same through this store as through a model of it.

use proptest::test_runner::{Config, TestCaseError, TestRunner};

use super::*;
use crate::store::model::{Operation, compare, operations};

/// Sequences that are tried; `tests/run --long` tries more.
fn cases() -> u32 {
    if std::env::var_os("BARISTA_LONG").is_some() {
        1_000
    } else {
        32
    }
}

/// Fails, for example, when `REQUEST_MEMORY` is half a minute, when an expiry does not take the default response, or when the trigger for
/// updates forgets who read something. The sequence that is printed is the shortest found that still fails.
#[test]
fn any_sequence_of_operations_shows_what_the_model_shows() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    // A store is opened and dropped where a runtime is.
    let _inside = runtime.enter();
    let config = Config {
        cases: cases(),
        // A case that failed is kept as a test with a name, not in a file beside the code.
        failure_persistence: None,
        ..Config::default()
    };
    let run = |sequence: Vec<Operation>| {
        let mut bench = Some(Bench::open());
        let mut used = false;
        let open = || {
            if std::mem::replace(&mut used, true) {
                bench = bench.take().map(Bench::reopen);
            }
            let bench = bench.as_ref().expect("a store");
            Arc::clone(&bench.store) as Arc<dyn NotificationStore>
        };
        runtime.block_on(compare(sequence, open));
        Ok::<(), TestCaseError>(())
    };
    let outcome = TestRunner::new(config).run(&operations(), run);
    if let Err(error) = outcome {
        panic!("{error}");
    }
}
