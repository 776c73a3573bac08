//! The settings of a broker, checked and ready for the client library.

use crate::{BrokerOptions, MqttError, tls};
use rumqttc::v5::MqttOptions;
use rumqttc::{TlsConfiguration, Transport};
use std::path::Path;
use std::time::Duration;

/// A board that lost its network is noticed by the broker after one and a half of these.
const KEEP_ALIVE: Duration = Duration::from_secs(60);
/// How long a connection may take: mobile networks are slow.
const PATIENCE_S: u64 = 20;

/// A broker that can be connected to.
#[derive(Clone)]
pub(crate) struct Broker {
    /// For messages.
    pub(crate) address: String,
    pub(crate) options: MqttOptions,
}

/// Checks the settings; reads password and certificates.
///
/// # Errors
/// If the address or a file cannot be used.
pub(crate) fn prepare(options: &BrokerOptions, client_id: &str) -> Result<Broker, MqttError> {
    let (host, port, with_tls) = parse(&options.url)?;
    let client_id = options.client_id.as_deref().unwrap_or(client_id);
    let mut prepared = MqttOptions::new(client_id, host, port);
    prepared.set_keep_alive(KEEP_ALIVE).set_connection_timeout(PATIENCE_S);
    let mut network = prepared.network_options();
    network.set_tcp_nodelay(true);
    prepared.set_network_options(network);
    let password = match &options.password_file {
        Some(path) => Some(first_line(path)?),
        None => options.password.clone(),
    };
    if let Some(user) = &options.user {
        prepared.set_credentials(user, password.unwrap_or_default());
    } else if password.is_some() {
        return Err(MqttError::Setting("a password needs a user: --mqtt-user".to_string()));
    }
    if with_tls {
        let configuration = tls::configuration(options)?;
        prepared.set_transport(Transport::tls_with_config(TlsConfiguration::Rustls(configuration)));
    } else if options.ca.is_some() || options.certificate.is_some() || options.key.is_some() {
        let reason = "certificates need TLS: write mqtts:// instead of mqtt://";
        return Err(MqttError::Setting(reason.to_string()));
    }
    Ok(Broker { address: format!("{host}:{port}"), options: prepared })
}

fn first_line(path: &Path) -> Result<String, MqttError> {
    let text = std::fs::read_to_string(path)
        .map_err(|source| MqttError::File { path: path.to_path_buf(), source })?;
    Ok(text.lines().next().unwrap_or_default().to_string())
}

/// Host, port, and whether it is TLS.
fn parse(url: &str) -> Result<(&str, u16, bool), MqttError> {
    let wrong = |reason| MqttError::Url { url: url.to_string(), reason };
    let (scheme, rest) = url.split_once("://").ok_or_else(|| wrong("it does not begin with mqtt://"))?;
    let (with_tls, usual) = match scheme {
        "mqtt" => (false, 1883),
        "mqtts" => (true, 8883),
        _ => return Err(wrong("only mqtt and mqtts are known")),
    };
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    if rest.contains('@') {
        return Err(wrong("user and password are settings of their own"));
    }
    if rest.contains('/') || rest.contains('?') {
        return Err(wrong("nothing may follow host and port"));
    }
    // The colons of an IPv6 address are within brackets.
    let after_address = rest.rfind(']').map_or(0, |end| end + 1);
    let (host, port) = match rest[after_address..].rfind(':') {
        Some(colon) => {
            let (host, port) = rest.split_at(after_address + colon);
            let port = port[1..].parse().ok().filter(|port| *port > 0);
            (host, port.ok_or_else(|| wrong("the port is a number from 1 to 65535"))?)
        }
        None => (rest, usual),
    };
    if host.is_empty() {
        return Err(wrong("the host is missing"));
    }
    if with_tls && host.starts_with('[') {
        return Err(wrong("TLS needs a name or an IPv4 address"));
    }
    Ok((host, port, with_tls))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_understood_or_refused() {
        for (url, expected) in [
            ("mqtt://home", ("home", 1883, false)),
            ("mqtts://home/", ("home", 8883, true)),
            ("mqtt://10.0.0.1:1884", ("10.0.0.1", 1884, false)),
            ("mqtt://[::1]:99", ("[::1]", 99, false)),
            ("mqtt://[::1]", ("[::1]", 1883, false)),
        ] {
            assert_eq!(parse(url).unwrap(), expected);
        }
        for url in [
            "",
            "home",
            "http://home",
            "mqtt://",
            "mqtt://:1883",
            "mqtt://home:0",
            "mqtt://home:99999",
            "mqtt://home:",
            "mqtt://me:secret@home",
            "mqtt://home/path",
            "mqtt://home?x=1",
            "mqtts://[::1]",
        ] {
            let error = parse(url).unwrap_err().to_string();
            assert!(error.contains("mqtt://host:port"), "{error}");
        }
    }

    #[test]
    fn settings_that_do_not_go_together_are_named() {
        let with = |change: &dyn Fn(&mut BrokerOptions)| {
            let mut options = BrokerOptions { url: "mqtt://home".into(), ..BrokerOptions::default() };
            change(&mut options);
            prepare(&options, "id").map(|_| ()).unwrap_err().to_string()
        };
        assert!(with(&|options| options.password = Some("x".into())).contains("--mqtt-user"));
        assert!(with(&|options| options.ca = Some("x".into())).contains("mqtts://"));
        assert!(with(&|options| options.password_file = Some("/nowhere/x".into())).contains("/nowhere/x"));
        let with_tls = |options: &mut BrokerOptions| options.url = "mqtts://home".into();
        assert!(
            with(&|options| {
                with_tls(options);
                options.ca = Some("/nowhere/ca".into());
            })
            .contains("/nowhere/ca")
        );
    }

    #[test]
    fn a_password_is_not_printed() {
        let options = BrokerOptions { password: Some("hidden".into()), ..BrokerOptions::default() };
        assert!(!format!("{options:?}").contains("hidden"));
    }
}
