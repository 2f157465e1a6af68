//! Page tokens: opaque texts that say where a list goes on.
//!
//! A token names the place where the page before ended, bound by a digest to the method, filter and order that made it. It is no secret:
//! the digest tells mistakes and damage apart from tokens, and somebody who forges one sees nothing that a list would not show.

use sha2::{Digest, Sha256};

use crate::domain::clock::Timestamp;
use crate::domain::error::{Error, Result};
use crate::domain::notification::filter::{Filter, Order, PageKey, Selection};
use crate::domain::observation::store::{ObservationFilter, PageKey as StartKey, TraceFilter};
use crate::domain::word::Vocabulary;

/// The form of the tokens. A later form gets another number, so that a token of an older daemon is refused and not misread.
const VERSION: u8 = 1;
const DIGEST_BYTES: usize = 12;
/// Version, rank, id, digest.
const TOKEN_BYTES: usize = 1 + 1 + 8 + DIGEST_BYTES;

/// What a token belongs to: one method with one filter and order.
#[derive(Debug, Clone)]
pub struct Scope(Sha256);

impl Scope {
    /// A list of notifications.
    #[must_use]
    pub fn notifications(filter: &Filter, order: Order) -> Self {
        let mut scope = Self::method("ListNotifications");
        scope.add(match order {
            Order::NewestFirst => "newest",
            Order::OldestFirst => "oldest",
            Order::MostUrgentFirst => "urgent",
        });
        scope.select(&filter.kinds);
        scope.select(&filter.priorities);
        scope.select(&filter.states);
        scope.add(&filter.agent);
        scope.add(&filter.session);
        scope.add(&filter.project);
        scope
    }

    /// The history of the notification `id`.
    #[must_use]
    pub fn history(id: i64) -> Self {
        let mut scope = Self::method("ListNotificationEvents");
        scope.0.update(id.to_be_bytes());
        scope
    }

    /// The list of consumers.
    #[must_use]
    pub fn consumers() -> Self {
        Self::method("ListConsumers")
    }

    /// What the consumer `name` has set aside.
    #[must_use]
    pub fn set_aside(name: &str) -> Self {
        let mut scope = Self::method("ListSetAsideEvents");
        scope.add(name);
        scope
    }

    /// A list of traces.
    #[must_use]
    pub fn traces(filter: &TraceFilter) -> Self {
        let mut scope = Self::method("ListTraces");
        scope.add(&filter.name);
        scope.add(&filter.session);
        scope.add(&filter.user);
        scope.add(&filter.environment);
        scope.add_time(filter.start);
        scope.add_time(filter.end);
        scope
    }

    /// A list of observations.
    #[must_use]
    pub fn observations(filter: &ObservationFilter) -> Self {
        let mut scope = Self::method("ListObservations");
        scope.add_words(&filter.kinds);
        scope.add_words(&filter.levels);
        for name in [
            &filter.model,
            &filter.provider,
            &filter.agent,
            &filter.project,
            &filter.session,
            &filter.user,
        ] {
            scope.add(name);
        }
        scope.add(
            &filter
                .trace
                .as_ref()
                .map(ToString::to_string)
                .unwrap_or_default(),
        );
        scope.add_time(filter.start);
        scope.add_time(filter.end);
        scope
    }

    fn method(name: &str) -> Self {
        let mut scope = Self(Sha256::new());
        scope.add(name);
        scope
    }

    /// The length comes first: otherwise two texts could run into each other and look like two others.
    fn add(&mut self, text: &str) {
        self.0.update((text.len() as u64).to_be_bytes());
        self.0.update(text);
    }

    fn select<T: Vocabulary>(&mut self, selection: &Selection<T>) {
        self.0.update([u8::from(selection.others)]);
        self.add_words(&selection.values);
    }

    fn add_words<T: Vocabulary>(&mut self, words: &[T]) {
        self.0.update((words.len() as u64).to_be_bytes());
        for word in words {
            self.add(word.as_str());
        }
    }

    fn add_time(&mut self, time: Option<Timestamp>) {
        let micros = time.map(|time| time.as_micros().to_be_bytes());
        self.add(&micros.map(|bytes| to_hex(&bytes)).unwrap_or_default());
    }

    /// [`Scope::encode`] for lists in the order of a start: the key has a time of its own, by which the token is bound as well.
    #[must_use]
    pub fn encode_start(&self, key: Option<StartKey>) -> String {
        let Some(key) = key else {
            return String::new();
        };
        let start = PageKey {
            rank: 0,
            id: key.start,
        };
        let id = PageKey {
            rank: 0,
            id: key.id,
        };
        let start_token = self.encode(Some(start));
        // The second half is good only behind this first half.
        let mut bound = self.clone();
        bound.add(&start_token);
        format!("{start_token}{}", bound.encode(Some(id)))
    }

    /// The place that a token of [`Scope::encode_start`] names.
    ///
    /// # Errors
    ///
    /// As [`Scope::decode`].
    pub fn decode_start(&self, token: &str) -> Result<Option<StartKey>> {
        if token.is_empty() {
            return Ok(None);
        }
        let (start_token, id_token) = token
            .split_at_checked(2 * TOKEN_BYTES)
            .filter(|(_, rest)| !rest.is_empty())
            .unwrap_or((token, "none"));
        let mut bound = self.clone();
        bound.add(start_token);
        let start = self.decode(start_token)?;
        let id = bound.decode(id_token)?;
        Ok(start.zip(id).map(|(start, id)| StartKey {
            start: start.id,
            id: id.id,
        }))
    }

    /// The first bytes of a token: all but its digest, and the digest.
    fn bytes(&self, version: u8, key: PageKey) -> [u8; TOKEN_BYTES] {
        let mut bytes = [0; TOKEN_BYTES];
        let (body, digest) = bytes.split_at_mut(TOKEN_BYTES - DIGEST_BYTES);
        body[0] = version;
        body[1] = key.rank;
        body[2..].copy_from_slice(&key.id.to_be_bytes());
        let sum = self.0.clone().chain_update(&*body).finalize();
        digest.copy_from_slice(&sum[..DIGEST_BYTES]);
        bytes
    }

    /// The token for the page after `key`; `None` after the last page, which is the empty text.
    #[must_use]
    pub fn encode(&self, key: Option<PageKey>) -> String {
        key.map_or_else(String::new, |key| to_hex(&self.bytes(VERSION, key)))
    }

    /// The place that `token` names; `None` for the empty text, which means the first page.
    ///
    /// # Errors
    ///
    /// `InvalidField` for everything that [`Scope::encode`] has not made in this scope.
    pub fn decode(&self, token: &str) -> Result<Option<PageKey>> {
        if token.is_empty() {
            return Ok(None);
        }
        self.parse(token).map(Some).ok_or_else(|| {
            Error::invalid(
                "page_token",
                "must be the next_page_token of a page of this method with the same filter and order",
            )
        })
    }

    fn parse(&self, token: &str) -> Option<PageKey> {
        let bytes = from_hex(token)?;
        let (id, _) = bytes[2..].split_first_chunk()?;
        let key = PageKey {
            rank: bytes[1],
            id: i64::from_be_bytes(*id),
        };
        (bytes == self.bytes(VERSION, key)).then_some(key)
    }
}

fn to_hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .filter_map(|digit| char::from_digit(u32::from(digit), 16))
        .collect()
}

fn from_hex(text: &str) -> Option<[u8; TOKEN_BYTES]> {
    if text.len() != 2 * TOKEN_BYTES {
        return None;
    }
    let mut bytes = [0; TOKEN_BYTES];
    for (byte, digits) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        *byte = hex_digit(digits[0])? << 4 | hex_digit(digits[1])?;
    }
    Some(bytes)
}

/// Only the lower case that [`to_hex`] writes: one place has one token.
fn hex_digit(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::notification::{NotificationType, State};

    fn scope() -> Scope {
        Scope::notifications(&Filter::default(), Order::NewestFirst)
    }

    fn key(rank: u8, id: i64) -> PageKey {
        PageKey { rank, id }
    }

    #[test]
    fn a_token_leads_back_to_its_place() {
        for place in [key(0, 0), key(0, -1), key(4, i64::MAX), key(255, i64::MIN)] {
            let token = scope().encode(Some(place));
            assert!(token.bytes().all(|byte| byte.is_ascii_alphanumeric()));
            assert_eq!(scope().decode(&token).expect("its own token"), Some(place));
        }
        assert_eq!(scope().encode(None), "");
        assert_eq!(scope().decode("").expect("the first page"), None);
    }

    #[test]
    fn a_token_is_good_for_its_own_method_filter_and_order_only() {
        let agent = |agent: &str, session: &str| Filter {
            agent: agent.to_owned(),
            session: session.to_owned(),
            ..Filter::default()
        };
        let states = |values: &[State], others| Filter {
            states: Selection {
                values: values.to_vec(),
                others,
            },
            ..Filter::default()
        };
        let kinds = Filter {
            kinds: Selection {
                values: vec![NotificationType::Info],
                others: false,
            },
            ..Filter::default()
        };
        let newest = |filter: &Filter| Scope::notifications(filter, Order::NewestFirst);
        let scopes = [
            scope(),
            Scope::notifications(&Filter::default(), Order::OldestFirst),
            Scope::notifications(&Filter::default(), Order::MostUrgentFirst),
            newest(&agent("ab", "")),
            newest(&agent("a", "b")),
            newest(&agent("", "ab")),
            newest(&states(&[State::Pending], false)),
            newest(&states(&[State::Pending], true)),
            newest(&states(&[State::Pending, State::Read], false)),
            newest(&kinds),
            Scope::history(1),
            Scope::history(2),
            Scope::consumers(),
            Scope::set_aside("a"),
            Scope::set_aside("b"),
        ];
        for (made, maker) in scopes.iter().enumerate() {
            let token = maker.encode(Some(key(0, 7)));
            for (used, user) in scopes.iter().enumerate() {
                assert_eq!(
                    user.decode(&token).is_ok(),
                    made == used,
                    "{made} in {used}"
                );
            }
        }
    }

    #[test]
    fn a_token_with_a_start_leads_back_and_nothing_else_does() {
        let scope = Scope::traces(&TraceFilter::default());
        let other = Scope::observations(&ObservationFilter::default());
        let place = |start, id| StartKey { start, id };
        let token = scope.encode_start(Some(place(i64::MIN, 7)));
        assert_eq!(
            scope.decode_start(&token).expect("its own"),
            Some(place(i64::MIN, 7))
        );
        assert_eq!(scope.decode_start("").expect("the first page"), None);
        let another = scope.encode_start(Some(place(5, 9)));
        let half = token.len() / 2;
        let mixed = format!("{}{}", &token[..half], &another[half..]);
        for wrong in [&token[..half], &token[half..], &mixed, "é", &token[1..]] {
            assert!(scope.decode_start(wrong).is_err(), "{wrong}");
        }
        assert!(other.decode_start(&token).is_err());
        let narrow = TraceFilter {
            start: Some(Timestamp::MIN),
            ..TraceFilter::default()
        };
        assert!(Scope::traces(&narrow).decode_start(&token).is_err());
    }

    #[test]
    fn whatever_else_is_given_is_refused() {
        let token = scope().encode(Some(key(3, 123_456)));
        let refused = |text: &str| matches!(scope().decode(text), Err(Error::InvalidField { field, .. }) if field == "page_token");
        for end in 1..token.len() {
            assert!(refused(&token[..end]), "cut at {end}");
        }
        for at in 0..token.len() {
            for digit in ["0", "7", "f", "g", "A", " "] {
                let mut changed = token.clone();
                changed.replace_range(at..=at, digit);
                assert!(changed == token || refused(&changed), "{digit:?} at {at}");
            }
        }
        assert!(refused(&token.to_uppercase()));
        assert!(refused(&format!("{token}0")));
        assert!(refused(&"é".repeat(TOKEN_BYTES)));
        assert!(refused(&"\0".repeat(2 * TOKEN_BYTES)));
        assert!(refused(&to_hex(&scope().bytes(VERSION + 1, key(3, 1)))));
    }
}
