//! A wire to Postgres that can be cut, stopped and mended, for tests of what happens then.

use neurosphere::secret::Secret;
use std::sync::Arc;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use url::Url;

/// A wire to Postgres that can fail.
pub(crate) struct Wire {
    pub(crate) url: Secret,
    state: Arc<watch::Sender<Carries>>,
}

/// What gets through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Carries {
    /// Everything.
    All,
    /// Nothing, and both sides can tell.
    Nothing,
    /// Nothing, and neither side can tell.
    Silence,
}

impl Wire {
    /// Leads to the server that the URL names; [`Wire::url`] is the same way through the wire.
    pub(crate) async fn to(url: &str) -> Self {
        let mut url = Url::parse(url).unwrap();
        let target = format!("{}:{}", url.host_str().unwrap(), url.port().unwrap_or(5432));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        url.set_host(Some("127.0.0.1")).unwrap();
        url.set_port(Some(listener.local_addr().unwrap().port())).unwrap();
        let state = Arc::new(watch::Sender::new(Carries::All));
        let changes = Arc::clone(&state);
        #[expect(clippy::disallowed_methods, reason = "a test's own task ends with its runtime")]
        tokio::spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                let (target, mut state) = (target.clone(), changes.subscribe());
                tokio::spawn(async move {
                    let carried = async {
                        let mut far = TcpStream::connect(&target).await?;
                        tokio::io::copy_bidirectional(&mut near, &mut far).await
                    };
                    let failed = tokio::select! {
                        failed = state.wait_for(|state| *state != Carries::All) => failed.map(|state| *state),
                        _ = carried => return,
                    };
                    if failed.is_ok_and(|state| state == Carries::Silence) {
                        state.wait_for(|state| *state != Carries::Silence).await.ok();
                    }
                });
            }
        });
        Self { url: Secret::new(String::from(url)), state }
    }

    /// Lets through what is said from now on.
    pub(crate) fn set(&self, state: Carries) {
        self.state.send_replace(state);
    }

    /// Breaks every connection, and those made from now on.
    pub(crate) fn cut(&self) {
        self.set(Carries::Nothing);
    }

    /// Lets connections through again.
    pub(crate) fn mend(&self) {
        self.set(Carries::All);
    }
}
