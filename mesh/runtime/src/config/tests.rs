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
        ("--discovery", "payments=dns:payments"),
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
fn discovery_lists_the_endpoints_of_each_service() {
    let targets =
        parse_discovery("payments=static:127.0.0.1:1,127.0.0.1:2; catalog=static:[::1]:3;");

    assert_eq!(
        targets.unwrap(),
        [
            Target {
                service: "payments".to_owned(),
                endpoints: vec!["127.0.0.1:1".parse().unwrap(), "127.0.0.1:2".parse().unwrap()],
            },
            Target { service: "catalog".to_owned(), endpoints: vec!["[::1]:3".parse().unwrap()] },
        ]
    );
}

#[test]
fn durations_have_units() {
    assert_eq!(parse::duration("250ms").unwrap(), Duration::from_millis(250));
    assert_eq!(parse::duration("5").unwrap(), Duration::from_secs(5));
    assert_eq!(parse::duration("2m").unwrap(), Duration::from_secs(120));
}
