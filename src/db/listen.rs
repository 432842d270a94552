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
use crate::words::words;

words! {
    /// What notifications are about.
    Channel {
        /// Work was enqueued: the kind of job.
        Jobs = "jobs",
        /// Something was written of a call: the tenant and the call.
        Calls = "calls",
        /// A key or a session may open nothing any more: the tenant.
        Keys = "keys",
    }
}

/// What a listener hears.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// `pg_notify` was committed somewhere, with this payload: ids, in the form the channel's users agreed on.
    Notice(String),
    /// Notices may have been missed: look again at everything.
    Gap,
}

/// Hands notifications out within the process. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Hub {
    jobs: broadcast::Sender<Heard>,
    calls: broadcast::Sender<Heard>,
    keys: broadcast::Sender<Heard>,
}

impl Default for Hub {
    fn default() -> Self {
        let channel = || broadcast::channel(Self::BACKLOG_MAX).0;
        Self { jobs: channel(), calls: channel(), keys: channel() }
    }
}

impl Hub {
    const BACKLOG_MAX: usize = 1_024;
    const RETRY: Duration = Duration::from_millis(500);
    const LISTEN: &'static str = "LISTEN jobs; LISTEN calls; LISTEN keys";

    /// Everything from now on; one who falls behind is told so by `Lagged`, which means the same as [`Heard::Gap`].
    pub fn subscribe(&self, channel: Channel) -> broadcast::Receiver<Heard> {
        self.sender(channel).subscribe()
    }

    const fn sender(&self, channel: Channel) -> &broadcast::Sender<Heard> {
        match channel {
            Channel::Jobs => &self.jobs,
            Channel::Calls => &self.calls,
            Channel::Keys => &self.keys,
        }
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
            if let Ok(AsyncMessage::Notification(notice)) = message
                && let Some(channel) = Channel::named(notice.channel())
            {
                self.tell(channel, Heard::Notice(notice.payload().to_owned()));
            }
            future::ready(())
        });
        let ask = async {
            client.batch_execute(Self::LISTEN).await.or_failed("listen for notifications")?;
            for channel in Channel::ALL {
                self.tell(*channel, Heard::Gap);
            }
            future::pending::<Result<(), Fault>>().await
        };
        tokio::select! {
            () = hear => Err(Fault::new("the listening connection closed")),
            failed = ask => failed,
        }
    }

    /// Nobody may be listening in this process: then there is nobody to tell.
    fn tell(&self, channel: Channel, heard: Heard) {
        drop(self.sender(channel).send(heard));
    }
}
