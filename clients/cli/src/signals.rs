//! Ctrl-C and SIGTERM while a command waits.

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::exit::Exit;
use crate::failure::{Failure, Result};

/// Hears the signals that end a command. From its creation on they no longer end the process by themselves.
#[derive(Debug)]
pub(crate) struct Stop {
    interrupt: Signal,
    terminate: Signal,
}

impl Stop {
    /// Starts listening. Needs a runtime.
    pub(crate) fn listen() -> Result<Self> {
        let listen =
            |kind| signal(kind).map_err(|error| Failure::io("cannot listen for signals", &error));
        Ok(Self {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
        })
    }

    /// Waits for the next signal, and says how the program ends because of it.
    pub(crate) async fn signal(&mut self) -> Exit {
        tokio::select! {
            _ = self.interrupt.recv() => Exit::Interrupted,
            _ = self.terminate.recv() => Exit::Terminated,
        }
    }
}

/// Hears when the terminal's window gets another size.
pub(crate) fn resized() -> Result<Signal> {
    signal(SignalKind::window_change())
        .map_err(|error| Failure::io("cannot listen for signals", &error))
}
