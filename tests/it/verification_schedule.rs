//! Verifications by themselves: who tries what when, and who is told.

use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::hmac;
use regcred::broker::schedule::Schedule;
use regcred::broker::webhook::Webhook;
use regcred::broker::{Broker, Result};
use regcred::http::metrics::Metrics;
use regcred::http::{App, router};
use regcred::jobs::verification::{self, count_states, try_all};
use serde_json::{Value, json};
use tokio::sync::watch;
use url::Url;

use crate::support::egress::{Names, way_out};
use crate::support::fake::Fake;
use crate::support::files::Directory;
use crate::support::process::{Running, admin_of, eventually, program};
use crate::support::registries::{Log, Receiver, Registry, basic};
use crate::support::{Client, Regcred, password};

const HOUR: i64 = 3600;
const DAY: i64 = 24 * HOUR;

/// Puts everything on the schedule that is not yet.
async fn enrol(broker: &Broker) -> Result<()> {
    while broker.enrol_credentials().await? > 0 {}
    Ok(())
}

/// Everything that is due now, one thing after the other.
async fn round(
    broker: &Broker,
    metrics: &Arc<Metrics>,
    stop: &watch::Receiver<bool>,
) -> Result<()> {
    while broker.warn_of_ends().await? > 0 {}
    try_all(broker, metrics, stop).await?;
    while broker.send_announcements().await? > 0 {}
    count_states(broker, metrics).await
}

/// A regcred that tries each credential once a day, without jitter, and whose jobs the test runs.
struct Scheduled {
    regcred: Regcred,
    owner: Client,
    broker: Broker,
    registry: Fake,
    log: Log,
}

impl Scheduled {
    async fn start(interval: Option<Duration>, webhook: Option<Webhook>) -> Self {
        let registry = Registry {
            accepts: (0..20)
                .map(|number| basic(&format!("dev-{number}"), "s3cret"))
                .collect(),
            challenges: vec!["Basic realm=\"x\"".into()],
            ..Registry::default()
        };
        let log = registry.log.clone();
        let registry = Fake::http(registry.router()).await;
        let names = ["one.test", "two.test"]
            .iter()
            .fold(Names::default(), |names, name| {
                names.with(name, &["127.0.0.1"])
            });
        let out = way_out(&names, None, &["127.0.0.0/8"]);
        let schedule = Schedule {
            interval,
            jitter: Arc::new(|| 0.5),
        };
        let mut kept = None;
        let regcred = Regcred::start_with(|broker| {
            let broker = broker
                .with_egress(out)
                .with_schedule(schedule)
                .with_webhook(webhook);
            kept = Some(broker.clone());
            broker
        })
        .await;
        let owner = regcred.tenant("team-a").await;
        Self {
            regcred,
            owner,
            broker: kept.expect("it was made"),
            registry,
            log,
        }
    }

    async fn daily() -> Self {
        Self::start(Some(Duration::from_secs(24 * 60 * 60)), None).await
    }

    /// A credential of `dev-NUMBER` at a host.
    async fn put(&self, number: usize, host: &str, secret: &str) {
        let registry = format!("{host}:{}", self.registry.address.port());
        let body = password(&registry, &format!("dev-{number}"), secret);
        let path = format!("/v1/tenants/team-a/credentials/c-{number}");
        let reply = self.owner.put(&path, &body).await;
        assert!(reply.status.is_success(), "{}", reply.body());
    }

    /// What a replica does from time to time.
    async fn round(&self) {
        let (_stop, stopped) = watch::channel(false);
        enrol(&self.broker).await.expect("enrolled");
        round(&self.broker, &Arc::default(), &stopped)
            .await
            .expect("a round");
    }

    /// Everything that is stored now is due.
    async fn until_all_are_due(&self) {
        enrol(&self.broker).await.expect("enrolled");
        self.regcred.pass(DAY);
    }

    async fn state(&self, number: usize) -> String {
        let path = format!("/v1/tenants/team-a/credentials/c-{number}");
        let read = self.owner.get(&path).await.json();
        read["verification"]["state"]
            .as_str()
            .expect("a state")
            .to_owned()
    }

    async fn actions(&self) -> Vec<Value> {
        self.owner
            .get("/v1/tenants/team-a/audit-events")
            .await
            .items("action")
    }
}

#[tokio::test]
async fn each_credential_is_tried_once_in_its_interval() {
    let scheduled = Scheduled::daily().await;
    for number in 0..6 {
        scheduled.put(number, "one.test", "s3cret").await;
    }
    // Enrolled somewhere within the day that begins now.
    scheduled.round().await;
    assert!(scheduled.log.logins().is_empty());
    scheduled.regcred.pass(DAY);
    scheduled.round().await;
    assert_eq!(scheduled.log.logins().len(), 6);
    assert_eq!(scheduled.state(3).await, "accepted");
    scheduled.round().await;
    scheduled.regcred.pass(DAY - HOUR);
    scheduled.round().await;
    assert_eq!(scheduled.log.logins().len(), 6, "none twice in a day");
    scheduled.regcred.pass(HOUR);
    scheduled.round().await;
    assert_eq!(scheduled.log.logins().len(), 12);
}

#[tokio::test]
async fn replicas_share_the_work() {
    let scheduled = Scheduled::daily().await;
    for number in 0..12 {
        let host = if number % 2 == 0 {
            "one.test"
        } else {
            "two.test"
        };
        scheduled.put(number, host, "s3cret").await;
    }
    scheduled.until_all_are_due().await;
    tokio::join!(scheduled.round(), scheduled.round(), scheduled.round());
    // A replica that finds another claiming leaves it to that one.
    scheduled.round().await;
    let mut logins = scheduled.log.logins();
    assert_eq!(logins.len(), 12);
    logins.sort();
    logins.dedup();
    assert_eq!(logins.len(), 12, "no password twice");
}

#[tokio::test]
async fn no_more_than_two_are_tried_at_a_host_at_a_time() {
    let scheduled = Scheduled::daily().await;
    for number in 0..5 {
        scheduled.put(number, "one.test", "s3cret").await;
    }
    scheduled.put(5, "two.test", "s3cret").await;
    scheduled.until_all_are_due().await;
    let first = scheduled.broker.claim_due(100).await.expect("claimed");
    assert_eq!(first.len(), 3, "two at one host, one at the other");
    let second = scheduled.broker.claim_due(100).await.expect("claimed");
    assert!(second.is_empty());
    let mut tried = 0;
    for due in &first {
        scheduled.broker.try_due(due).await.expect("tried");
        tried += 1;
    }
    assert_eq!(tried, 3);
    let third = scheduled.broker.claim_due(1).await.expect("claimed");
    assert_eq!(third.len(), 1, "no more than asked for");
    let fourth = scheduled.broker.claim_due(100).await.expect("claimed");
    assert_eq!(fourth.len(), 1, "the other place at the host");
}

#[tokio::test]
async fn what_a_dead_replica_had_claimed_is_tried_by_another() {
    let scheduled = Scheduled::daily().await;
    scheduled.put(0, "one.test", "s3cret").await;
    scheduled.until_all_are_due().await;
    let claimed = scheduled.broker.claim_due(8).await.expect("claimed");
    assert_eq!(claimed.len(), 1);
    drop(claimed);
    scheduled.round().await;
    assert!(
        scheduled.log.logins().is_empty(),
        "another may still be at it"
    );
    scheduled.regcred.pass(121);
    scheduled.round().await;
    assert_eq!(scheduled.log.logins().len(), 1);
    assert_eq!(scheduled.state(0).await, "accepted");
}

#[tokio::test]
async fn without_an_interval_nothing_is_tried() {
    let scheduled = Scheduled::start(None, None).await;
    scheduled.put(0, "one.test", "s3cret").await;
    scheduled.round().await;
    scheduled.regcred.pass(10 * DAY);
    scheduled.round().await;
    assert!(scheduled.log.all().is_empty());
    assert_eq!(scheduled.state(0).await, "unverified");
}

#[tokio::test]
async fn rejected_ones_are_tried_less_and_less_until_their_secret_changes() {
    let scheduled = Scheduled::daily().await;
    scheduled.put(0, "one.test", "wrong").await;
    scheduled
        .broker
        .enrol_credentials()
        .await
        .expect("enrolled");
    let mut tries = Vec::new();
    for day in 1..=15 {
        scheduled.regcred.pass(DAY);
        scheduled.round().await;
        if scheduled.log.logins().len() > tries.len() {
            tries.push(day);
        }
    }
    assert_eq!(tries, [1, 3, 7, 15]);
    assert_eq!(scheduled.state(0).await, "rejected");
    scheduled.put(0, "one.test", "s3cret").await;
    scheduled.round().await;
    scheduled.regcred.pass(DAY);
    scheduled.round().await;
    assert_eq!(scheduled.state(0).await, "accepted");
    assert_eq!(scheduled.log.logins().len(), 5);
}

#[tokio::test]
async fn what_does_not_answer_is_tried_again_within_the_hour() {
    let scheduled = Scheduled::daily().await;
    scheduled.put(0, "gone.test", "s3cret").await;
    scheduled.until_all_are_due().await;
    scheduled.round().await;
    assert_eq!(scheduled.state(0).await, "unreachable");
    let claim = || async { scheduled.broker.claim_due(8).await.expect("claimed").len() };
    assert_eq!(claim().await, 0);
    scheduled.regcred.pass(HOUR);
    assert_eq!(claim().await, 1);
}

#[tokio::test]
async fn a_try_that_was_asked_for_counts() {
    let scheduled = Scheduled::daily().await;
    scheduled.put(0, "one.test", "s3cret").await;
    scheduled.until_all_are_due().await;
    let path = "/v1/tenants/team-a/credentials/c-0/verify";
    scheduled.owner.post(path, &json!({})).await.expect(200);
    scheduled.round().await;
    assert_eq!(scheduled.log.logins().len(), 1);
}

#[tokio::test]
async fn tries_are_in_the_trail_as_those_of_a_job() {
    let scheduled = Scheduled::daily().await;
    scheduled.put(0, "one.test", "s3cret").await;
    scheduled.until_all_are_due().await;
    scheduled.round().await;
    let events = scheduled
        .owner
        .get("/v1/tenants/team-a/audit-events")
        .await
        .json();
    let newest = &events["items"][0];
    assert_eq!(newest["action"], "credential.verification-change");
    assert_eq!(newest["detail"]["from"], "unverified");
    assert_eq!(newest["detail"]["to"], "accepted");
    assert_eq!(newest["actor"]["kind"], "job");
    assert_eq!(newest["target"], "credentials/c-0");
    assert_eq!(events["items"][1]["action"], "credential.verify");
}

#[tokio::test]
async fn the_end_of_a_credential_is_warned_of_once() {
    let scheduled = Scheduled::start(None, None).await;
    let path = "/v1/tenants/team-a/credentials/c-0";
    scheduled.put(0, "one.test", "s3cret").await;
    let end = |days: i64| {
        let end = time::OffsetDateTime::now_utc() + time::Duration::days(days);
        json!({"expires_at": regcred::model::time::format(end)})
    };
    scheduled.owner.patch(path, &end(20)).await.expect(200);
    scheduled.round().await;
    let warnings = || async {
        let actions = scheduled.actions().await;
        actions
            .iter()
            .filter(|action| **action == "credential.expiry")
            .count()
    };
    assert_eq!(warnings().await, 0);
    scheduled.regcred.pass(7 * DAY);
    scheduled.round().await;
    scheduled.round().await;
    assert_eq!(warnings().await, 1);
    scheduled.owner.patch(path, &end(15)).await.expect(200);
    scheduled.round().await;
    assert_eq!(warnings().await, 2, "another end is another warning");
}

/// A receiver, and the webhook that leads to it.
async fn receiver(failures: usize) -> (Receiver, Fake, Webhook) {
    let receiver = Receiver::default();
    *receiver.failures.lock().expect("no panic") = failures;
    let fake = Fake::http(receiver.clone().router()).await;
    let url = Url::parse(&format!("http://{}/hook", fake.address)).expect("a URL");
    (receiver, fake, Webhook::new(url, b"the webhook's secret"))
}

#[tokio::test]
async fn a_changed_state_is_told_to_the_webhook_until_it_takes_it() {
    let (receiver, _fake, webhook) = receiver(2).await;
    let scheduled = Scheduled::start(Some(Duration::from_secs(24 * 60 * 60)), Some(webhook)).await;
    scheduled.put(0, "one.test", "wrong").await;
    scheduled.until_all_are_due().await;
    for pause in [0, 5, 10, 20, 40, 1000] {
        scheduled.regcred.pass(pause);
        scheduled.round().await;
    }
    let came = receiver.came.lock().expect("no panic").clone();
    assert_eq!(came.len(), 3, "two failures, then taken, then no more");
    let ids: Vec<_> = came
        .iter()
        .map(|(headers, _)| headers["regcred-event-id"].clone())
        .collect();
    assert!(ids.windows(2).all(|pair| pair[0] == pair[1]), "one event");
    let (headers, body) = &came[2];
    let told: Value = serde_json::from_str(body).expect("JSON");
    assert_eq!(told["event"], "credential.verification-change");
    assert_eq!(told["tenant"], "team-a");
    assert_eq!(told["credential"], "c-0");
    assert_eq!(told["detail"]["to"], "rejected");
    assert!(!body.contains("wrong"));
    let key = hmac::Key::new(hmac::HMAC_SHA256, b"the webhook's secret");
    let timestamp = headers["regcred-timestamp"].to_str().expect("text");
    let tag = hmac::sign(&key, format!("{timestamp}.{body}").as_bytes());
    let hex: String = tag
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    assert_eq!(headers["regcred-signature"], format!("v1={hex}"));
}

#[tokio::test]
async fn what_was_being_sent_when_a_replica_died_is_sent_again() {
    let (receiver, fake, webhook) = receiver(0).await;
    let scheduled = Scheduled::start(None, Some(webhook)).await;
    scheduled.put(0, "one.test", "wrong").await;
    let path = "/v1/tenants/team-a/credentials/c-0/verify";
    scheduled.owner.post(path, &json!({})).await.expect(200);
    let mut conn = scheduled
        .regcred
        .pool
        .acquire()
        .await
        .expect("a connection");
    let now = time::OffsetDateTime::now_utc() + time::Duration::seconds(1);
    let until = now + time::Duration::seconds(300);
    let claimed = regcred::store::webhook_deliveries::claim(&mut conn, now, until, 16).await;
    assert_eq!(claimed.expect("claimed").len(), 1);
    scheduled.regcred.pass(10);
    scheduled.round().await;
    assert_eq!(receiver.came.lock().expect("no panic").len(), 0);
    scheduled.regcred.pass(300);
    scheduled.round().await;
    assert_eq!(receiver.came.lock().expect("no panic").len(), 1);
    drop(fake);
}

/// A host that takes connections and never says a word: a try there lasts until its time is up.
async fn silent() -> std::net::SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await;
    let listener = listener.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((connection, _)) = listener.accept().await {
            held.push(connection);
        }
    });
    address
}

#[tokio::test]
async fn a_registry_that_does_not_answer_holds_up_the_tries_alone() {
    let (receiver, _fake, webhook) = receiver(0).await;
    let scheduled = Scheduled::start(Some(Duration::from_secs(1)), Some(webhook)).await;
    let silent = silent().await;
    for number in 0..6 {
        let body = password(&format!("one.test:{}", silent.port()), "dev-0", "s3cret");
        let path = format!("/v1/tenants/team-a/credentials/silent-{number}");
        scheduled.owner.put(&path, &body).await.expect(201);
    }
    enrol(&scheduled.broker).await.expect("enrolled");
    scheduled.regcred.pass(DAY);
    let (_stop, stopped) = watch::channel(false);
    let job = verification::run(scheduled.broker.clone(), Arc::default(), stopped);
    let job = tokio::spawn(job);
    // It came after the tries began, and none of them has an end yet.
    scheduled.put(0, "two.test", "wrong").await;
    let path = "/v1/tenants/team-a/credentials/c-0/verify";
    scheduled.owner.post(path, &json!({})).await.expect(200);
    let told = || !receiver.came.lock().expect("no panic").is_empty();
    for _ in 0..150 {
        if told() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(told(), "the webhook waits for the silent registry");
    let read = scheduled
        .owner
        .get("/v1/tenants/team-a/credentials/silent-5")
        .await;
    assert_eq!(read.json()["verification"]["state"], "unverified");
    job.abort();
}

#[tokio::test]
async fn metrics_tell_how_many_are_in_which_state() {
    let scheduled = Scheduled::daily().await;
    scheduled.put(0, "one.test", "s3cret").await;
    scheduled.put(1, "one.test", "wrong").await;
    scheduled.until_all_are_due().await;
    scheduled.put(2, "one.test", "s3cret").await;
    let metrics = Arc::new(Metrics::default());
    let (_stop, stopped) = watch::channel(false);
    round(&scheduled.broker, &metrics, &stopped)
        .await
        .expect("a round");
    let app = App {
        broker: scheduled.broker.clone(),
        metrics,
    };
    let listener = Fake::http(router::metrics_only(app)).await;
    let text = Client::new(&format!("http://{}", listener.address), None)
        .get("/metrics")
        .await
        .body();
    for line in [
        "regcred_credentials{state=\"accepted\"} 1",
        "regcred_credentials{state=\"rejected\"} 1",
        "regcred_credentials{state=\"unverified\"} 1",
        "regcred_credentials{state=\"unreachable\"} 0",
        "regcred_verifications_total{state=\"accepted\"} 1",
        "regcred_verifications_total{state=\"rejected\"} 1",
    ] {
        assert!(text.contains(line), "{line} in {text}");
    }
}

/// The program as it is configured by its environment: the schedule, the way out, the webhook.
#[tokio::test(flavor = "multi_thread")]
async fn the_program_verifies_by_itself_and_tells_the_webhook() {
    let (receiver, hook, _) = receiver(0).await;
    let registry = Registry {
        accepts: vec![basic("dev", "s3cret")],
        challenges: vec!["Basic realm=\"x\"".into()],
        ..Registry::default()
    };
    let registry = Fake::http(registry.router()).await;
    let directory = Directory::new();
    let secret = directory.path().join("secret");
    std::fs::write(&secret, "a secret of the webhook\n").expect("writable");
    let data = directory.path().join("data");
    let mut command = program(&["dev", "--listen", "127.0.0.1:0", "--data-dir"]);
    command
        .arg(&data)
        .env("REGCRED_ALLOW_NETWORKS", "127.0.0.0/8")
        .env("REGCRED_VERIFY_INTERVAL", "1s")
        .env(
            "REGCRED_WEBHOOK_URL",
            format!("http://{}/hook", hook.address),
        )
        .env("REGCRED_WEBHOOK_SECRET_FILE", &secret);
    let mut program = Running::start(&mut command);
    let address = program.address();
    program.line("Ctrl-C stops it");
    let admin = admin_of(&address, &data);
    admin
        .put("/v1/tenants/team-a", &json!({}))
        .await
        .expect(201);
    let body = password(&registry.address.to_string(), "dev", "wrong");
    let path = "/v1/tenants/team-a/credentials/c-0";
    admin.put(path, &body).await.expect(201);
    eventually("the webhook hears of it", || {
        !receiver.came.lock().expect("no panic").is_empty()
    });
    let (_, told) = receiver.came.lock().expect("no panic")[0].clone();
    assert!(told.contains("\"to\":\"rejected\""), "{told}");
    let read = admin.get(path).await.json();
    assert_eq!(read["verification"]["state"], "rejected");
    program.signal("INT");
    assert!(program.end().success());
    assert!(!program.output().contains("wrong"));
}

#[tokio::test]
async fn deleted_credentials_leave_the_schedule() {
    let scheduled = Scheduled::daily().await;
    scheduled.put(0, "one.test", "s3cret").await;
    scheduled
        .broker
        .enrol_credentials()
        .await
        .expect("enrolled");
    let path = "/v1/tenants/team-a/credentials/c-0";
    scheduled.owner.delete(path).await.expect(204);
    scheduled.regcred.pass(DAY);
    scheduled.round().await;
    assert!(scheduled.log.all().is_empty());
}
