//! Points at which a test ends the process, as a crash would.
//!
//! Without the feature `failpoints`, which only tests turn on, nothing of this is compiled. With it, `BARISTA_TEST_FAILPOINT=name:3` makes the
//! process end where it stands when it comes to that point for the third time. Failing with an error or a panic would prove less: a daemon
//! that can still tidy up is not one that has crashed. With `name:3:hang` the thread stops there for ever instead, as one does that waits for a
//! disk.

/// Marks a point. Expands to nothing in a normal build.
macro_rules! failpoint {
    ($name:literal) => {
        #[cfg(feature = "failpoints")]
        $crate::failpoint::reach($name);
    };
}
pub(crate) use failpoint;

/// Ends the process, or stops the thread, if that was asked for at the point `name`, and this is the time.
#[cfg(feature = "failpoints")]
pub(crate) fn reach(name: &str) {
    use std::sync::LazyLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    static ARMED: LazyLock<Option<(String, AtomicU64, bool)>> = LazyLock::new(|| {
        let armed = std::env::var("BARISTA_TEST_FAILPOINT").ok()?;
        let (point, time) = armed.split_once(':')?;
        let (time, hangs) = match time.strip_suffix(":hang") {
            Some(time) => (time, true),
            None => (time, false),
        };
        let time = AtomicU64::new(time.parse().ok()?);
        Some((point.to_owned(), time, hangs))
    });
    if let Some((point, times_left, hangs)) = &*ARMED
        && point == name
        && times_left.fetch_sub(1, Ordering::SeqCst) == 1
    {
        if !hangs {
            std::process::abort();
        }
        loop {
            std::thread::park();
        }
    }
}
