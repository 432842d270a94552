//! The Domain Name System: TXT records, asked for afresh each time. Must never know what a record proves.

use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ProtocolConfig, ResolverConfig};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::RData;
use hickory_resolver::{Resolver, TokioResolver};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::time::timeout;

use crate::error::{Fault, OrFault as _};

const ANSWER_MAX: Duration = Duration::from_secs(3);
const ATTEMPTS: usize = 2;
/// All attempts with all servers together.
const ALL_ANSWERS_MAX: Duration = Duration::from_secs(10);
/// Records of one name at most, and bytes of one record.
const RECORDS_MAX: usize = 50;
const RECORD_BYTES_MAX: usize = 1_000;

/// Asks name servers. Cheap to clone.
#[derive(Clone)]
pub struct Dns {
    resolver: TokioResolver,
}

impl Dns {
    /// Asks this server, or those of the machine's own configuration.
    pub fn new(server: Option<SocketAddr>) -> Result<Self, Fault> {
        let builder = match server {
            None => {
                Resolver::builder_tokio().or_fault("read the machine's name servers; DNS_SERVER names one")?
            }
            Some(server) => {
                let connections = [ProtocolConfig::Udp, ProtocolConfig::Tcp].map(|protocol| {
                    let mut connection = ConnectionConfig::new(protocol);
                    connection.port = server.port();
                    connection
                });
                let server = NameServerConfig::new(server.ip(), true, connections.to_vec());
                let config = ResolverConfig::from_name_servers(vec![server]);
                Resolver::builder_with_config(config, TokioRuntimeProvider::default())
            }
        };
        let mut builder = builder;
        let options = builder.options_mut();
        options.cache_size = 0;
        options.timeout = ANSWER_MAX;
        options.attempts = ATTEMPTS;
        Ok(Self { resolver: builder.build().or_fault("set up the resolver of names")? })
    }

    /// The TXT records of a full name; none where there are none. The error says in words why nothing can be said.
    pub async fn txt(&self, name: &str) -> Result<Vec<String>, String> {
        let asked = timeout(ALL_ANSWERS_MAX, self.resolver.txt_lookup(format!("{name}.")));
        let Ok(answered) = asked.await else {
            return Err("the name servers did not answer in time".to_owned());
        };
        match answered {
            Ok(found) => {
                let texts = found.answers().iter().filter_map(|record| {
                    let RData::TXT(txt) = &record.data else { return None };
                    Some(txt.txt_data.concat())
                });
                let short = texts.filter(|text| text.len() <= RECORD_BYTES_MAX).take(RECORDS_MAX);
                Ok(short.map(|text| String::from_utf8_lossy(&text).into_owned()).collect())
            }
            Err(error) if error.is_no_records_found() => Ok(Vec::new()),
            Err(error) => Err(format!("the name servers could not be asked: {error}")),
        }
    }
}
