//! What a program has written so far.

use std::io::Read;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// Turns a hang into a failure; nothing is decided by it.
pub(crate) const HANG: Duration = Duration::from_secs(120);

/// All that came out of one end of a pipe or a terminal, and whether more can come.
#[derive(Clone)]
pub(crate) struct Heard(Arc<Shared>);

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    bytes: Vec<u8>,
    ended: bool,
}

impl Shared {
    /// A test that fails while it looks at the output leaves it as it is.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Heard {
    /// Listens to `source` until it ends. A terminal whose program has ended gives an error, which is an end too.
    pub(crate) fn listen(mut source: impl Read + Send + 'static) -> Self {
        let shared = Arc::new(Shared::default());
        let heard = Self(shared.clone());
        thread::spawn(move || {
            let mut block = [0; 4096];
            loop {
                let count = source.read(&mut block).unwrap_or(0);
                let mut state = shared.state();
                state.bytes.extend_from_slice(&block[..count]);
                state.ended = count == 0;
                shared.changed.notify_all();
                if state.ended {
                    return;
                }
            }
        });
        heard
    }

    /// Waits until `find` finds what it looks for in all that was written so far. Fails at the end of the output.
    pub(crate) fn until<T>(&self, what: &str, find: impl Fn(&str) -> Option<T>) -> T {
        self.wait(what, |text, ended| {
            let found = find(text);
            assert!(found.is_some() || !ended, "no {what} in:\n{text}");
            found
        })
    }

    /// Waits until `words` were written.
    pub(crate) fn until_says(&self, words: &str) {
        self.until(words, |text| text.contains(words).then_some(()));
    }

    /// Waits for line `number`, counted from 0.
    pub(crate) fn line(&self, number: usize) -> String {
        self.until(&format!("line {number}"), |text| {
            let line = text.split_inclusive('\n').nth(number)?;
            line.strip_suffix('\n').map(str::to_owned)
        })
    }

    /// Waits for the end, and returns all that was written.
    pub(crate) fn end(&self) -> String {
        self.wait("end of the output", |text, ended| {
            ended.then(|| text.to_owned())
        })
    }

    fn wait<T>(&self, what: &str, find: impl Fn(&str, bool) -> Option<T>) -> T {
        let began = Instant::now();
        let mut state = self.0.state();
        loop {
            let text = String::from_utf8_lossy(&state.bytes).into_owned();
            if let Some(found) = find(&text, state.ended) {
                return found;
            }
            // A program that draws again and again must not be waited for without an end.
            let left = HANG.saturating_sub(began.elapsed());
            let (next, _) = self.0.changed.wait_timeout(state, left).expect("no panic");
            assert!(!left.is_zero(), "waited for {what} in vain, after:\n{text}");
            state = next;
        }
    }
}
