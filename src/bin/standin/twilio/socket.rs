//! Opens the socket of a media stream as Twilio does: which URLs it takes, how it signs, its numbered errors. Knows
//! nothing of what is said over it.

use super::order::Order;
use super::web::{Signed, host_and_port};
use crate::serve::READ_BYTES;
use futures_util::{FutureExt as _, SinkExt as _};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, client_async_tls_with_config, client_async_with_config,
};
use url::{Host, Url};

pub(crate) type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

const OPEN_WITHIN: Duration = Duration::from_secs(10);
const SEND_WITHIN: Duration = Duration::from_secs(5);
const CLOSE_WITHIN: Duration = Duration::from_millis(500);
/// Of one message of the product: eight minutes of speech.
const MESSAGE_BYTES_MAX: usize = 5_000_000;

/// Twilio's number for what went wrong with a stream, and a sentence.
#[derive(Debug)]
pub(crate) struct StreamError {
    pub(crate) code: u32,
    pub(crate) message: String,
    /// Of the refused handshake.
    pub(crate) status: Option<u16>,
}

fn error(code: u32, message: impl std::fmt::Display) -> StreamError {
    StreamError { code, message: message.to_string(), status: None }
}

pub(crate) async fn open(order: &Order, url: &str, signed: Signed) -> Result<Socket, StreamError> {
    let parsed = acceptable(url)?;
    let opening = tokio::time::timeout(OPEN_WITHIN, connect(order, url, &parsed, signed));
    opening.await.map_err(|_| error(31_901, format!("no handshake within {OPEN_WITHIN:?}")))?
}

/// Twilio takes `wss` only; plain `ws` is for loopback, where there is nobody to listen.
fn acceptable(url: &str) -> Result<Url, StreamError> {
    let parsed = Url::parse(url).map_err(|problem| error(31_920, problem))?;
    let loopback = match parsed.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    if parsed.scheme() != "wss" && !(parsed.scheme() == "ws" && loopback) {
        return Err(error(31_922, format!("{}: the scheme must be wss", parsed.scheme())));
    }
    if parsed.query().is_some() {
        return Err(error(31_920, "a stream's URL carries no query string"));
    }
    Ok(parsed)
}

async fn connect(order: &Order, url: &str, parsed: &Url, signed: Signed) -> Result<Socket, StreamError> {
    let mut request = url.into_client_request().map_err(|problem| error(31_920, problem))?;
    let headers = request.headers_mut();
    if let Some(signature) = signed.signature(order, url, &[]) {
        let value = HeaderValue::from_str(&signature).map_err(|problem| error(31_920, problem))?;
        headers.insert("x-twilio-signature", value);
    }
    headers.insert("user-agent", HeaderValue::from_static("Twilio.TmeWs/1.0"));
    let over_there = order.options.media_host_override.clone();
    let host = parsed.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
    let stream = match &over_there {
        Some(there) => TcpStream::connect(there).await,
        None => TcpStream::connect((host, parsed.port_or_known_default().unwrap_or(443))).await,
    };
    let stream = stream.map_err(|problem| error(31_902, problem))?;
    stream.set_nodelay(true).map_err(|problem| error(31_902, problem))?;
    let config = WebSocketConfig::default()
        .read_buffer_size(READ_BYTES)
        .max_message_size(Some(MESSAGE_BYTES_MAX))
        .max_frame_size(Some(MESSAGE_BYTES_MAX));
    let opened = match over_there {
        Some(_) => client_async_with_config(request, MaybeTlsStream::Plain(stream), Some(config)).await,
        None => client_async_tls_with_config(request, stream, Some(config), None).await,
    };
    match opened {
        Ok((socket, _)) => Ok(socket),
        Err(Error::Http(response)) => {
            let status = response.status().as_u16();
            let host = host_and_port(parsed).unwrap_or_default();
            Err(StreamError {
                code: 31_920,
                message: format!("{host} answered {status}, not 101"),
                status: Some(status),
            })
        }
        Err(problem) => Err(error(31_920, problem)),
    }
}

pub(crate) async fn send(socket: &mut Socket, message: Message) -> Result<(), StreamError> {
    let mut sending = socket.send(message);
    // nearly always there is room at once, and no timer is needed
    let sent = match (&mut sending).now_or_never() {
        Some(sent) => Ok(sent),
        None => tokio::time::timeout(SEND_WITHIN, sending).await,
    };
    match sent {
        Ok(Ok(())) => Ok(()),
        Ok(Err(problem)) => Err(error(31_903, problem)),
        Err(_) => Err(error(31_901, format!("nothing was read for {SEND_WITHIN:?}"))),
    }
}

/// Closes from this side and waits a little for the other, so that it sees an orderly end.
pub(crate) async fn close(mut socket: Socket) {
    use futures_util::StreamExt as _;
    let orderly = async {
        if socket.close(None).await.is_ok() {
            while let Some(Ok(_)) = socket.next().await {}
        }
    };
    // past the limit the connection is simply dropped
    drop(tokio::time::timeout(CLOSE_WITHIN, orderly).await);
}

#[cfg(test)]
mod tests {
    use super::acceptable;

    #[test]
    fn takes_the_urls_that_twilio_takes() {
        for (url, refused) in [
            ("wss://voice.example.com/media/abc", None),
            ("ws://127.0.0.1:8080/media/abc", None),
            ("ws://[::1]:8080/media", None),
            ("ws://localhost/media", None),
            ("ws://voice.example.com/media", Some(31_922)),
            ("https://voice.example.com/media", Some(31_922)),
            ("wss://voice.example.com/media?token=1", Some(31_920)),
            ("/media", Some(31_920)),
        ] {
            assert_eq!(acceptable(url).err().map(|error| error.code), refused, "{url}");
        }
    }
}
