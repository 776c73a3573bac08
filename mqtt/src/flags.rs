//! The flags of programs that collect.

use crate::{BrokerOptions, CollectOptions};
use std::path::PathBuf;

/// Which broker is collected from, and how.
#[derive(clap::Args, Clone, Debug)]
#[command(next_help_heading = "The broker")]
pub struct CollectFlags {
    /// The broker: mqtt://HOST, or mqtts://HOST for TLS
    #[arg(long, env = "ANCHORWATCH_MQTT", value_name = "URL")]
    mqtt: String,

    /// The user's name
    #[arg(long, env = "ANCHORWATCH_MQTT_USER", value_name = "NAME")]
    mqtt_user: Option<String>,

    /// A file whose first line is the password
    #[arg(long, env = "ANCHORWATCH_MQTT_PASSWORD_FILE", value_name = "FILE")]
    mqtt_password_file: Option<PathBuf>,

    /// The authority that signed the broker's certificate (PEM) [default: those that the system trusts]
    #[arg(long, env = "ANCHORWATCH_MQTT_CA", value_name = "FILE")]
    mqtt_ca: Option<PathBuf>,

    /// The client's own certificate (PEM), with --mqtt-key
    #[arg(long, env = "ANCHORWATCH_MQTT_CERTIFICATE", value_name = "FILE")]
    mqtt_certificate: Option<PathBuf>,

    /// The key of the client's certificate (PEM)
    #[arg(long, env = "ANCHORWATCH_MQTT_KEY", value_name = "FILE")]
    mqtt_key: Option<PathBuf>,

    /// What the units' topics begin with
    #[arg(long, env = "ANCHORWATCH_MQTT_PREFIX", value_name = "TOPIC", default_value = "anchorwatch")]
    mqtt_prefix: String,

    /// Share the units' messages with the other collectors of this group
    #[arg(long, value_name = "NAME")]
    group: Option<String>,
}

impl CollectFlags {
    /// The same as options, for the collector of this client id.
    pub fn options(self, client_id: String, pictures: bool) -> CollectOptions {
        let broker = BrokerOptions {
            url: self.mqtt,
            user: self.mqtt_user,
            password: None,
            password_file: self.mqtt_password_file,
            ca: self.mqtt_ca,
            certificate: self.mqtt_certificate,
            key: self.mqtt_key,
            client_id: Some(client_id),
        };
        CollectOptions {
            broker,
            prefix: self.mqtt_prefix,
            group: self.group,
            pictures,
            ..CollectOptions::default()
        }
    }
}
