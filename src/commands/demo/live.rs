//! With a real carrier nobody can place the calls but people: says what to dial, and prints what is said.

use neurosphere::app::Running;

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
