//! Notifications between processes: one connection listens, everybody in this process hears. A notification is only a
//! hint to look again: it carries ids, never data, and may be lost when the connection breaks, which is told as
//! [`Heard::Gap`]. Must never know what is looked for.

use futures_util::{StreamExt as _, future, stream};
use std::time::Duration;
use tokio::sync::broadcast;
use tokio_postgres::AsyncMessage;
use tokio_util::sync::CancellationToken;

use super::failure::OrFailed as _;
use super::tls;
use crate::config;
use crate::error::Fault;

/// What a listener hears.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// `pg_notify(channel, payload)` was committed somewhere.
    Notice {
        /// The channel.
        channel: String,
        /// Ids, in the form the channel's users agreed on.
        payload: String,
    },
    /// Notices may have been missed: look again at everything.
    Gap,
}

/// Hands notifications out within the process. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Hub {
    heard: broadcast::Sender<Heard>,
}

impl Default for Hub {
    fn default() -> Self {
        Self { heard: broadcast::channel(Self::BACKLOG_MAX).0 }
    }
}

impl Hub {
    const BACKLOG_MAX: usize = 1_024;
    const RETRY: Duration = Duration::from_millis(500);
    const CHANNELS: &'static str = "LISTEN jobs; LISTEN calls";

    /// Everything from now on; one who falls behind is told so by `Lagged`, which means the same as [`Heard::Gap`].
    pub fn subscribe(&self) -> broadcast::Receiver<Heard> {
        self.heard.subscribe()
    }

    /// Listens to a cluster until stopped, reconnecting whenever the connection breaks.
    pub async fn run(self, database: config::Database, cluster: config::Cluster, stop: CancellationToken) {
        loop {
            let listened = tokio::select! {
                () = stop.cancelled() => return,
                listened = self.listen(&database, &cluster) => listened,
            };
            if let Err(fault) = listened {
                tracing::warn!(cluster = %cluster.name, fault = fault.chain(), "not listening for notifications; trying again");
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(Self::RETRY) => {}
            }
        }
    }

    async fn listen(&self, database: &config::Database, cluster: &config::Cluster) -> Result<(), Fault> {
        let connector = tls::connector(database.ca_file.as_deref())?;
        let connected = tokio_postgres::connect(cluster.listen_url.reveal(), connector).await;
        let (client, mut connection) = connected.or_failed("connect to listen for notifications")?;
        let messages = stream::poll_fn(move |context| connection.poll_message(context));
        let hear = messages.for_each(|message| {
            if let Ok(AsyncMessage::Notification(notice)) = message {
                self.tell(Heard::Notice {
                    channel: notice.channel().to_owned(),
                    payload: notice.payload().to_owned(),
                });
            }
            future::ready(())
        });
        let ask = async {
            client.batch_execute(Self::CHANNELS).await.or_failed("listen for notifications")?;
            self.tell(Heard::Gap);
            future::pending::<Result<(), Fault>>().await
        };
        tokio::select! {
            () = hear => Err(Fault::new("the listening connection closed")),
            failed = ask => failed,
        }
    }

    /// Nobody may be listening in this process: then there is nobody to tell.
    fn tell(&self, heard: Heard) {
        drop(self.heard.send(heard));
    }
}
