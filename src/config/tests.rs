//! What is read from where, and what is refused.

use std::path::Path;
use std::time::Duration;

use super::*;
use crate::store::database::Pooler;

fn environment(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

fn load(
    flags: &[(&'static str, &str)],
    variables: &[(&str, &str)],
    file: Option<&str>,
) -> Result<Config, ConfigError> {
    let flags = flags
        .iter()
        .map(|(key, value)| (*key, (*value).to_owned()))
        .collect();
    let path = file.map(|text| {
        let path =
            std::env::temp_dir().join(format!("regcred-config-{}.toml", uuid::Uuid::now_v7()));
        std::fs::write(&path, text).expect("the temporary directory is writable");
        path
    });
    let config = Config::load(
        flags,
        (environment(variables).into_iter(), Unknown::Refuse),
        path.as_deref(),
    );
    if let Some(path) = path {
        std::fs::remove_file(path).expect("the file is there");
    }
    config
}

#[test]
fn flags_stand_over_the_environment_and_that_over_the_file() {
    let file = Some("listen = \"127.0.0.1:1\"\nlog = \"debug\"\nkey_file = \"a\"");
    let config = load(
        &[("listen", "127.0.0.1:3")],
        &[("REGCRED_LISTEN", "127.0.0.1:2"), ("REGCRED_LOG", "warn")],
        file,
    )
    .expect("a valid configuration");
    assert_eq!(config.listen.port(), 3);
    assert_eq!(config.log, "warn");
    assert_eq!(config.key_file.as_deref(), Some(Path::new("a")));
}

#[test]
fn unknown_names_are_named() {
    let error = load(&[], &[("REGCRED_LISTN", "x")], None).expect_err("misspelt");
    assert!(error.to_string().contains("REGCRED_LISTN"));
    let error = load(&[], &[], Some("listn = \"x\"")).expect_err("misspelt");
    assert!(error.to_string().contains("`listn`"), "{error}");
}

#[test]
fn bad_values_name_their_setting_and_are_not_shown() {
    for (variable, value) in [
        ("REGCRED_LISTEN", "hunter2"),
        ("REGCRED_DATABASE_POOLER", "hunter2"),
        ("REGCRED_METRICS_LISTEN", "hunter2"),
        ("REGCRED_LOG_FORMAT", "hunter2"),
        ("REGCRED_ALLOW_NETWORKS", "10.0.0.0/8,hunter2"),
        ("REGCRED_TLS_CERT", "hunter2"),
        ("REGCRED_EGRESS_PORTS", "443,hunter2"),
        ("REGCRED_LIMIT_FAILURES", "hunter2"),
        ("REGCRED_LIMIT_REQUESTS", "-1 hunter2"),
        ("REGCRED_TRUSTED_PROXIES", "10.0.0.1,hunter2"),
        ("REGCRED_AUDIT_RETENTION", "hunter2"),
        ("REGCRED_PUBLIC_URL", "hunter2"),
        ("REGCRED_PUBLIC_URL", "https://u:hunter2@example.com"),
        ("REGCRED_PUBLIC_URL", "ftp://hunter2"),
        ("REGCRED_VERIFY_INTERVAL", "hunter2"),
        ("REGCRED_WEBHOOK_URL", "hunter2"),
        ("REGCRED_WEBHOOK_URL", "https://hunter2.example/"),
        ("REGCRED_WEBHOOK_SECRET_FILE", "hunter2"),
    ] {
        let error = load(&[], &[(variable, value)], None)
            .expect_err(variable)
            .to_string();
        assert!(
            error.contains("REGCRED_") && !error.contains("hunter2"),
            "{error}"
        );
    }
    let error = load(
        &[],
        &[],
        Some("database_url = \"postgres://u:hunter2@h/d\nx"),
    )
    .expect_err("not TOML");
    assert!(!error.to_string().contains("hunter2"), "{error}");
}

#[test]
fn the_configuration_prints_without_the_password() {
    let config = load(&[], &[("DATABASE_URL", "postgres://u:hunter2@h/d")], None).expect("valid");
    assert!(!format!("{config:?}").contains("hunter2"));
}

#[test]
fn a_pooler_is_none_unless_it_is_said() {
    let pooler =
        |pairs: &[(&str, &str)]| load(&[], pairs, None).map(|config| config.database_pooler);
    assert_eq!(pooler(&[]), Ok(Pooler::None));
    for (text, meant) in [("none", Pooler::None), ("transaction", Pooler::Transaction)] {
        assert_eq!(pooler(&[("REGCRED_DATABASE_POOLER", text)]), Ok(meant));
    }
}

#[test]
fn retention_is_a_number_of_days_or_hours() {
    let retention = |text| load(&[], &[("REGCRED_AUDIT_RETENTION", text)], None);
    for (text, hours) in [("365d", 365 * 24), ("1d", 24), ("12h", 12)] {
        let config = retention(text).expect("valid");
        assert_eq!(config.audit_retention, Some(time::Duration::hours(hours)));
    }
    for text in [
        "0d",
        "d",
        "1",
        "1m",
        "-1d",
        "1.5d",
        "99999999d",
        "1 d",
        "1dé",
    ] {
        assert!(retention(text).is_err(), "{text:?}");
    }
    assert_eq!(load(&[], &[], None).expect("valid").audit_retention, None);
}

#[test]
fn trusted_proxies_are_networks_or_addresses() {
    let file = Some("trusted_proxies = [\"10.0.0.0/8\", \"2001:db8::1\"]");
    let config = load(&[], &[], file).expect("valid");
    let shown: Vec<String> = config
        .trusted_proxies
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(shown, ["10.0.0.0/8", "2001:db8::1/128"]);
}

#[test]
fn intervals_have_units_and_can_be_off() {
    let interval = |text: &str| {
        load(&[], &[("REGCRED_VERIFY_INTERVAL", text)], None).map(|config| config.verify_interval)
    };
    let every = |seconds| Ok(Some(Interval::Every(Duration::from_secs(seconds))));
    assert_eq!(interval("24h"), every(86_400));
    assert_eq!(interval("90m"), every(5_400));
    assert_eq!(interval("7d"), every(604_800));
    assert_eq!(interval("30"), every(30));
    assert_eq!(interval("30s"), every(30));
    for off in ["0", "off"] {
        assert_eq!(interval(off), Ok(Some(Interval::Off)), "{off}");
    }
    assert_eq!(interval(""), Ok(None));
    for bad in [
        "h",
        "-1h",
        "1.5h",
        "1 h",
        "1y",
        "400d",
        "99999999999999999999s",
        "0h",
        "ä",
    ] {
        assert!(interval(bad).is_err(), "{bad}");
    }
}

#[test]
fn what_kubernetes_sets_for_a_service_does_not_hurt() {
    for (name, value) in [
        ("REGCRED_SERVICE_HOST", "10.0.0.1"),
        ("REGCRED_SERVICE_PORT", "8080"),
        ("REGCRED_SERVICE_PORT_HTTPS", "8080"),
        ("REGCRED_PORT", "tcp://10.0.0.1:8080"),
        ("REGCRED_PORT_8080_TCP", "tcp://10.0.0.1:8080"),
        ("REGCRED_PORT_8080_TCP_PROTO", "tcp"),
        ("REGCRED_PORT_8080_TCP_PORT", "8080"),
        ("REGCRED_PORT_8080_TCP_ADDR", "10.0.0.1"),
        ("REGCRED_METRICS_SERVICE_HOST", "10.0.0.1"),
        ("REGCRED_METRICS_SERVICE_PORT", "9090"),
        ("REGCRED_METRICS_PORT", "tcp://10.0.0.1:9090"),
        ("REGCRED_METRICS_PORT_9090_UDP_ADDR", "10.0.0.1"),
    ] {
        assert!(load(&[], &[(name, value)], None).is_ok(), "{name}");
    }
    for (name, value) in [
        ("REGCRED_LISTEN_PORT", "8080"),
        ("REGCRED_PORTS", "tcp://10.0.0.1:8080"),
        ("REGCRED_PORT_X_TCP", "tcp://10.0.0.1:8080"),
        ("REGCRED_SERVICE", "x"),
    ] {
        assert!(load(&[], &[(name, value)], None).is_err(), "{name}");
    }
}

#[test]
fn commands_of_clients_pass_over_what_they_do_not_know() {
    let variables = environment(&[("REGCRED_ID_TOKEN", "x"), ("REGCRED_LOG", "warn")]);
    let sources = (variables.into_iter(), Unknown::PassOver);
    let config = Config::load(Texts::new(), sources, None).expect("valid");
    assert_eq!(config.log, "warn");
}

#[test]
fn variables_of_the_client_commands_do_not_hurt() {
    assert!(load(&[], &[("REGCRED_URL", "http://localhost")], None).is_ok());
}
