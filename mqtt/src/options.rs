//! What can be set: which broker, what is sent, what is collected. Plain values, for settings files and
//! the command line.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::PathBuf;

/// Where the broker is, and as whom it is spoken to.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct BrokerOptions {
    /// `mqtt://host`, or `mqtts://host` for TLS, with `:port` if it is not 1883 or 8883.
    pub url: String,
    /// The user's name.
    pub user: Option<String>,
    /// The password; rather name a file, which others cannot read.
    pub password: Option<String>,
    /// A file whose first line is the password.
    pub password_file: Option<PathBuf>,
    /// The authority that signed the broker's certificate (PEM). Without it, those that the system trusts.
    pub ca: Option<PathBuf>,
    /// The client's own certificate, with those that lead to its authority (PEM).
    pub certificate: Option<PathBuf>,
    /// The key of the client's certificate (PEM).
    pub key: Option<PathBuf>,
    /// How the broker knows this client; two with the same name throw each other out.
    pub client_id: Option<String>,
}

/// Without the password.
impl fmt::Debug for BrokerOptions {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("BrokerOptions")
            .field("url", &self.url)
            .field("user", &self.user)
            .field("password", &self.password.as_ref().map(|_| "…"))
            .field("password_file", &self.password_file)
            .field("ca", &self.ca)
            .field("certificate", &self.certificate)
            .field("key", &self.key)
            .field("client_id", &self.client_id)
            .finish()
    }
}

/// What a unit sends, and how.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct SendOptions {
    /// The broker.
    pub broker: BrokerOptions,
    /// What all topics begin with.
    pub prefix: String,
    /// Bytes a second on average; 0 is no limit.
    pub bandwidth: u64,
    /// Whether whole crops follow, once all events are sent.
    pub crops: bool,
    /// The longer side of a thumbnail in pixels; 0 sends none.
    pub thumbnail_side: u32,
    /// Whether an event for which the broker knows no subscriber counts as sent. Otherwise it waits.
    pub without_subscriber: bool,
    /// Whether the unit announces itself to Home Assistant.
    pub discovery: bool,
    /// What Home Assistant's discovery topics begin with.
    pub discovery_prefix: String,
    /// Whether events are published in the shape of ROS 2's `vision_msgs/Detection2DArray` too.
    pub detections: bool,
    /// Milliseconds before the first new attempt after a failure; each later one waits twice as long.
    pub retry_ms: u64,
    /// The longest time between two attempts in milliseconds; what a wrong password waits.
    pub retry_most_ms: u64,
}

impl Default for SendOptions {
    fn default() -> Self {
        Self {
            broker: BrokerOptions::default(),
            prefix: "anchorwatch".to_string(),
            bandwidth: 0,
            crops: false,
            thumbnail_side: 160,
            without_subscriber: false,
            discovery: false,
            discovery_prefix: "homeassistant".to_string(),
            detections: false,
            retry_ms: 1000,
            retry_most_ms: 300_000,
        }
    }
}

/// What is collected, and how.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct CollectOptions {
    /// The broker. The client id names the session in which the broker keeps what this collector has
    /// not acknowledged: it must stay the same, and be another one for each collector.
    pub broker: BrokerOptions,
    /// What all topics begin with.
    pub prefix: String,
    /// Collectors of the same group share the units' messages among them.
    pub group: Option<String>,
    /// Whether thumbnails and crops are collected too.
    pub pictures: bool,
    /// How many days the broker keeps messages while this collector is away.
    pub session_days: u32,
    /// Messages that are kept at once, before they are acknowledged.
    pub at_once: u16,
    /// The largest message that is taken, in bytes; the broker drops larger ones.
    pub max_bytes: u32,
    /// Milliseconds before the first new attempt after a failure; each later one waits twice as long.
    pub retry_ms: u64,
    /// The longest time between two attempts in milliseconds.
    pub retry_most_ms: u64,
}

impl Default for CollectOptions {
    fn default() -> Self {
        Self {
            broker: BrokerOptions::default(),
            prefix: "anchorwatch".to_string(),
            group: None,
            pictures: true,
            session_days: 30,
            at_once: 64,
            max_bytes: 16 << 20,
            retry_ms: 1000,
            retry_most_ms: 60_000,
        }
    }
}
