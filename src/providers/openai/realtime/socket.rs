//! The socket of a Realtime session. Must never know what goes over it.

use std::sync::Arc;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::http::{HeaderValue, header};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{Connector, MaybeTlsStream, WebSocketStream};
use url::Url;

use super::EVENT_BYTES_MAX;
use crate::config;
use crate::error::{Fault, OrFault as _};
use crate::secret::Secret;

/// An open session's socket.
pub type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// How much is read at once: some 200 ms of speech. So much is cleared before each look for an event, and kept as long
/// as the session; the library's own default is 128 KiB.
const READ_BYTES: usize = 4 * 1024;
/// How much may wait to be written before the session counts as stalled.
const WRITE_BYTES_MAX: usize = 1024 * 1024;

/// Where sessions are opened, and as whom. Cheap to clone; clones share one TLS context, which is dear.
#[derive(Clone)]
pub struct Endpoint {
    url: Url,
    key: Secret,
    tls: Arc<rustls::ClientConfig>,
}

impl Endpoint {
    /// The endpoint that follows from the configured base URL.
    pub fn new(config: &config::OpenAi) -> Result<Self, Fault> {
        let mut url = config.base_url.clone();
        let scheme = if url.scheme() == "http" { "ws" } else { "wss" };
        url.set_scheme(scheme).map_err(|()| Fault::new("make the Realtime URL from OPENAI_BASE_URL"))?;
        let path = format!("{}/realtime", url.path().trim_end_matches('/'));
        url.set_path(&path);
        url.query_pairs_mut().clear().append_pair("model", &config.realtime_model);
        let roots = rustls::RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .or_fault("set up TLS for the Realtime API")?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self { url, key: config.api_key.clone(), tls: Arc::new(tls) })
    }

    /// Opens a session.
    pub async fn connect(&self) -> Result<Socket, Fault> {
        let mut request =
            self.url.as_str().into_client_request().or_fault("make the request for a Realtime session")?;
        let bearer = format!("Bearer {}", self.key.reveal());
        let mut bearer = HeaderValue::from_str(&bearer).or_fault("write OPENAI_API_KEY into a header")?;
        bearer.set_sensitive(true);
        request.headers_mut().insert(header::AUTHORIZATION, bearer);
        let agent = HeaderValue::from_static(concat!("NeuroSphere/Rust ", env!("CARGO_PKG_VERSION")));
        request.headers_mut().insert(header::USER_AGENT, agent);
        let limits = WebSocketConfig::default()
            .max_message_size(Some(EVENT_BYTES_MAX))
            .max_frame_size(Some(EVENT_BYTES_MAX))
            .max_write_buffer_size(WRITE_BYTES_MAX)
            .read_buffer_size(READ_BYTES);
        let tls = Connector::Rustls(Arc::clone(&self.tls));
        let no_delay = true;
        let connected =
            tokio_tungstenite::connect_async_tls_with_config(request, Some(limits), no_delay, Some(tls))
                .await;
        Ok(connected.or_fault("open a Realtime session")?.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_url_follows_from_the_base() {
        for (base, expected) in [
            ("https://api.openai.com/v1", "wss://api.openai.com/v1/realtime?model=m%201"),
            ("http://127.0.0.1:9000/v1/", "ws://127.0.0.1:9000/v1/realtime?model=m%201"),
        ] {
            let config = config::OpenAi {
                api_key: Secret::new("k"),
                base_url: base.parse().unwrap(),
                realtime_model: "m 1".to_owned(),
                transcription_model: String::new(),
                text_model: String::new(),
                embedding_model: String::new(),
            };
            let url = Endpoint::new(&config).unwrap().url.to_string();
            assert_eq!(url.replace('+', "%20"), expected);
        }
    }
}
