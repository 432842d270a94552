//! With a real carrier nobody can place the calls but people: says what to dial, and prints what is said.

use neurosphere::app::Running;
use url::{Host, Url};

use super::Business;
use super::look::Summary;
use super::telling::Telling;

const CALLS: usize = 3;

/// Waits for three calls and prints them. Without `once`, Ctrl-C ends the waiting.
pub(super) async fn calls(
    running: &Running,
    businesses: &[Business; 2],
    once: bool,
) -> Result<Summary, String> {
    let mut telling = Telling::begin(running, businesses);
    let public = &running.app.config.http.public_url;
    let [peterson, smith] = businesses;
    println!(
        "\nset the voice webhook of both numbers to {public}twilio/voice and the status callback to {public}twilio/status"
    );
    if reaches_this_machine_only(public) {
        println!("PUBLIC_URL names this machine only: set it to an address at which Twilio reaches it");
    }
    println!("then call {} twice, and {} in between", peterson.number.reveal(), smith.number.reveal());
    let mut summary = Summary::default();
    while summary.calls < CALLS {
        tokio::select! {
            told = telling.calls(1) => {
                told?;
                summary.calls += 1;
            }
            stopped = tokio::signal::ctrl_c(), if !once => {
                return stopped.map(|()| summary).map_err(|error| error.to_string());
            }
        }
    }
    Ok(summary)
}

fn reaches_this_machine_only(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(ip)) => ip.is_unspecified() || ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_unspecified() || ip.is_loopback(),
        None => false,
    }
}
