//! Locks and atomics whose interleavings a test can choose.
//!
//! They are those of the standard library. With the feature `interleavings`, which only tests turn on, they are shuttle's, which hand the
//! processor to another thread at every step, in an order drawn at random that can be repeated. Then they work nowhere but inside such a
//! test: see the modules of that name.

#[cfg(feature = "interleavings")]
pub(crate) use shuttle::sync::{Mutex, MutexGuard, atomic};
#[cfg(not(feature = "interleavings"))]
pub(crate) use std::sync::{Mutex, MutexGuard, atomic};

/// How many interleavings a test tries; `tests/run --long` tries more.
#[cfg(all(test, feature = "interleavings"))]
pub(crate) fn times(usual: usize) -> usize {
    if std::env::var_os("BARISTA_LONG").is_some() {
        20 * usual
    } else {
        usual
    }
}
