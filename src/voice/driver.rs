//! The shell of one call: owns both sockets, the tools that run and a timer, and does what the machine says. Decides
//! nothing. When it returns, or is dropped, nothing of the call is left: no task, no socket.

use futures_util::future::BoxFuture;
use futures_util::{FutureExt as _, Sink, SinkExt as _, Stream, StreamExt as _, TryFutureExt as _};
use std::ops::Deref;
use std::pin::pin;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_tungstenite::tungstenite::{Error as SocketError, Message};
use tokio_util::sync::CancellationToken;

use super::ending::EndReason;
use super::record::Record;
use super::session::{Closed, Input, Output, Session};
use super::tools::Used;
use crate::error::Fault;
use crate::providers::openai::realtime::socket::{Endpoint, Socket};

/// How long a socket may take what is sent before it counts as stalled.
const SEND_MAX: Duration = Duration::from_secs(2);
/// How long a socket may take to say goodbye.
const CLOSE_MAX: Duration = Duration::from_millis(500);
/// How long a stream stays open for the carrier to be told to hang up.
const HANG_UP_MAX: Duration = Duration::from_secs(1);
/// How long what was begun for the call's sake may outlast it: hanging up.
const ERRANDS_MAX: Duration = Duration::from_secs(6);
/// With no deadline there is nothing left to do; the loop looks again all the same.
const IDLE: Duration = Duration::from_mins(1);

/// What comes from a socket.
#[derive(Debug)]
pub enum Frame<T> {
    /// A text frame.
    Text(T),
    /// A binary frame.
    Binary,
    /// Nothing that concerns a call: pings and pongs.
    Quiet,
    /// The end.
    Closed(Closed),
}

/// What the driver asks of the world around it.
pub(super) trait World {
    /// Runs a tool.
    fn tool(&self, name: String, arguments: String) -> BoxFuture<'static, Used>;
    /// Ends the call at the carrier.
    fn hang_up(&self) -> BoxFuture<'static, ()>;
    /// Keeps a record; must not wait.
    fn keep(&self, record: Record);
    /// The carrier's socket is about to close, for this reason.
    fn leaving(&self, reason: EndReason);
}

/// What comes from elsewhere in the process.
pub(super) struct Orders {
    /// Somebody learned that the call is over.
    pub(super) call_over: mpsc::Receiver<()>,
    /// The process wants to stop.
    pub(super) drain: CancellationToken,
}

struct Driver<'a, C, W> {
    session: Session,
    began: Instant,
    carrier: Option<C>,
    model: Model,
    tools: JoinSet<(String, Used)>,
    errands: JoinSet<()>,
    world: &'a W,
}

enum Model {
    Connecting(BoxFuture<'static, Result<Socket, Fault>>),
    Open(Box<Socket>),
    Closed,
}

/// What doing what the machine says came to.
enum Done {
    /// All was sent, or a socket took no more.
    Sent { to_carrier: Result<(), Closed>, to_model: Result<(), Closed> },
    /// The call is over.
    Finished(EndReason),
}

/// Something that came, owned, so that it can be handled once the sockets are free again.
enum Came<T> {
    Carrier(Frame<T>),
    Model(Result<Message, SocketError>),
    Connected(Result<Box<Socket>, Fault>),
    Tool(String, Used),
    CallOver,
    Drain,
    Tick,
}

/// Holds a call from its stream's opening to its end, and says how it ended.
pub(super) async fn drive<C, T, W>(
    session: Session,
    carrier: C,
    endpoint: &Endpoint,
    orders: Orders,
    world: &W,
) -> EndReason
where
    C: Stream<Item = Frame<T>> + Sink<String> + Unpin,
    T: Deref<Target = str>,
    W: World,
{
    let endpoint = endpoint.clone();
    let connecting = async move { endpoint.connect().await }.boxed();
    let mut driver = Driver {
        session,
        began: Instant::now(),
        carrier: Some(carrier),
        model: Model::Connecting(connecting),
        tools: JoinSet::new(),
        errands: JoinSet::new(),
        world,
    };
    let reason = driver.run(orders).await;
    let Driver { mut errands, .. } = driver;
    // What is not done by then is dropped with the set.
    finish(&mut errands, ERRANDS_MAX).await;
    reason
}

impl<C, T, W> Driver<'_, C, W>
where
    C: Stream<Item = Frame<T>> + Sink<String> + Unpin,
    T: Deref<Target = str>,
    W: World,
{
    async fn run(&mut self, orders: Orders) -> EndReason {
        let Orders { mut call_over, drain } = orders;
        let (timer, drained) = (sleep_until(self.began + IDLE), drain.cancelled());
        tokio::pin!(timer, drained);
        let mut draining = false;
        loop {
            if let Some(reason) = self.act().await {
                return reason;
            }
            let deadline =
                self.session.deadline().map_or_else(|| Instant::now() + IDLE, |due| self.began + due);
            // A deadline that moves away, as it does with each frame, is looked at when the timer fires.
            if deadline < timer.deadline() || timer.is_elapsed() {
                timer.as_mut().reset(deadline);
            }
            let came = tokio::select! {
                Some(frame) = next_of(&mut self.carrier) => Came::Carrier(frame),
                came = self.model.next() => came,
                Some(done) = self.tools.join_next() => match done {
                    Ok((call_id, used)) => Came::Tool(call_id, used),
                    // A tool that panicked is answered for by the machine's own time limit.
                    Err(_) => continue,
                },
                Some(()) = call_over.recv() => Came::CallOver,
                () = &mut drained, if !draining => Came::Drain,
                () = timer.as_mut() => Came::Tick,
            };
            draining |= matches!(came, Came::Drain);
            self.take(came);
        }
    }

    fn take(&mut self, came: Came<T>) {
        let now = self.began.elapsed();
        let session = &mut self.session;
        match came {
            Came::Carrier(Frame::Text(text)) => session.handle(now, Input::CarrierText(&text)),
            Came::Carrier(Frame::Binary) => session.handle(now, Input::CarrierBinary),
            Came::Carrier(Frame::Closed(closed)) => {
                self.carrier = None;
                session.handle(now, Input::CarrierClosed(closed));
            }
            Came::Connected(Ok(socket)) => self.model = Model::Open(socket),
            Came::Connected(Err(fault)) => {
                tracing::warn!(fault = fault.chain(), "no Realtime session");
                self.model = Model::Closed;
                session.handle(now, Input::ModelClosed(Closed::Gone));
            }
            Came::Model(Ok(Message::Text(text))) => session.handle(now, Input::ModelText(&text)),
            Came::Model(Ok(Message::Binary(_))) => session.handle(now, Input::ModelBinary),
            Came::Carrier(Frame::Quiet)
            | Came::Model(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {}
            Came::Model(Ok(Message::Close(frame))) => {
                let code = frame.map(|frame| u16::from(frame.code));
                tracing::info!(code, "the model closed the session");
                self.model = Model::Closed;
                session.handle(now, Input::ModelClosed(Closed::Gone));
            }
            Came::Model(Err(error)) => {
                self.model = Model::Closed;
                session.handle(now, Input::ModelClosed(closed_by(&error)));
            }
            Came::Tool(call_id, Used { output, account }) => {
                let done = Input::ToolDone { call_id: &call_id, output: &output, account: &account };
                session.handle(now, done);
            }
            Came::CallOver => session.handle(now, Input::CallOver),
            Came::Drain => session.handle(now, Input::Drain),
            Came::Tick => session.handle(now, Input::Tick),
        }
    }

    /// Does everything that the machine says; gives the reason once it says that the call is over.
    async fn act(&mut self) -> Option<EndReason> {
        loop {
            match self.do_what_is_said().await {
                Done::Finished(reason) => return Some(reason),
                Done::Sent { to_carrier: Ok(()), to_model: Ok(()) } => return None,
                Done::Sent { to_carrier, to_model } => self.report_losses(to_carrier, to_model),
            }
        }
    }

    async fn do_what_is_said(&mut self) -> Done {
        let (mut to_carrier, mut to_model) = (Ok(()), Ok(()));
        let (mut carrier_fed, mut model_fed) = (false, false);
        while let Some(output) = self.session.poll() {
            match output {
                Output::ToCarrier(frame) => {
                    if let (Ok(()), Some(carrier)) = (to_carrier, &mut self.carrier) {
                        to_carrier = in_time(carrier.feed(frame)).await;
                        carrier_fed = true;
                    }
                }
                Output::ToModel(event) => {
                    if let (Ok(()), Model::Open(socket)) = (to_model, &mut self.model) {
                        to_model = in_time(socket.feed(Message::text(event))).await;
                        model_fed = true;
                    }
                }
                Output::RunTool { call_id, name, arguments } => {
                    let tool = self.world.tool(name, arguments);
                    self.tools.spawn(async move { (call_id, tool.await) });
                }
                Output::Record(record) => self.world.keep(record),
                Output::HangUp => {
                    self.errands.spawn(self.world.hang_up());
                }
                Output::CloseCarrier(reason) => {
                    self.world.leaving(reason);
                    // The carrier shall end the call because it is told to. Without its stream it asks what comes next,
                    // and whichever came first would win.
                    finish(&mut self.errands, HANG_UP_MAX).await;
                    if let Some(mut carrier) = self.carrier.take() {
                        drop(timeout(CLOSE_MAX, close(&mut carrier)).await);
                    }
                }
                Output::CloseModel => self.model.close().await,
                Output::Finished(reason) => return Done::Finished(reason),
            }
        }
        if let (true, Ok(()), Some(carrier)) = (carrier_fed, to_carrier, &mut self.carrier) {
            to_carrier = in_time(carrier.flush()).await;
        }
        if let (true, Ok(()), Model::Open(socket)) = (model_fed, to_model, &mut self.model) {
            to_model = in_time(socket.flush()).await;
        }
        Done::Sent { to_carrier, to_model }
    }

    /// Tells the machine about a socket that takes no more.
    fn report_losses(&mut self, to_carrier: Result<(), Closed>, to_model: Result<(), Closed>) {
        let now = self.began.elapsed();
        if let Err(closed) = to_carrier {
            self.carrier = None;
            self.session.handle(now, Input::CarrierClosed(closed));
        }
        if let Err(closed) = to_model {
            self.model = Model::Closed;
            self.session.handle(now, Input::ModelClosed(closed));
        }
    }
}

impl Model {
    /// What comes next; never, once it is closed.
    async fn next<T>(&mut self) -> Came<T> {
        match self {
            Self::Connecting(connecting) => Came::Connected(connecting.await.map(Box::new)),
            Self::Open(socket) => {
                Came::Model(socket.next().await.unwrap_or(Err(SocketError::ConnectionClosed)))
            }
            Self::Closed => std::future::pending().await,
        }
    }

    async fn close(&mut self) {
        if let Self::Open(mut socket) = std::mem::replace(self, Self::Closed) {
            drop(timeout(CLOSE_MAX, close(&mut socket)).await);
        }
    }
}

/// Waits until the errands are done, or so long.
async fn finish(errands: &mut JoinSet<()>, within: Duration) {
    drop(timeout(within, async { while errands.join_next().await.is_some() {} }).await);
}

async fn next_of<C, T>(carrier: &mut Option<C>) -> Option<Frame<T>>
where
    C: Stream<Item = Frame<T>> + Unpin,
{
    match carrier {
        Some(carrier) => Some(carrier.next().await.unwrap_or(Frame::Closed(Closed::Gone))),
        None => None,
    }
}

/// Says goodbye and listens until the other side did too: closing over unread frames would reset the connection, and
/// with it lose what was sent last.
async fn close<S, I>(socket: &mut S)
where
    S: Stream + Sink<I> + Unpin,
{
    if socket.close().await.is_ok() {
        while socket.next().await.is_some() {}
    }
}

async fn in_time<E>(sending: impl Future<Output = Result<(), E>>) -> Result<(), Closed> {
    let mut sending = pin!(sending.map_err(|_| Closed::Gone));
    // Nearly always there is room at once, and no timer is needed.
    if let Some(sent) = sending.as_mut().now_or_never() {
        return sent;
    }
    timeout(SEND_MAX, sending).await.unwrap_or(Err(Closed::Stalled))
}

/// How a socket's error ends it; the same for either leg.
pub fn closed_by(error: &SocketError) -> Closed {
    if matches!(error, SocketError::Capacity(_)) { Closed::TooLarge } else { Closed::Gone }
}
