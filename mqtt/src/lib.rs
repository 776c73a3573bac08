//! The field log comes home over MQTT 5. A unit's [`Sender`] takes from its store what the broker has not
//! acknowledged; a [`Collector`] at home subscribes to many units and acknowledges only what was kept.
//! `docs/mqtt.md` has the topics, the payloads and what is guaranteed.
//!
//! It records nothing by itself and knows nothing of cameras: the spool is `anchorwatch-store`.

mod background;
mod backoff;
mod bandwidth;
mod broker;
mod classify;
mod collector;
mod confirm;
mod connection;
mod detections;
mod discovery;
mod error;
mod event_payload;
mod flags;
mod group;
mod home;
mod options;
mod outbox;
mod report;
mod retry;
mod send_turn;
mod sender;
mod session;
mod status;
mod stop;
mod thumbnail;
mod tls;
mod topics;

pub use collector::Collector;
pub use detections::detections;
pub use discovery::discovery;
pub use error::MqttError;
pub use event_payload::{MAX_EVENT_BYTES, Refusal, SCHEMA, event_from_json, event_json};
pub use flags::CollectFlags;
pub use group::{Group, LatePicture};
pub use home::keep_in_store;
pub use options::{BrokerOptions, CollectOptions, SendOptions};
pub use report::{Collected, Sent};
pub use sender::{Sender, send_all};
pub use status::About;
pub use stop::Stop;
