use super::rate::Rates;
use super::*;

/// The golden call: 130,213 input tokens, of which most were cached.
const GOLDEN: Tokens = Tokens {
    input: 5,
    cache_read: 128_955,
    cache_write_5m: 1_253,
    cache_write_1h: 0,
    audio_input: 0,
    output: 0,
    reasoning: 0,
    audio_output: 0,
};
const MILLION_IN: Tokens = Tokens {
    input: 1_000_000,
    cache_read: 0,
    cache_write_5m: 0,
    cache_write_1h: 0,
    audio_input: 0,
    output: 0,
    reasoning: 0,
    audio_output: 0,
};

fn at(text: &str) -> Timestamp {
    let time: jiff::Timestamp = text.parse().expect("a time");
    Timestamp::from_micros(time.as_microsecond()).expect("a time")
}

fn call<'a>(model: &'a str, provider: Option<&'a str>, tokens: Tokens) -> Call<'a> {
    Call {
        model,
        provider,
        time: at("2026-06-01T12:00:00Z"),
        tokens,
        properties: &[],
    }
}

fn own(model: &str, provider: Option<&str>, from: Option<&str>, input: &str) -> OwnPrice {
    OwnPrice {
        provider: provider.map(ToOwned::to_owned),
        model: model.to_owned(),
        from: from.map(|date| date.parse().expect("a date")),
        dollars_per_million: vec![(Unit::Input, input.to_owned())],
    }
}

fn with(prices: &[OwnPrice]) -> Prices {
    let table = Table::of("own 1", prices).expect("a table");
    Prices::new(vec![Arc::new(table)])
}

#[test]
fn the_embedded_table_is_well_formed() {
    let table = Table::parse(EMBEDDED_TEXT).expect("a table");
    assert!(table.models() > 2_000, "{}", table.models());
    assert!(table.version().starts_with("genai-prices "));
    assert_eq!(*EMBEDDED, Arc::new(table));
}

#[test]
fn the_embedded_table_is_of_the_version_that_the_tests_compare_it_with() {
    let requirements = include_str!("../../../tests/requirements.txt");
    let pinned = EMBEDDED.version().replace(' ', "==");
    assert!(
        requirements.lines().any(|line| line.starts_with(&pinned)),
        "{pinned} is not in tests/requirements.txt"
    );
}

#[test]
fn cached_tokens_are_counted_once() {
    let priced = Prices::default().price(&call("claude-sonnet-4-5", Some("anthropic"), GOLDEN));
    let priced = priced.expect("a price");
    assert_eq!(priced.amount.total.0, 43_400_250, "$0.0434");
    assert_eq!(priced.table, EMBEDDED.version());
    assert!(priced.rule.starts_with("anthropic/claude-sonnet-4-5"));
    // What it would be if the cached tokens, which the emitter has counted as input, were counted again.
    let twice = Tokens {
        input: 5 + 128_955 + 1_253,
        ..GOLDEN
    };
    let base = Rates::parse("i3 r0.3 w3.75 h6 o15").and_then(|rates| rates.sum(&twice));
    assert_eq!(
        base.map(|sum| sum.amount.total.0),
        Some(434_024_250),
        "$0.434"
    );
}

#[test]
fn what_is_not_known_is_not_guessed() {
    let prices = Prices::default();
    for (model, provider) in [
        ("no-such-model", None),
        ("claude-sonnet-4-5", Some("no-such-provider")),
        ("gpt-5", Some("anthropic")),
        ("", None),
        ("", Some("")),
    ] {
        let priced = prices.price(&call(model, provider, GOLDEN));
        assert_eq!(priced, Err(Unknown::Model), "{model} {provider:?}");
    }
    let by_the_hour = prices.price(&call("whisper-large-v3", Some("groq"), GOLDEN));
    assert_eq!(by_the_hour, Err(Unknown::Units));
}

#[test]
fn a_model_alone_means_its_own_provider_and_a_proxy_names_it_before_the_model() {
    let prices = Prices::default();
    let rule = |model, provider| {
        let priced = prices.price(&call(model, provider, GOLDEN));
        priced.map(|priced| priced.rule.split(' ').next().unwrap_or_default().to_owned())
    };
    assert_eq!(
        rule("Claude-Sonnet-4-5", None),
        Ok("anthropic/claude-sonnet-4-5".to_owned())
    );
    let proxied = rule("anthropic/claude-sonnet-4-5", Some("LiteLLM"));
    assert_eq!(proxied, Ok("anthropic/claude-sonnet-4-5".to_owned()));
    // A provider that sells another one's models.
    let sold = rule("claude-sonnet-4-5", Some("azure"));
    assert_eq!(sold, Ok("anthropic/claude-sonnet-4-5".to_owned()));
}

#[test]
fn a_price_of_ones_own_lies_above_the_table() {
    let prices = with(&[
        own("gpt-5", Some("openai"), None, "100"),
        own("My-*", None, None, "7"),
    ]);
    let cost = |model, provider| {
        let priced = prices.price(&call(model, provider, MILLION_IN));
        priced.map(|priced| (priced.amount.total.0, priced.table, priced.rule))
    };
    let expected = |dollars: i64, rule: &str| {
        Ok((dollars * 1_000_000_000, "own 1".to_owned(), rule.to_owned()))
    };
    assert_eq!(cost("gpt-5", Some("openai")), expected(100, "openai/gpt-5"));
    assert_eq!(cost("my-model", Some("anybody")), expected(7, "*/my-*"));
    assert_eq!(cost("my-model", None), expected(7, "*/my-*"));
    let embedded = cost("gpt-5-mini", Some("openai")).expect("a price");
    assert!(embedded.1.starts_with("genai-prices"), "{embedded:?}");
}

#[test]
fn a_price_of_ones_own_has_a_history() {
    let prices = with(&[
        own("m", None, Some("2026-03-01"), "3"),
        own("m", None, None, "1"),
        own("m", None, Some("2026-02-01"), "2"),
    ]);
    for (time, dollars) in [
        ("2020-01-01T00:00:00Z", 1),
        ("2026-01-31T23:59:59.999999Z", 1),
        ("2026-02-01T00:00:00Z", 2),
        ("2026-03-01T00:00:00Z", 3),
    ] {
        let call = Call {
            time: at(time),
            ..call("m", None, MILLION_IN)
        };
        let priced = prices.price(&call).expect("a price");
        assert_eq!(priced.amount.total.0, dollars * 1_000_000_000, "{time}");
    }
}

#[test]
fn what_is_no_price_of_ones_own_is_refused() {
    let refused = |price: OwnPrice| Table::of("own", &[own("m", None, None, "1"), price]);
    let no_amount = Err(OwnPriceError::NoAmount { index: 1 });
    assert_eq!(refused(own("m", None, None, "-1")), no_amount);
    let nothing = OwnPrice {
        dollars_per_million: Vec::new(),
        ..own("m", None, None, "1")
    };
    assert_eq!(refused(nothing), no_amount);
    let all = own(" *", None, None, "1");
    assert_eq!(refused(all), Err(OwnPriceError::NoModel { index: 1 }));
}

#[test]
fn a_property_of_the_call_changes_the_price() {
    let prices = Prices::default();
    let cost = |properties| {
        let call = Call {
            time: at("2026-12-01T00:00:00Z"),
            properties,
            ..call("claude-haiku-4-5", Some("anthropic"), MILLION_IN)
        };
        prices.price(&call).expect("a price")
    };
    let usual = cost(&[]);
    let batch = cost(&[("speed", "odd"), ("processing", "batch")]);
    assert_eq!(usual.amount.total.0, 2 * batch.amount.total.0);
    assert_eq!(batch.rule, format!("{} processing=batch", usual.rule));
}

#[test]
fn made_up_names_do_not_take_memory_without_end() {
    let prices = Prices::default();
    for number in 0..3 * MAX_REMEMBERED {
        let model = format!("made-up-{number}");
        assert_eq!(
            prices.price(&call(&model, None, GOLDEN)),
            Err(Unknown::Model)
        );
    }
    let remembered = prices.remembered.lock().expect("a lock");
    assert!(remembered.len() <= MAX_REMEMBERED);
}
