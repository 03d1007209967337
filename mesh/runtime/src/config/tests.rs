//! What is accepted and what is refused.

use clap::Parser as _;

use super::*;

#[derive(Debug, clap::Parser)]
struct Config {
    #[command(flatten)]
    service: ServiceConfig,
}

#[test]
fn the_defaults_are_the_flags_defaults() {
    let parsed = Config::try_parse_from(["service"]).unwrap().service;

    assert_eq!(format!("{parsed:?}"), format!("{:?}", ServiceConfig::default()));
}

#[test]
fn a_secret_is_not_printed() {
    let args = ["service", "--database-url", "postgres://u:hunter2@h/d"];

    let config = Config::try_parse_from(args).unwrap();

    assert!(!format!("{config:?}").contains("hunter2"));
    assert_eq!(config.service.database_url.unwrap().expose(), "postgres://u:hunter2@h/d");
}

#[test]
fn bad_settings_are_refused() {
    for (flag, value) in [
        ("--listen-addr", "localhost"),
        ("--database-pool", "0"),
        ("--discovery", "payments"),
        ("--discovery", "payments=dns:"),
        ("--discovery", "payments=consul:payments"),
        ("--discovery", "payments=static:"),
        ("--discovery", "a=static:127.0.0.1:1;a=static:127.0.0.1:2"),
        ("--otlp-endpoint", "collector:4317"),
        ("--trace-ratio", "2"),
        ("--log-format", "xml"),
        ("--log-level", "a=b=c"),
        ("--worker-threads", "0"),
        ("--drain", "5 parsecs"),
        ("--drain", "-1s"),
    ] {
        assert!(Config::try_parse_from(["service", flag, value]).is_err(), "{flag} {value}");
    }
}

#[test]
fn discovery_says_where_each_service_is_found() {
    let text = "payments=static:127.0.0.1:1,127.0.0.1:2; catalog=dns:catalog.shop;
                orders=mesh:orders.shop:50051;shipping=file:/run/shipping;";

    let targets = parse_discovery(text).unwrap();

    let found: Vec<_> =
        targets.iter().map(|target| format!("{}={}", target.service, target.source)).collect();
    assert_eq!(
        found,
        [
            "payments=static:127.0.0.1:1,127.0.0.1:2",
            "catalog=dns:catalog.shop",
            "orders=mesh:orders.shop:50051",
            "shipping=file:/run/shipping",
        ]
    );
}

#[test]
fn a_source_that_cannot_be_read_is_named_with_its_service() {
    let error = parse_discovery("payments=dns:pay ments").unwrap_err();

    assert_eq!(error.to_string(), "discovery of `payments`: `pay ments` is no name in DNS");
}

#[test]
fn durations_have_units() {
    assert_eq!(parse::duration("250ms").unwrap(), Duration::from_millis(250));
    assert_eq!(parse::duration("5").unwrap(), Duration::from_secs(5));
    assert_eq!(parse::duration("2m").unwrap(), Duration::from_secs(120));
}
