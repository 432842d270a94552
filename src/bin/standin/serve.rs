//! `standin serve`: opens the ports, says so in one line of JSON, and serves until told to stop.

use crate::control;
use crate::openai::OpenAi;
use crate::openai::script::Script;
use crate::speech::Library;
use crate::twilio::Twilio;
use axum::Router;
use axum::serve::{Listener, ListenerExt as _};
use serde_json::json;
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;
use tokio_util::task::TaskTracker;

/// How much of a WebSocket is read at once. So much is cleared before each look for a frame; the library's own default
/// is 128 KiB.
pub(crate) const READ_BYTES: usize = 2 * 1024;

/// Serves the stand-ins until SIGTERM, SIGINT or the end of standard input.
///
/// Prints one line of JSON with the URLs when ready. Port 0 takes a free one. Tests hold standard input open, so that
/// none of this outlives them.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Address of all ports.
    #[arg(long, default_value = "127.0.0.1")]
    listen: IpAddr,
    /// Port of Twilio's REST interface.
    #[arg(long, default_value_t = 0)]
    twilio_port: u16,
    /// Port of OpenAI's interface, its Realtime socket included.
    #[arg(long, default_value_t = 0)]
    openai_port: u16,
    /// Port on which calls are ordered and watched; see the top of src/bin/standin/control.rs.
    #[arg(long, default_value_t = 0)]
    control_port: u16,
    /// What the stand-in model answers (tests/fixtures/scripts); without it, it greets and understands nothing.
    #[arg(long, value_name = "FILE")]
    script: Option<PathBuf>,
    /// Folder of recorded lines (index.json and .ulaw files); may be given several times.
    #[arg(long, value_name = "DIR")]
    speech: Vec<PathBuf>,
    /// Program that synthesises lines which no folder holds; without it they are heard as tones.
    #[arg(long, value_name = "PROGRAM")]
    speaker: Option<PathBuf>,
    /// A Twilio account that the REST interface knows from the start; calls add theirs. May be given several times.
    #[arg(long, value_name = "SID:TOKEN")]
    account: Vec<String>,
    /// Keep serving when standard input ends.
    #[arg(long)]
    detached: bool,
}

pub(crate) async fn serve(arguments: Arguments) -> Result<(), String> {
    let speech = Library::open(&arguments.speech, arguments.speaker).map_err(|error| error.to_string())?;
    let script = Script::given(arguments.script.as_deref())?;
    let (twilio, openai) = (Twilio::new(speech.clone())?, OpenAi::new(speech, script));
    for account in &arguments.account {
        let (sid, token) = account.split_once(':').ok_or("--account takes SID:TOKEN")?;
        twilio.open_account(sid.to_owned(), token.to_owned());
    }
    let ports = TaskTracker::new();
    let at = |port| SocketAddr::new(arguments.listen, port);
    let ready = json!({
        "twilio": open(&ports, at(arguments.twilio_port), twilio.router()).await?,
        "openai": open(&ports, at(arguments.openai_port), openai.router()).await?,
        "control": open(&ports, at(arguments.control_port), control::router(twilio).nest("/openai", openai.control())).await?,
    });
    let mut out = std::io::stdout().lock();
    writeln!(out, "{ready}").and_then(|()| out.flush()).map_err(|error| error.to_string())?;
    drop(out);
    told_to_stop(arguments.detached).await
}

/// Serves a router from now on; its URL.
pub(crate) async fn open(ports: &TaskTracker, at: SocketAddr, router: Router) -> Result<String, String> {
    let listener = TcpListener::bind(at).await.map_err(|error| format!("{at}: {error}"))?;
    let bound = listener.local_addr().map_err(|error| error.to_string())?;
    drop(ports.spawn(async move { axum::serve(at_once(listener), router).await }));
    Ok(format!("http://{bound}"))
}

/// The listener, on whose connections nothing waits for what was sent before it to be acknowledged.
pub(crate) fn at_once(listener: TcpListener) -> impl Listener<Io = TcpStream, Addr = SocketAddr> {
    listener.tap_io(|stream| {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "a connection that is gone already");
        }
    })
}

/// Waits for SIGTERM, SIGINT or, unless `detached`, the end of standard input.
pub(crate) async fn told_to_stop(detached: bool) -> Result<(), String> {
    let (closed, stdin_closed) = oneshot::channel();
    if !detached {
        // a thread of its own: the runtime would wait for a blocking read when it stops
        std::thread::spawn(move || {
            let mut sink = [0; 1024];
            let mut stdin = std::io::stdin().lock();
            while stdin.read(&mut sink).is_ok_and(|read| 0 < read) {}
            closed.send(()).ok();
        });
    }
    let mut terminate = signal(SignalKind::terminate()).map_err(|error| error.to_string())?;
    tokio::select! {
        _ = terminate.recv() => Ok(()),
        interrupted = tokio::signal::ctrl_c() => interrupted.map_err(|error| error.to_string()),
        Ok(()) = stdin_closed => Ok(()),
    }
}
