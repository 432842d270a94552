//! Where we listen and under which names we are reached.

use std::net::SocketAddr;
use url::Url;

use super::Reader;

/// Where we listen and under which names we are reached.
#[derive(Debug, Clone)]
pub struct Http {
    /// `LISTEN_ADDR`.
    pub listen: SocketAddr,
    /// What carriers are given and sign (`PUBLIC_URL`), without a trailing slash.
    pub public_url: Url,
    /// Tenants are `{slug}.BASE_DOMAIN`.
    pub base_domain: String,
    /// Where the platform's own API is (`PLATFORM_HOST`); never a name that a tenant can have.
    pub platform_host: String,
    /// Where people prove who they are (`AUTH_HOST`), for all tenants; never a name that a tenant can have.
    pub auth_host: String,
    /// How many proxies of ours stand in front (`PROXIES`), each of which adds to `X-Forwarded-For` whom it was called by.
    pub proxies: u8,
}

impl Http {
    /// The port that browsers must be told: that of this very machine, which nothing stands in front of.
    pub fn port(&self) -> Option<u16> {
        let is_here = self.base_domain == "localhost" || self.base_domain.ends_with(".localhost");
        is_here.then(|| self.listen.port())
    }
}

impl Reader<'_> {
    pub(super) fn http(&mut self) -> Option<Http> {
        let listen = self.parsed("LISTEN_ADDR", "127.0.0.1:8080", "an address such as 127.0.0.1:8080");
        let default_public = listen.map_or_else(String::new, |at: SocketAddr| format!("http://{at}"));
        let public_url = self.url("PUBLIC_URL", &default_public);
        let base_domain = self.base_domain();
        let platform_host =
            base_domain.as_deref().and_then(|base| self.kept_host("PLATFORM_HOST", "platform", base));
        let auth_host = base_domain.as_deref().and_then(|base| self.kept_host("AUTH_HOST", "auth", base));
        let auth_host = match (auth_host, &platform_host) {
            (Some(auth), Some(platform)) if auth == *platform => {
                self.must(None, "AUTH_HOST and PLATFORM_HOST must be two hosts")
            }
            (auth_host, _) => auth_host,
        };
        let proxies = self.parsed("PROXIES", "0", "how many proxies stand in front, e.g. 1");
        Some(Http {
            listen: listen?,
            public_url: public_url?,
            base_domain: base_domain?,
            platform_host: platform_host?,
            auth_host: auth_host?,
            proxies: proxies?,
        })
    }

    fn base_domain(&mut self) -> Option<String> {
        self.host_name("BASE_DOMAIN", "localhost")
    }

    /// Of the names below the base domain, one is kept from tenants for this.
    fn kept_host(&mut self, variable: &str, label: &str, base: &str) -> Option<String> {
        let kept = format!("{label}.{base}");
        let host = self.host_name(variable, &kept)?;
        let below = host.strip_suffix(base).is_some_and(|rest| rest.ends_with('.'));
        let mistake = format!("{variable} is {host:?}; below {base} it is {kept}, other names are tenants'");
        self.must((host == kept || !below).then_some(host), &mistake)
    }

    /// A name in lower case, without a port.
    fn host_name(&mut self, variable: &str, default: &str) -> Option<String> {
        let name = self.text(variable, default).to_ascii_lowercase();
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '-';
        let good = name.len() <= 253 && name.split('.').all(|l| !l.is_empty() && l.chars().all(plain));
        let mistake = format!("{variable} is {name:?}; it should be the name of a host, without a port");
        self.must(good.then_some(name), &mistake)
    }
}
