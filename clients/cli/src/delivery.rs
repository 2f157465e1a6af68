//! Running a command for a change until it succeeds, or often enough.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Duration;

use barista_client::ConsumerWatch;
use barista_client::pb::notification::v1::NotificationEvent;
use clap::Args;
use tokio::time::sleep;

use crate::app::App;
use crate::cmd::watch;
use crate::failure::Result;
use crate::hook::Hook;
use crate::{input, span};

/// The longest pause between two attempts.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// How often a command is tried.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct RetryArgs {
    /// How often a command that fails is run again before its change is set aside
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u16).range(..=1000), requires = "exec", requires = "consumer")]
    retries: u16,
    /// How long to wait at least before the first repetition; it doubles with each one, up to a minute, and up to half of it is added at random
    #[arg(long, value_name = "SPAN", default_value = "1s", allow_hyphen_values = true, value_parser = input::limit, requires = "exec", requires = "consumer")]
    retry_pause: Duration,
}

/// What became of a change.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The command succeeded.
    Done,
    /// It failed every time.
    GivenUp {
        /// How often it was run.
        attempts: i32,
        /// Why it failed the last time.
        why: String,
    },
    /// The consumer was reset meanwhile: the watch begins anew, and the change comes again where that is wanted.
    Overtaken,
}

/// A command that is run for the changes of a consumer, one after the other.
#[derive(Debug)]
pub(crate) struct Delivery {
    /// What to run.
    pub(crate) hook: Hook,
    /// For whom.
    pub(crate) consumer: String,
    /// How often.
    pub(crate) retry: RetryArgs,
}

impl Delivery {
    /// Runs the command for `event`, and again while it fails, after pauses that grow, as long as the change is this watch's business: for
    /// somebody who has taken the consumer over, the same command may have succeeded meanwhile.
    pub(crate) async fn deliver(
        &self,
        app: &App,
        stream: &mut ConsumerWatch,
        event: &NotificationEvent,
    ) -> Result<Outcome> {
        let attempts = i32::from(self.retry.retries) + 1;
        for attempt in 1.. {
            let variables = vec![
                ("BARISTA_CONSUMER", self.consumer.clone()),
                ("BARISTA_ATTEMPT", attempt.to_string()),
            ];
            let Err(why) = self.hook.run(event, variables).await? else {
                break;
            };
            if attempt == attempts {
                return Ok(Outcome::GivenUp { attempts, why });
            }
            let random = RandomState::new().build_hasher().finish();
            let pause = self.retry.pause(attempt, random);
            app.output.complain(&format!(
                "barista: the command for change {} failed (attempt {attempt} of {attempts}): {why}; trying again in {}",
                event.sequence,
                span::long(pause)
            ));
            sleep(pause).await;
            let is_current = stream.is_current().await;
            if !is_current.map_err(|error| watch::failure(&error))? {
                return Ok(Outcome::Overtaken);
            }
        }
        Ok(Outcome::Done)
    }
}

impl RetryArgs {
    /// The pause after the attempt with this number: what was asked for, and up to half of it more at random, so that many watchers whose
    /// common target is down do not return in step.
    fn pause(&self, attempt: i32, random: u64) -> Duration {
        let doublings = u32::try_from(attempt - 1).unwrap_or(0).min(31);
        let whole = self
            .retry_pause
            .saturating_mul(1 << doublings)
            .min(LONGEST_PAUSE.max(self.retry_pause));
        let share =
            f64::from(u32::try_from(random >> 32).unwrap_or(u32::MAX)) / f64::from(u32::MAX);
        whole.mul_f64(1.0 + share / 2.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_minute() {
        let retry = |seconds| RetryArgs {
            retries: 5,
            retry_pause: Duration::from_secs(seconds),
        };
        let pauses = |retry: RetryArgs, random| -> Vec<u64> {
            [1, 2, 3, 6, 7, 100]
                .map(|attempt| retry.pause(attempt, random).as_secs())
                .to_vec()
        };
        assert_eq!(pauses(retry(1), 0), [1, 2, 4, 32, 60, 60]);
        assert_eq!(pauses(retry(2), u64::MAX), [3, 6, 12, 90, 90, 90]);
        assert_eq!(pauses(retry(0), u64::MAX), [0; 6]);
        assert_eq!(pauses(retry(90), 0), [90; 6], "as it was asked for");
    }
}
