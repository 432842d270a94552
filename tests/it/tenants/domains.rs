//! Hosts of tenants' own: asked for, proved by a TXT record that a job looks for, and only then a way in. The name server
//! is a real one (dnslib's), which serves a zone file of the test.

use crate::world::{TestTenant, World};
use neurosphere::error::Error;
use neurosphere::tenants::domains::{self, Domain};
use neurosphere::tenants::reach::{self, DomainName, Host};
use std::io::{BufRead as _, BufReader};
use std::net::UdpSocket;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

/// A name server for the records of one file, read anew for each answer.
struct NameServer {
    process: Child,
    port: u16,
    zone: PathBuf,
}

impl NameServer {
    fn start() -> Self {
        let zone = std::env::temp_dir().join(format!("neurosphere-zone-{}", uuid::Uuid::new_v4().simple()));
        std::fs::write(&zone, "").unwrap();
        let port = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/tenants/name_server.py");
        let mut process = Command::new("python")
            .args([script, &port.to_string(), zone.to_str().unwrap()])
            .stdout(Stdio::piped())
            .spawn()
            .expect("python with dnslib is brought by scripts/setup test");
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line.trim(), "ready");
        Self { process, port, zone }
    }

    fn publish(&self, records: &[(&str, &str)]) {
        let line = |(name, text): &(&str, &str)| format!("{name}. 60 IN TXT \"{text}\"");
        let lines: Vec<_> = records.iter().map(line).collect();
        std::fs::write(
            &self.zone,
            lines.join(
                "
",
            ) + "
",
        )
        .unwrap();
    }
}

impl Drop for NameServer {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
        std::fs::remove_file(&self.zone).ok();
    }
}

async fn ask(world: &World, tenant: &TestTenant, host: &DomainName) -> Result<Domain, Error> {
    world.operate(async |tx| domains::ask(tx, tenant.id, host, "localhost").await).await
}

async fn of(world: &World, tenant: &TestTenant) -> Vec<Domain> {
    world.operate(async |tx| domains::of(tx, tenant.id).await).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_is_a_tenants_once_it_is_proved_and_never_two_tenants() {
    let server = NameServer::start();
    let world = World::with(&[("DNS_SERVER", format!("127.0.0.1:{}", server.port))]).await;
    let (a, b) = (world.tenant().await, world.tenant().await);
    let name: DomainName = format!("calls.{}.example", a.slug).parse().unwrap();
    let host = Host::parse(name.as_str(), "localhost").unwrap();
    let db = &world.app.db;
    let by_a = async || reach::holder_of_key(db, &host, &a.api_key).await.unwrap().is_some();

    let asked = ask(&world, &a, &name).await.unwrap();
    ask(&world, &b, &name).await.expect("whoever has no proof keeps nobody from asking");
    world.app.runner().run_due().await.unwrap();
    assert!(!by_a().await, "there is no record yet");
    let failure = of(&world, &a).await[0].failure.clone().unwrap();
    assert!(failure.contains("no TXT record"), "{failure}");

    server.publish(&[(&asked.record_name(), "neurosphere=something-else")]);
    ask(&world, &a, &name).await.unwrap();
    world.app.runner().run_due().await.unwrap();
    assert!(!by_a().await);
    assert!(of(&world, &a).await[0].failure.as_ref().unwrap().contains("something else"));

    server.publish(&[(&asked.record_name(), "v=spf1 -all"), (&asked.record_name(), &asked.record_value())]);
    assert_eq!(ask(&world, &a, &name).await.unwrap().proof, asked.proof, "asking again keeps the proof");
    world.app.runner().run_due().await.unwrap();
    assert!(by_a().await);
    assert_eq!(reach::at_host(db, &host).await.unwrap().map(|found| found.id), Some(a.id));
    assert!(reach::holder_of_key(db, &host, &b.api_key).await.unwrap().is_none());
    let taken = ask(&world, &b, &name).await;
    assert!(matches!(taken, Err(Error::Conflict { code: "domain_taken", .. })), "{taken:?}");
    assert!(of(&world, &b).await[0].verified_at.is_none());

    world.operate(async |tx| domains::release(tx, a.id, &name, "another brand").await).await.unwrap();
    assert!(!by_a().await);
    assert!(reach::at_host(db, &host).await.unwrap().is_none());
}

#[tokio::test]
async fn names_of_the_platform_are_not_a_tenants_own() {
    let world = World::new().await;
    let tenant = world.tenant().await;
    for name in ["x.neurosphere.ai", "neurosphere.ai"] {
        let name = name.parse().unwrap();
        let refused =
            world.operate(async |tx| domains::ask(tx, tenant.id, &name, "neurosphere.ai").await).await;
        assert!(matches!(refused, Err(Error::Invalid(_))), "{refused:?}");
    }
}
